# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.max_pool`` and ``sparsebp.max_pool_argmax``: max pooling and where its maxima are."""

from typing import Any

from torch_mlir.dialects.ext import Operand, Pure, Result

from ..types import element_of
from .layout import channels_first
from .operation import Operation, elements_differ
from .window import Window, pooling_problem


class MaxPoolOp(Operation, name="max_pool", traits=[Pure]):
    """The maximum of each window of ``input [N, C, *spatial]``; padding counts as minus infinity."""

    input: Operand[Any]
    kernel: Any
    stride: Any
    padding: Any
    dilation: Any
    output: Result[Any]

    def problem(self) -> str | None:
        source, result = self.operation.operands[0].type, self.operation.results[0].type
        problem = pooling_problem(Window.of(self), channels_first(self, source), channels_first(self, result))
        return problem or elements_differ(source, result)


class MaxPoolArgmaxOp(Operation, name="max_pool_argmax", traits=[Pure]):
    """The row-major position inside each window of its first maximum, as ``si32``."""

    input: Operand[Any]
    kernel: Any
    stride: Any
    padding: Any
    dilation: Any
    argmax: Result[Any]

    def problem(self) -> str | None:
        source, result = self.operation.operands[0].type, self.operation.results[0].type
        if element_of(result) != "si32":
            return f"argmax must be si32, got {result}"
        return pooling_problem(Window.of(self), channels_first(self, source), channels_first(self, result))
