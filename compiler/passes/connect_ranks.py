# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-connect-ranks``: sums over ranks become kernels that wait for each other."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.conversions.builder import LinalgBuilder
from pock.compiler.torch_ir import body, functions, operations, set_function_type

from .base import Pass, fail_at
from .split_evaluation import LOSS

EXCHANGE = "sparsebp.exchange"
"""The attribute of functions that says how many bytes ranks exchange in."""

_ALL_REDUCE = "sparsebp.all_reduce"
_DONATED, _SHARED = "iree.abi.output", "pock.shared"

_ALIGNMENT = 64
"""Bytes at whose multiples each rank's place in the exchange begins: none shares a cache line."""

_APART = 16
"""Elements of i32 between the counters of two ranks, which therefore are in lines of their own."""

_VECTOR = 64
"""Bytes that a kernel takes at once."""

_POLLS = 1000
"""How often a rank looks for the others before it lets other threads run: some tens of microseconds."""

_ASSEMBLY = (
    "%call = llvm.mlir.constant({number} : i64) : i64\n"
    '%yielded = llvm.inline_asm has_side_effects "{text}", "{registers}" %call : (i64) -> i64'
)
_YIELD = {
    "x86_64": _ASSEMBLY.format(number=24, text="syscall", registers="={rax},{rax},~{rcx},~{r11},~{memory}"),
    "aarch64": _ASSEMBLY.format(number=124, text="svc #0", registers="={x0},{x8},~{memory}"),
}
"""Linux's ``sched_yield``, by the architecture. Kernels are linked with no library that would have it."""

_BITS = {"f16": 16, "bf16": 16, "f32": 32, "f64": 64}


@dataclass(frozen=True)
class ConnectRanks(Pass):
    """Lower ``sparsebp.all_reduce`` of builtin tensors to kernels through which ranks exchange.

    Each function but ``@init`` and ``@loss`` gets two more arguments, which it returns in the same storage:
    ``exchange``, bytes that all ranks read and write, and ``turns``, with a counter for each rank. A kernel
    copies its summand to the rank's place in the exchange, counts its rank's turn, waits until all ranks
    have come as far and adds up, in the order of ranks, so that all get the same. As a rank may be ahead by
    one exchange, there are two places, which take turns. ::

        %y = "sparsebp.all_reduce"(%x) {rank = 0, ranks = 2} : (tensor<4x8xf32>) -> tensor<4x8xf32>

    becomes::

        %y, %e, %t = flow.dispatch @all_reduce_32xf32::@all_reduce_32xf32(%rank, %place, %x, %exchange, ...)

    The dispatches of a function are a chain: ranks exchange in the same order. Each call begins with the
    first places, so all ranks must have returned before any is called again.

    A rank that has waited for some microseconds lets other threads run, if the target has a ``scheduler``
    that kernels can ask to: ``x86_64`` or ``aarch64`` for Linux's. Where ranks share a core, or others
    need it, that is what the one that it waits for needs.
    """

    name: ClassVar[str] = "sparsebp-connect-ranks"

    scheduler: str = ""

    def apply(self, module: ir.Module) -> None:
        found = {name: operations(function, _ALL_REDUCE) for name, function in functions(module).items()}
        if self.scheduler and self.scheduler not in _YIELD:
            known = ", ".join(_YIELD)
            raise fail_at(module.operation, f"scheduler = {self.scheduler}: expected one of {known}")
        sums = [op for each in found.values() for op in each]
        if not sums:
            return
        count = _integer(sums[0], "ranks")
        place = max(_aligned(_bytes(op)) for op in sums)
        kernels: dict[tuple[int, str], str] = {}
        for name, function in functions(module).items():
            if name not in ("init", LOSS):
                _connect(function, found[name], count, 2 * count * place, kernels)
        for (elements, element), kernel in kernels.items():
            source = ir.Module.parse(
                _source(kernel, elements, element, count, place, _YIELD.get(self.scheduler, "")),
                module.context,
            )
            for op in list(source.body.operations):
                module.body.append(op.operation.detach_from_parent())


def _integer(op: Any, name: str) -> int:
    value: int = ir.IntegerAttr(op.operation.attributes[name]).value
    return value


def _bytes(op: Any) -> int:
    type_ = ir.RankedTensorType(op.operation.operands[0].type)
    return prod(type_.shape) * _BITS[str(type_.element_type)] // 8


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _connect(
    function: Any, sums: list[Any], count: int, size: int, kernels: dict[tuple[int, str], str]
) -> None:
    """Give ``function`` the two arguments, and its sums kernels that are called with them."""
    operation, block = function.operation, body(function)
    arguments = len(block.arguments)
    i8, i32 = ir.IntegerType.get_signless(8), ir.IntegerType.get_signless(32)
    location = operation.location
    types = [ir.RankedTensorType.get([n], t, loc=location) for n, t in ((size, i8),)]
    types.append(ir.RankedTensorType.get([count, _APART], i32, loc=location))
    exchange, turns = (block.add_argument(type_, location) for type_ in types)
    for turn, op in enumerate(sums):
        exchange, turns = _exchanged(op, turn % 2, exchange, turns, kernels)
    terminator = list(block.operations)[-1]
    given = list(terminator.operation.operands)
    LinalgBuilder(terminator).create("func.return", [*given, exchange, turns], [])
    terminator.operation.erase()
    index = ir.IndexType.get()
    attributes = _attributes(operation, "arg_attrs", arguments)
    attributes += [
        ir.DictAttr.get({_DONATED: ir.IntegerAttr.get(index, len(given) + i), _SHARED: ir.UnitAttr.get()})
        for i in range(2)
    ]
    operation.attributes["arg_attrs"] = ir.ArrayAttr.get(attributes)
    if "res_attrs" in operation.attributes:
        results = _attributes(operation, "res_attrs", len(given)) + [ir.DictAttr.get({})] * 2
        operation.attributes["res_attrs"] = ir.ArrayAttr.get(results)
    set_function_type(function)


def _attributes(operation: Any, name: str, count: int) -> list[ir.Attribute]:
    attributes = operation.attributes
    return list(ir.ArrayAttr(attributes[name])) if name in attributes else [ir.DictAttr.get({})] * count


def _exchanged(
    op: Any, place: int, exchange: ir.Value, turns: ir.Value, kernels: dict[tuple[int, str], str]
) -> tuple[ir.Value, ir.Value]:
    """Lower one sum; ``exchange`` and ``turns`` behind it."""
    summand = op.operation.operands[0]
    type_ = ir.RankedTensorType(summand.type)
    element = str(type_.element_type)
    if element not in _BITS:
        raise fail_at(op, f"exchanges {element}; expected one of {', '.join(_BITS)}")
    elements = prod(type_.shape)
    kernel = kernels.setdefault((elements, element), f"all_reduce_{elements}x{element}")
    b = LinalgBuilder(op)
    i32, index = ir.IntegerType.get_signless(32), ir.IndexType.get()
    numbers = [
        b.create("arith.constant", [], [i32], {"value": ir.IntegerAttr.get(i32, n)})
        for n in (_integer(op, "rank"), place)
    ]
    entry = ir.ArrayAttr.get([ir.SymbolRefAttr.get([kernel, kernel])])
    tied = ir.ArrayAttr.get([ir.IntegerAttr.get(index, n) for n in (-1, 3, 4)])
    total, exchange, turns = b.create(
        "flow.dispatch",
        [*numbers, summand, exchange, turns],
        [summand.type, exchange.type, turns.type],
        {
            "entry_points": entry,
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([0, 5, 0, 0]),
            "tied_operands": tied,
        },
    )
    op.operation.results[0].replace_all_uses_with(total)
    op.operation.erase()
    return exchange, turns


# -- kernels ------------------------------------------------------------------------------------


def _source(name: str, elements: int, element: str, count: int, place: int, yields: str) -> str:
    """The kernel that sums ``elements`` over ``count`` ranks, with ``place`` bytes for each.

    ``yields`` lets other threads run.
    """
    width = _VECTOR * 8 // _BITS[element]
    places = place * 8 // _BITS[element]
    whole = elements // width * width
    layout = (
        "#hal.pipeline.layout<constants = 2, bindings = [#hal.pipeline.binding<storage_buffer, ReadOnly>, "
        "#hal.pipeline.binding<storage_buffer>, #hal.pipeline.binding<storage_buffer>, "
        "#hal.pipeline.binding<storage_buffer>]>"
    )

    def bound(binding: int, type_: str) -> str:
        return (
            f'"hal.interface.binding.subspan"(%c0) <{{alignment = {_ALIGNMENT} : index, binding = {binding}'
            f" : index, layout = {layout}, operandSegmentSizes = array<i32: 1, 0>}}> : (index) -> {type_}"
        )

    def number(ordinal: int) -> str:
        loads = f"layout = {layout}, ordinal = {ordinal} : index"
        return f'"hal.interface.constant.load"() <{{{loads}}}> : () -> i32'

    own, all_, turns = (
        f"memref<{elements}x{element}>",
        f"memref<{2 * count * places}x{element}>",
        (f"memref<{count}x{_APART}xi32>"),
    )
    vector = f"vector<{width}x{element}>"

    def loop(begin: int, end: int, step: int, lines: list[str]) -> str:
        if begin == end:
            return ""
        lines = [
            f"%begin = arith.constant {begin} : index",
            f"%end = arith.constant {end} : index",
            f"%step = arith.constant {step} : index",
            "scf.for %i = %begin to %end step %step {",
            *lines,
            "}",
        ]
        return "\n".join(["scf.if %true {", *lines, "}"])

    def copy(load: str, store: str, type_: str) -> list[str]:
        return [
            f"%v = {load} %own[%i] : {own}{type_}",
            "%at = arith.addi %i, %mine : index",
            f"{store} %v, %all[%at] : {all_}{type_}",
        ]

    def add(load: str, store: str, type_: str) -> list[str]:
        lines = []
        for rank in range(count):
            lines += [
                f"%o{rank} = arith.constant {rank * places} : index",
                f"%p{rank} = arith.addi %first, %o{rank} : index",
                f"%at{rank} = arith.addi %i, %p{rank} : index",
                f"%v{rank} = {load} %all[%at{rank}] : {all_}{type_}",
            ]
        total = "%v0"
        kind = type_.removeprefix(", ") or element
        for rank in range(1, count):
            lines.append(f"%t{rank} = arith.addf {total}, %v{rank} : {kind}")
            total = f"%t{rank}"
        return [*lines, f"{store} {total}, %out[%i] : {own}{type_}"]

    vectors, scalars = ("vector.load", "vector.store", f", {vector}"), ("memref.load", "memref.store", "")

    def each(body: Callable[[str, str, str], list[str]]) -> str:
        return f"{loop(0, whole, width, body(*vectors))}\n{loop(whole, elements, 1, body(*scalars))}"

    return f"""
"hal.executable.source"() <{{sym_name = "{name}", sym_visibility = "private"}}> ({{
  "hal.executable.export"() <{{layout = {layout}, ordinal = 0 : index, sym_name = "{name}",
      sym_visibility = "public"}}> ({{
  ^bb0(%device: !hal.device):
    %one = arith.constant 1 : index
    "hal.return"(%one, %one, %one) : (index, index, index) -> ()
  }}, {{
  }}) : () -> ()
  builtin.module {{
    func.func @{name}() {{
      %true = arith.constant true
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %count = arith.constant {count} : index
      %c0_i32 = arith.constant 0 : i32
      %c1_i32 = arith.constant 1 : i32
      %polls = arith.constant {_POLLS} : i32
      %places = arith.constant {places} : index
      %half = arith.constant {count * places} : index
      %rank_i32 = {number(0)}
      %place_i32 = {number(1)}
      %rank = arith.index_cast %rank_i32 : i32 to index
      %place = arith.index_cast %place_i32 : i32 to index
      %own = {bound(0, own)}
      %all = {bound(1, all_)}
      %turns = {bound(2, turns)}
      %out = {bound(3, own)}
      %first = arith.muli %place, %half : index
      %behind = arith.muli %rank, %places : index
      %mine = arith.addi %first, %behind : index
      {each(copy)}
      %before = memref.atomic_rmw addi %c1_i32, %turns[%rank, %c0] : (i32, {turns}) -> i32
      %turn = arith.addi %before, %c1_i32 : i32
      scf.for %other = %c0 to %count step %c1 {{
        scf.while (%left = %polls) : (i32) -> i32 {{
          %seen = memref.atomic_rmw addi %c0_i32, %turns[%other, %c0] : (i32, {turns}) -> i32
          %ahead = arith.subi %seen, %turn : i32
          %waits = arith.cmpi slt, %ahead, %c0_i32 : i32
          scf.condition(%waits) %left : i32
        }} do {{
        ^bb0(%left: i32):
          %patient = arith.cmpi sgt, %left, %c0_i32 : i32
          %next = scf.if %patient -> i32 {{
            %fewer = arith.subi %left, %c1_i32 : i32
            scf.yield %fewer : i32
          }} else {{
            {yields}
            scf.yield %c0_i32 : i32
          }}
          scf.yield %next : i32
        }}
      }}
      {each(add)}
      return
    }}
  }}
  "hal.executable.source_end"() : () -> ()
}}) : () -> ()
"""
