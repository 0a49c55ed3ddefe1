# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.avg_pool_grad``: the gradient of average pooling."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects.ext import Operand, Pure, Result

from .layout import channels_first
from .operation import Operation, boolean, elements_differ, integer, integers
from .window import Window, pooling_problem


class AvgPoolGradOp(Operation, name="avg_pool_grad", traits=[Pure]):
    """Spreads each output gradient evenly over its window.

    The divisor is that of PyTorch's ``avg_pool2d``: ``divisor_override`` unless it is 0; else the
    window's size with padding (``count_include_pad``) or without.
    """

    grad_output: Operand[Any]
    kernel: Any
    stride: Any
    padding: Any
    count_include_pad: Any
    divisor_override: ir.IntegerAttr
    grad_input: Result[Any]

    def problem(self) -> str | None:
        boolean(self, "count_include_pad")
        integer(self, "divisor_override", least=0)
        grad, source = self.operation.operands[0].type, self.operation.results[0].type
        shapes = channels_first(self, source), channels_first(self, grad)
        return pooling_problem(window(self), *shapes) or elements_differ(grad, source)


def window(op: Any) -> Window:
    """The pooling window, which average pooling never dilates."""
    kernel, stride, padding = (integers(op, name) for name in ("kernel", "stride", "padding"))
    return Window(kernel, stride, padding, (1,) * len(kernel))
