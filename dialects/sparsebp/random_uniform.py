# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.random_uniform``: random numbers in [0, 1), a pure function of seed and step."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects.ext import Operand, Pure, Result

from ..types import element_of
from .operation import Operation
from .random_draw import draw_problem


class RandomUniformOp(Operation, name="random_uniform", traits=[Pure]):
    """Independent multiples of 2⁻²⁴ in [0, 1), all equally likely.

    Element ``i`` (row-major) is ``⌊word / 2⁸⌋ · 2⁻²⁴``, exact in f32, of the word that ``random_mask`` with
    the same operands and stream compares with its probability. ``stream`` tells apart the draws of one
    step, masks and numbers alike. ``seed`` and ``step`` are ``si64`` scalars.
    """

    seed: Operand[Any]
    step: Operand[Any]
    stream: ir.IntegerAttr
    numbers: Result[Any]

    def problem(self) -> str | None:
        problem = draw_problem(self)
        if problem is None and element_of(self.operation.results[0].type) != "f32":
            problem = f"numbers must be f32, got {self.operation.results[0].type}"
        return problem
