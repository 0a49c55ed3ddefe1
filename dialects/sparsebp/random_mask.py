# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.random_mask``: the random bits of dropout, a pure function of seed and step."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects.ext import Operand, Pure, Result

from ..types import element_of
from .operation import Operation, number
from .random_draw import draw_problem


class RandomMaskOp(Operation, name="random_mask", traits=[Pure]):
    """Independent bits that are 1 with ``probability``.

    Element ``i`` (row-major) is ``philox4x32_10(counter, key)[i % 4] < probability · 2³²`` with counter
    ``(i / 4, stream, step mod 2³², step / 2³²)`` and key ``(seed mod 2³², seed / 2³²)``: the generator
    of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). ``stream`` tells apart
    the draws of one step. ``seed`` and ``step`` are ``si64`` scalars.
    """

    seed: Operand[Any]
    step: Operand[Any]
    stream: ir.IntegerAttr
    probability: ir.FloatAttr
    bits: Result[Any]

    def problem(self) -> str | None:
        problem = draw_problem(self)
        if problem is not None:
            return problem
        if element_of(self.operation.results[0].type) != "i1":
            return f"bits must be i1, got {self.operation.results[0].type}"
        probability = number(self, "probability")
        return None if 0 <= probability <= 1 else f"probability must be in [0, 1], got {probability}"
