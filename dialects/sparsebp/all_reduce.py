# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.all_reduce``: the sum of what each core has."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects.ext import Operand, Pure, Result

from ..types import element_of
from .operation import Operation, integer

_ELEMENTS = ("f16", "bf16", "f32", "f64")


class AllReduceOp(Operation, name="all_reduce", traits=[Pure]):
    """The sum of ``summand`` over all ``ranks``, which each of them gets, the same bit for bit.

    The program is that of one ``rank`` of as many; the others' have the same operations of this kind in the
    same order. Each waits there for the others. ``sparsebp-split-channels`` makes it.
    """

    summand: Operand[Any]
    rank: ir.IntegerAttr
    ranks: ir.IntegerAttr
    sum: Result[Any]

    def problem(self) -> str | None:
        source, result = self.operation.operands[0].type, self.operation.results[0].type
        if source != result:
            return f"the sum is of the summand's type, {source}, not {result}"
        rank, ranks = integer(self, "rank", least=0), integer(self, "ranks", least=2)
        if rank >= ranks:
            return f"rank must be below ranks, {ranks}, got {rank}"
        builtin = isinstance(source, ir.RankedTensorType)
        element = str(source.element_type) if builtin else element_of(source)
        return None if element in _ELEMENTS else f"needs floating-point numbers, got {element}"
