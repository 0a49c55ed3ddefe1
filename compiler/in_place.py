# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Keeping what IREE does in place right: a linalg module, changed until nothing needed is overwritten."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from iree.compiler import ir

from .analysis import stream_ir
from .analysis.state_hazards import Analysis, analyse
from .errors import PockError
from .update_order import order_updates, part_sums

_DONATED = "iree.abi.output"

_SHARED = "pock.shared"
"""Marks donated arguments that are read and written by turns (``sparsebp-connect-ranks``)."""

_WRITERS = ("update", "step")
"""How the names of functions begin that write state; one step a rank where cores share it."""

_RESHAPES = ("tensor.cast", "tensor.collapse_shape", "tensor.expand_shape", "tensor.reshape")


class InPlaceError(PockError):
    """A program that cannot be compiled so that nothing is overwritten that is needed."""


class InPlaceModule:
    """A linalg module, changed as little as makes it right when IREE works in place.

    * A gradient and its update move behind the last read of the old value (``compiler/update_order.py``).
    * Where its update is not safe in place even so, what sums the old value is parted from other updates (the
      same).
    * State of ``@step`` (or ``@update``) whose update is still not safe is no longer donated: it gets new
      storage.
    * An argument that is not donated and that IREE writes to gets a use that keeps it.
    * A result that another operation updates a slice of is copied: IREE does that in place even so
      (iree-org/iree issue 16168).
    """

    def __init__(self, text: str) -> None:
        """Raises ``InPlaceError`` if IREE cannot parse ``text``."""
        with _parsed(text) as module:
            functions = _functions(module)
            self._donated = {name: _donated(function) for name, function in functions.items()}
            self._shared = {name: _shared(function) for name, function in functions.items()}
            updates = [op for function in functions.values() for op in _updates_of_results(function)]
            for update in updates:
                _copy_with_slice(update)
            ordered = [order_updates(function, self._donated[name]) for name, function in functions.items()]
            self._original = _text(module) if updates or any(ordered) else text
        self._writers = [name for name in self._donated if name.startswith(_WRITERS)]
        self.copied: dict[int, str] = {}
        """Index of an argument of ``@step``, or ``@update``, that is no longer donated -> why."""
        self._kept: dict[str, set[int]] = {name: set() for name in self._donated}
        self._parted: set[int] = set()

    @property
    def changed(self) -> bool:
        """Whether ``check`` has found something to change."""
        return bool(self.copied) or bool(self._parted) or any(self._kept.values())

    @property
    def donated(self) -> dict[str, dict[int, int]]:
        """For each function, index of each donated argument -> index of the result in its storage."""
        return {
            name: {i: k for i, k in donated.items() if name not in self._writers or i not in self.copied}
            for name, donated in self._donated.items()
        }

    def text(self) -> str:
        """The module as it is now."""
        if not self.changed:
            return self._original
        with _parsed(self._original) as module:
            functions = _functions(module)
            for name in self._writers:
                part_sums(functions[name], self._donated[name], self._parted)
                _drop_donation(functions[name], self.copied)
            for name, arguments in self._kept.items():
                _keep(functions[name], arguments)
            return _text(module)

    def check(self, stream: ir.Module) -> dict[str, Analysis] | None:
        """What ``text`` has become at the stream phase: the analysis of each function if all is right.

        Otherwise the text has changed, and has to be compiled again. Raises ``InPlaceError``.
        """
        found = {}
        right = True
        hazards: dict[int, str] = {}
        kernels = stream_ir.kernels(stream)
        for name, donated in self.donated.items():
            analysis = analyse(stream, name, donated, self._shared[name], kernels)
            if again := self._kept[name].intersection(analysis.overwritten):
                raise InPlaceError(f"IREE overwrites argument {min(again)} of @{name}, which is the caller's")
            self._kept[name].update(analysis.overwritten)
            right = right and not analysis.overwritten and not analysis.hazards
            if name in self._writers:
                hazards.update(analysis.hazards)
            elif analysis.hazards:
                raise InPlaceError(f"@{name} reads what it writes: {next(iter(analysis.hazards.values()))}")
            found[name] = analysis
        parted = self._part(hazards.keys() - self._parted) if hazards else set()
        self._parted |= parted
        self.copied |= {i: why for i, why in hazards.items() if i not in parted}
        return found if right else None

    def _part(self, arguments: Collection[int]) -> set[int]:
        """Those of ``arguments`` that are summed for other updates."""
        if not arguments:
            return set()
        with _parsed(self._original) as module:
            functions = _functions(module)
            found = [part_sums(functions[name], self._donated[name], arguments) for name in self._writers]
        return set().union(*found)


@contextmanager
def _parsed(text: str) -> Iterator[ir.Module]:
    with ir.Context() as context, ir.Location.unknown():
        # What IREE does not know, iree-compile is to complain about.
        context.allow_unregistered_dialects = True
        try:
            module = ir.Module.parse(text)
        except ir.MLIRError as error:
            found = error.error_diagnostics
            reason = f"{found[0].location}: {found[0].message}" if found else "it does not say why"
            raise InPlaceError(f"IREE cannot read the program: {reason}") from None
        yield module


def _text(module: ir.Module) -> str:
    return str(module.operation.get_asm(enable_debug_info=True, assume_verified=True))


def _functions(module: ir.Module) -> dict[str, Any]:
    return {
        ir.StringAttr(op.operation.attributes["sym_name"]).value: op.operation
        for op in module.body.operations
        if op.operation.name == "func.func"
    }


def _block(function: Any) -> Any:
    return function.regions[0].blocks[0]


def _terminator(function: Any) -> Any:
    operations = _block(function).operations
    return operations[len(operations) - 1]


# -- arguments ----------------------------------------------------------------------------------


def _argument_attributes(function: Any) -> list[ir.DictAttr]:
    if "arg_attrs" not in function.attributes:
        return []
    return [ir.DictAttr(attributes) for attributes in ir.ArrayAttr(function.attributes["arg_attrs"])]


def _donated(function: Any) -> dict[int, int]:
    """Index of each donated argument -> index of the result in its storage."""
    return {
        i: ir.IntegerAttr(attributes[_DONATED]).value
        for i, attributes in enumerate(_argument_attributes(function))
        if _DONATED in attributes
    }


def _shared(function: Any) -> list[int]:
    """The arguments that ranks exchange in."""
    return [i for i, attributes in enumerate(_argument_attributes(function)) if _SHARED in attributes]


def _drop_donation(function: Any, arguments: Collection[int]) -> None:
    """The given arguments are no longer donated."""
    if not arguments:
        return
    left = [
        {a.name: a.attr for a in attributes if not (i in arguments and a.name == _DONATED)}
        for i, attributes in enumerate(_argument_attributes(function))
    ]
    function.attributes["arg_attrs"] = ir.ArrayAttr.get([ir.DictAttr.get(entries) for entries in left])


def _keep(function: Any, arguments: Collection[int]) -> None:
    """Use the given arguments once more where the function ends, so that IREE copies before it writes."""
    end = _terminator(function)
    for i in sorted(arguments):
        value = _block(function).arguments[i]
        ir.Operation.create(
            "util.optimization_barrier", [value.type], [value], loc=end.location, ip=ir.InsertionPoint(end)
        )


# -- results ------------------------------------------------------------------------------------


def _updates_of_results(function: Any) -> list[Any]:
    """The operations that update a slice of what the function also returns as it was."""
    returned = {_viewed(value) for value in _terminator(function).operands}
    return [
        op.operation
        for op in _block(function).operations
        if op.operation.name == "tensor.insert_slice" and _viewed(op.operation.operands[1]) in returned
    ]


def _viewed(value: Any) -> Any:
    """The value that ``value`` is a reshape of."""
    while not isinstance(value.owner, ir.Block) and value.owner.name in _RESHAPES:
        value = value.owner.operands[0]
    return value


def _copy_with_slice(update: Any) -> None:
    """Replace a ``tensor.insert_slice`` by arithmetic that makes a new tensor."""
    if len(update.operands) > 2:
        raise InPlaceError(f"{update.location}: a result is updated at a place known only at run time")
    source, target = update.operands
    shapes = [ir.DenseI64ArrayAttr(update.attributes[f"static_{k}"]) for k in ("offsets", "sizes", "strides")]
    made = ir.Module.parse(_select_slice(source.type, target.type, *map(list, shapes)))
    function = _functions(made)["copy_with_slice"]
    arguments = _block(function).arguments
    for argument, value in zip(arguments, (source, target), strict=True):
        argument.replace_all_uses_with(value)
    end = _terminator(function)
    update.results[0].replace_all_uses_with(end.operands[0])
    end.operation.erase()
    for op in list(_block(function).operations):
        op.operation.move_before(update)
    update.erase()


def _select_slice(source: ir.Type, target: ir.Type, offsets: Any, sizes: Any, strides: Any) -> str:
    """A function of the slice and the target, as text: each element from where it lies in the new tensor."""
    rank, element = len(offsets), ir.RankedTensorType(target).element_type
    dims = ", ".join(f"d{i}" for i in range(rank))
    identity = f"affine_map<({dims}) -> ({dims})>"
    lines = ["%zero = arith.constant 0 : index", "%true = arith.constant true"]
    inside = "%true"
    for i, (offset, size, stride) in enumerate(zip(offsets, sizes, strides, strict=True)):
        lines += [
            f"%i{i} = linalg.index {i} : index",
            f"%begin{i} = arith.constant {offset} : index",
            f"%stride{i} = arith.constant {stride} : index",
            f"%extent{i} = arith.constant {size * stride} : index",
            f"%from{i} = arith.subi %i{i}, %begin{i} : index",
            f"%position{i} = arith.divsi %from{i}, %stride{i} : index",
            f"%rest{i} = arith.remsi %from{i}, %stride{i} : index",
            f"%on{i} = arith.cmpi eq, %rest{i}, %zero : index",
            f"%in{i} = arith.cmpi ult, %from{i}, %extent{i} : index",
            f"%both{i} = arith.andi %on{i}, %in{i} : i1",
            f"%inside{i} = arith.andi {inside}, %both{i} : i1",
        ]
        inside = f"%inside{i}"
    kept = _kept_dimensions(sizes, list(ir.RankedTensorType(source).shape))
    lines += [f"%at{i} = arith.select {inside}, %position{i}, %zero : index" for i in kept]
    at = ", ".join(f"%at{i}" for i in kept)
    body = "\n".join(lines)
    return f"""
        func.func @copy_with_slice(%source: {source}, %target: {target}) -> {target} {{
          %empty = tensor.empty() : {target}
          %new = linalg.generic {{
              indexing_maps = [{identity}, {identity}],
              iterator_types = [{", ".join(['"parallel"'] * rank)}]
          }} ins(%target : {target}) outs(%empty : {target}) {{
          ^bb0(%old: {element}, %unused: {element}):
            {body}
            %inserted = tensor.extract %source[{at}] : {source}
            %chosen = arith.select {inside}, %inserted, %old : {element}
            linalg.yield %chosen : {element}
          }} -> {target}
          return %new : {target}
        }}
    """


def _kept_dimensions(sizes: list[int], shape: list[int]) -> list[int]:
    """The dimensions of the target that the slice has too; it may lack some of size 1."""
    kept: list[int] = []
    for i, size in enumerate(sizes):
        spare = (len(sizes) - i) - (len(shape) - len(kept))
        if len(kept) < len(shape) and (size != 1 or spare == 0 or shape[len(kept)] == 1):
            kept.append(i)
    return kept
