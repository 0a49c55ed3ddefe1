# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.avg_pool``: average pooling."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects.ext import Operand, Pure, Result

from .avg_pool_grad import window
from .layout import channels_first
from .operation import Operation, boolean, elements_differ, integer
from .window import pooling_problem


class AvgPoolOp(Operation, name="avg_pool", traits=[Pure]):
    """The average of each window of ``input [N, C, *spatial]``; the divisor is that of ``avg_pool_grad``."""

    input: Operand[Any]
    kernel: Any
    stride: Any
    padding: Any
    count_include_pad: Any
    divisor_override: ir.IntegerAttr
    output: Result[Any]

    def problem(self) -> str | None:
        boolean(self, "count_include_pad")
        integer(self, "divisor_override", least=0)
        source, result = self.operation.operands[0].type, self.operation.results[0].type
        shapes = channels_first(self, source), channels_first(self, result)
        return pooling_problem(window(self), *shapes) or elements_differ(source, result)
