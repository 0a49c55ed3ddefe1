# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A program with ranks, written by hand, and the same program without.

It is linear regression on inputs that are scaled and shifted first; the loss also has a penalty on the
weight. Ranks divide the inputs' features: a part of the weight and of its momentum along axis 1, and of the
scales and shifts, which are one tensor of two blocks. The bias is whole on each rank. What ranks exchange are
16 numbers each, once for ``predict``, and for the others a second time for the penalty.
"""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pock.runtime.metadata import Division
from pock.runtime.parts import part
from tests.python.runtime.runtime_programs import (
    ADD,
    COUNT,
    MULTIPLY_ADD,
    SCALAR,
    compile_mlir,
    constant,
    generic,
    reflection,
    softmax_metadata,
    spec,
    tensor,
)

ROWS, FEATURES, VALUES = 4, 8, 4
"""The regression's sizes."""

PENALTY = 2.0**-10
"""The factor of the weight's penalty in the loss, which has no gradient."""

WEIGHT = ((np.arange(VALUES * FEATURES) * 7 % 11 - 5) / 16).astype(np.float32).reshape(VALUES, FEATURES)
FACTORS = np.concatenate([np.linspace(0.5, 1.5, FEATURES), np.linspace(-1, 1, FEATURES)]).astype(np.float32)
"""Initial values of the weight, and of scales and shifts."""

_DIVISIONS = (Division(1, 1), Division(1, 1), Division(0, 2), None, None, None)

_SUM = tensor(ROWS, VALUES)


def ranked_metadata(ranks: int, **changes: Any) -> dict[str, Any]:
    """What ``ranked_program`` says of itself, with ``changes`` to its top level."""
    full = {"mask": {"update": "full"}}
    momentum = {"kind": "optimizer", "parameter": "fc.weight", "slot": "momentum"}
    state = [
        {**spec("fc.weight", (VALUES, FEATURES)), "kind": "parameter", **full},
        {**spec("fc.weight.momentum", (VALUES, FEATURES)), **momentum, **full},
        {**spec("factors", (2 * FEATURES,)), "kind": "parameter", **full},
        {**spec("fc.bias", (VALUES,)), "kind": "parameter", **full},
        {**spec("step", (), "int64"), "kind": "step", **full},
        {**spec("seed", (), "int64"), "kind": "seed", **full},
    ]
    divided = {
        "count": ranks,
        "state": [None if d is None else {"axis": d.axis, "blocks": d.blocks} for d in _DIVISIONS],
        "exchange": _exchanged(ranks),
    }
    base = {
        "model": "Ranked",
        "inputs": [spec("x", (ROWS, FEATURES))],
        "targets": [spec("y", (ROWS, VALUES))],
        "outputs": [spec("values", (ROWS, VALUES))],
        "state": state,
        "tied": {},
        **({} if ranks == 1 else {"ranks": divided}),
    }
    return softmax_metadata(**{**base, **changes})


def _exchanged(ranks: int) -> int:
    """Two regions, used in turn: a rank may be one exchange ahead of the others."""
    return 2 * ranks * ROWS * VALUES * 4


#: Where ranks share cores one that waits has to let others run: ``sched_yield``, where it is known how.
_YIELD = (
    "%call = arith.constant 24 : i64\n"
    'llvm.inline_asm has_side_effects "syscall", "={rax},{rax},~{rcx},~{r11},~{memory}" '
    "%call : (i64) -> i64"
    if (platform.system(), platform.machine()) == ("Linux", "x86_64")
    else ""
)


def _kernel(ranks: int) -> str:
    """``@all_reduce``: adds up 16 numbers of each rank, in the order of the ranks."""
    size = ROWS * VALUES
    adds = []
    for rank in range(ranks):
        adds += [
            f"%c_{rank} = arith.constant {rank} : index",
            f"%v_{rank} = vector.load %exchange[%region, %c_{rank}, %c0] "
            f": memref<2x{ranks}x{size}xf32>, vector<{size}xf32>",
        ]
    sums = [
        f"%s_{rank} = arith.addf %{'v_0' if rank == 1 else f's_{rank - 1}'}, %v_{rank} : vector<{size}xf32>"
        for rank in range(1, ranks)
    ]
    return f"""
hal.executable.source private @all_reduce {{
  hal.executable.export public @run ordinal(0) layout(#layout)
    count(%device: !hal.device) -> (index, index, index) {{
    %c1 = arith.constant 1 : index
    hal.return %c1, %c1, %c1 : index, index, index
  }}
  builtin.module {{
    func.func @run() {{
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c64 = arith.constant 64 : index
      %n = arith.constant {ranks} : index
      %zero = arith.constant 0 : i32
      %one = arith.constant 1 : i32
      %spins = arith.constant 2000 : i32
      %me_i32 = hal.interface.constant.load layout(#layout) ordinal(0) : i32
      %me = arith.index_cast %me_i32 : i32 to index
      %own = hal.interface.binding.subspan layout(#layout) binding(0) alignment(64) offset(%c0)
        : memref<{size}xf32>
      %exchange = hal.interface.binding.subspan layout(#layout) binding(1) alignment(64) offset(%c0)
        : memref<2x{ranks}x{size}xf32>
      %turns = hal.interface.binding.subspan layout(#layout) binding(2) alignment(64) offset(%c0)
        : memref<{ranks}x16xi32>
      %out = hal.interface.binding.subspan layout(#layout) binding(3) alignment(64) offset(%c0)
        : memref<{size}xf32>
      %last = memref.load %turns[%me, %c0] : memref<{ranks}x16xi32>
      %parity = arith.andi %last, %one : i32
      %region = arith.index_cast %parity : i32 to index
      %mine = vector.load %own[%c0] : memref<{size}xf32>, vector<{size}xf32>
      vector.store %mine, %exchange[%region, %me, %c0] : memref<2x{ranks}x{size}xf32>, vector<{size}xf32>
      %before = memref.atomic_rmw addi %one, %turns[%me, %c0] : (i32, memref<{ranks}x16xi32>) -> i32
      %turn = arith.addi %before, %one : i32
      %base = memref.extract_aligned_pointer_as_index %turns : memref<{ranks}x16xi32> -> index
      scf.for %rank = %c0 to %n step %c1 {{
        %line = arith.muli %rank, %c64 : index
        %at = arith.addi %base, %line : index
        %address = arith.index_cast %at : index to i64
        %pointer = llvm.inttoptr %address : i64 to !llvm.ptr
        %none = scf.while (%left = %spins) : (i32) -> i32 {{
          %seen = "llvm.load"(%pointer) <{{alignment = 4 : i64, ordering = 4 : i64}}> : (!llvm.ptr) -> i32
          %ahead = arith.subi %seen, %turn : i32
          %wait = arith.cmpi slt, %ahead, %zero : i32
          scf.condition(%wait) %left : i32
        }} do {{
        ^bb0(%left: i32):
          %fewer = arith.subi %left, %one : i32
          %enough = arith.cmpi slt, %fewer, %zero : i32
          %next = scf.if %enough -> i32 {{
            {_YIELD}
            scf.yield %zero : i32
          }} else {{
            scf.yield %fewer : i32
          }}
          scf.yield %next : i32
        }}
      }}
      {chr(10).join([*adds, *sums])}
      vector.store %s_{ranks - 1}, %out[%c0] : memref<{size}xf32>, vector<{size}xf32>
      return
    }}
  }}
}}
"""


_LAYOUT = """
#layout = #hal.pipeline.layout<constants = 1, bindings = [
  #hal.pipeline.binding<storage_buffer, ReadOnly>,
  #hal.pipeline.binding<storage_buffer>,
  #hal.pipeline.binding<storage_buffer>,
  #hal.pipeline.binding<storage_buffer>
]>
"""


class _Rank:
    """The functions of one rank."""

    def __init__(self, rank: int, ranks: int) -> None:
        self.rank, self.ranks = rank, ranks
        features = FEATURES // ranks
        self.x, self.mine = tensor(ROWS, FEATURES), tensor(ROWS, features)
        self.w, self.row, self.factors = tensor(VALUES, features), tensor(features), tensor(2 * features)
        self.b, self.features = tensor(VALUES), features
        self.exchange, self.turns = tensor(_exchanged(ranks), element="i8"), tensor(ranks, 16, element="i32")
        self.exchanged = 0
        self.states = (self.w, self.w, self.factors, self.b, COUNT, COUNT)

    def name(self, function: str) -> str:
        return f"@{function}" if self.rank == 0 else f"@{function}_{self.rank}"

    def shared(self, results: int) -> list[str]:
        """The arguments that ranks exchange through, behind so many results."""
        if self.ranks == 1:
            return []
        types = (("%ex0", self.exchange), ("%turns0", self.turns))
        return [f"{n}: {t} {{iree.abi.output = {results + i} : index}}" for i, (n, t) in enumerate(types)]

    def returned(self, values: Sequence[tuple[str, str]]) -> tuple[str, str]:
        """What is returned and its types."""
        if self.ranks > 1:
            last = self.exchanged
            values = [*values, (f"%ex{last}", self.exchange), (f"%turns{last}", self.turns)]
        return ", ".join(v for v, _ in values), ", ".join(t for _, t in values)

    def all_reduce(self, name: str, own: str) -> list[str]:
        """``name`` is the sum of all ranks' ``own``, 4x4."""
        if self.ranks == 1:
            return [f"{name} = util.optimization_barrier {own} : {_SUM}"]
        last, self.exchanged = self.exchanged, self.exchanged + 1
        now, flat = self.exchanged, tensor(ROWS * VALUES)
        return [
            f"%me{now} = arith.constant {self.rank} : i32",
            f"%own{now} = tensor.collapse_shape {own} [[0, 1]] : {_SUM} into {flat}",
            f"%ex{now}, %turns{now}, %sum{now} = flow.dispatch "
            f"@all_reduce::@run(%me{now}, %own{now}, %ex{last}, %turns{last}) "
            f": (i32, {flat}, {self.exchange}, {self.turns}) -> (%ex{last}, %turns{last}, {flat})",
            f"{name} = tensor.expand_shape %sum{now} [[0, 1]] output_shape [{ROWS}, {VALUES}] "
            f": {flat} into {_SUM}",
        ]

    def values(self) -> list[str]:
        """``%l``."""
        n, row, first = self.features, self.row, self.rank * self.features
        scaled = ["%p = arith.mulf %a, %b : f32", "%r = arith.addf %p, %c : f32"]
        return [
            "%zero = arith.constant 0.0 : f32",
            f"%xk = tensor.extract_slice %x[0, {first}] [{ROWS}, {n}] [1, 1] : {self.x} to {self.mine}",
            f"%scale = tensor.extract_slice %f[0] [{n}] [1] : {self.factors} to {row}",
            f"%shift = tensor.extract_slice %f[{n}] [{n}] [1] : {self.factors} to {row}",
            generic(
                "%xs",
                "ij,j,j->ij",
                [("%xk", self.mine), ("%scale", row), ("%shift", row)],
                self.mine,
                scaled,
            ),
            constant("%none", "0.0", _SUM),
            generic("%part", "ik,jk->ij", [("%xs", self.mine), ("%w", self.w)], _SUM, MULTIPLY_ADD, "%none"),
            *self.all_reduce("%whole", "%part"),
            generic(
                "%l",
                "ij,j->ij",
                [("%whole", _SUM), ("%b", self.b)],
                _SUM,
                ["%r = arith.addf %a, %b : f32"],
            ),
        ]

    def loss(self) -> list[str]:
        """``%loss``, and ``%d``, which is ``%l`` less ``%y``."""
        square = [
            f"%n = arith.constant {float(ROWS * VALUES)} : f32",
            f"%k = arith.constant {PENALTY} : f32",
            "%s = arith.mulf %a, %a : f32",
            "%q = arith.divf %s, %n : f32",
            "%p = arith.mulf %b, %k : f32",
            "%t = arith.addf %q, %p : f32",
            "%r = arith.addf %t, %o : f32",
        ]
        return [
            generic("%gram", "ik,jk->ij", [("%w", self.w), ("%w", self.w)], _SUM, MULTIPLY_ADD, "%none"),
            *self.all_reduce("%penalty", "%gram"),
            generic("%d", "ij,ij->ij", [("%l", _SUM), ("%y", _SUM)], _SUM, ["%r = arith.subf %a, %b : f32"]),
            constant("%loss0", "0.0", SCALAR),
            generic("%loss", "ij,ij->", [("%d", _SUM), ("%penalty", _SUM)], SCALAR, square, "%loss0"),
        ]

    def update(self) -> list[str]:
        """The new value of each state: its name with a 1 behind.

        They are where the old ones were, so whatever reads those must come first: IREE does not see to it. So
        each is said to depend on ``%last``.
        """
        n, w, row, mine, b = self.features, self.w, self.row, self.mine, self.b
        descend = [
            "%none = arith.constant 0.0 : f32",
            "%z = arith.mulf %d, %none : f32",
            "%p = arith.mulf %b, %c : f32",
            "%q = arith.addf %p, %z : f32",
            "%r = arith.subf %a, %q : f32",
        ]
        total = ["%p = arith.addf %a, %b : f32", "%r = arith.addf %p, %o : f32"]
        momentum = ["%p = arith.mulf %a, %c : f32", "%r = arith.addf %p, %b : f32"]
        rate = [("%lr", SCALAR), ("%last", SCALAR)]
        one = ["%k = arith.constant 1 : i64", "%r = arith.addi %a, %k : i64"]
        mean = [
            f"%n = arith.constant {ROWS * VALUES / 2} : f32",
            "%r = arith.divf %a, %n : f32",
        ]
        return [
            generic("%g", "ij->ij", [("%d", _SUM)], _SUM, mean),
            constant("%gw0", "0.0", w),
            generic("%gw", "ij,ik->jk", [("%g", _SUM), ("%xs", mine)], w, MULTIPLY_ADD, "%gw0"),
            constant("%gx0", "0.0", mine),
            generic("%gx", "ij,jk->ik", [("%g", _SUM), ("%w", w)], mine, MULTIPLY_ADD, "%gx0"),
            constant("%row0", "0.0", row),
            generic("%gs", "ik,ik->k", [("%gx", mine), ("%xk", mine)], row, MULTIPLY_ADD, "%row0"),
            generic("%gt", "ik->k", [("%gx", mine)], row, ADD, "%row0"),
            generic("%last", "ij,j->", [("%gw", w), ("%gt", row)], SCALAR, total, "%loss"),
            generic("%s1", "i,i,,->i", [("%scale", row), ("%gs", row), *rate], row, descend),
            generic("%t1", "i,i,,->i", [("%shift", row), ("%gt", row), *rate], row, descend),
            f"%fs = tensor.insert_slice %s1 into %f[0] [{n}] [1] : {row} into {self.factors}",
            f"%f1 = tensor.insert_slice %t1 into %fs[{n}] [{n}] [1] : {row} into {self.factors}",
            constant("%gb0", "0.0", b),
            generic("%gb", "ij->j", [("%g", _SUM)], b, ADD, "%gb0"),
            generic("%b1", "i,i,,->i", [("%b", b), ("%gb", b), *rate], b, descend),
            generic("%m1", "ij,ij,->ij", [("%m", w), ("%gw", w), ("%momentum", SCALAR)], w, momentum),
            generic("%w1", "ij,ij,,->ij", [("%w", w), ("%m1", w), *rate], w, descend),
            generic("%count1", "->", [("%count", COUNT)], COUNT, one),
        ]

    def functions(self, metadata: dict[str, Any] | None) -> str:
        """``init``, ``step``, ``predict`` and ``evaluate``."""
        initial = (WEIGHT, np.zeros_like(WEIGHT), FACTORS, np.zeros(VALUES, np.float32), 0, 17)
        names = ("%w", "%m", "%f", "%b", "%count", "%seed")
        constants = [
            constant(
                name,
                _literal(part(np.asarray(value), division, self.ranks, self.rank)),
                type_,
            )
            for name, type_, value, division in zip(names, self.states, initial, _DIVISIONS, strict=True)
        ]
        states = list(zip(names, self.states, strict=True))
        donated = [f"{n}: {t} {{iree.abi.output = {2 + i} : index}}" for i, (n, t) in enumerate(states)]
        model = [f"{n}: {t}" for n, t in states if n in ("%w", "%f", "%b")]
        x, y = f"%x: {self.x}", f"%y: {_SUM}"
        scalars = [f"%lr: {SCALAR}", f"%momentum: {SCALAR}"]
        stepped = [(n if n == "%seed" else f"{n}1", t) for n, t in states]
        init = f"""func.func {self.name("init")}() -> ({", ".join(self.states)}){reflection(metadata)} {{
{chr(10).join(constants)}
return {", ".join(names)} : {", ".join(self.states)}
}}"""
        return "\n".join(
            [
                init,
                self._function(
                    "step",
                    [x, y, *scalars, *donated, *self.shared(8)],
                    lambda: [*self.values(), *self.loss(), *self.update()],
                    [("%loss", SCALAR), ("%l", _SUM), *stepped],
                ),
                self._function("predict", [x, *model, *self.shared(1)], self.values, [("%l", _SUM)]),
                self._function(
                    "evaluate",
                    [x, y, *model, *self.shared(2)],
                    lambda: [*self.values(), *self.loss()],
                    [("%loss", SCALAR), ("%l", _SUM)],
                ),
            ]
        )

    def _function(
        self, name: str, given: Sequence[str], body: Any, results: Sequence[tuple[str, str]]
    ) -> str:
        self.exchanged = 0
        lines = body()
        values, types = self.returned(results)
        return f"""func.func {self.name(name)}({", ".join(given)}) -> ({types}) {{
{chr(10).join(lines)}
return {values} : {types}
}}"""


def _literal(array: np.ndarray) -> str:
    return str(array.tolist())


def ranked_program(path: Path, ranks: int, metadata: dict[str, Any] | None = None) -> Path:
    """The regression, divided among ``ranks``; not at all if it is one."""
    described = metadata or ranked_metadata(ranks)
    functions = [_Rank(k, ranks).functions(described if k == 0 else None) for k in range(ranks)]
    kernel = [_kernel(ranks)] if ranks > 1 else []
    return compile_mlir(
        "\n".join([_LAYOUT, "module @pock {", *kernel, *functions, "}"]),
        path,
    )
