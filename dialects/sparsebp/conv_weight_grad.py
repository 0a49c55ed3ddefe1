# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.conv_weight_grad``: the gradient of a convolution with respect to its weight."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects.ext import Operand, Pure, Result

from ..types import shape_of
from .layout import channels_first
from .operation import Operation, elements_differ, integer
from .window import Window, convolution_problem


class ConvWeightGradOp(Operation, name="conv_weight_grad", traits=[Pure]):
    """The correlation of the input with the output's gradient, a weight ``[F, C / groups, *kernel]``.

    ``grad_weight[f, c, k] = Σ grad_output[n, f, o] · input[n, c, o · stride - padding + k · dilation]``, over
    ``n`` and ``o``, with ``c`` counted within the group of ``f``. The result type carries the kernel size.

    ``stride``, ``padding`` and ``dilation`` are those of the forward convolution. With
    ``channels_last`` the tensors over space are ``[N, *in, C]`` and ``[N, *out, F]``.
    """

    grad_output: Operand[Any]
    input: Operand[Any]
    stride: Any
    padding: Any
    dilation: Any
    groups: ir.IntegerAttr
    grad_weight: Result[Any]

    def problem(self) -> str | None:
        grad, source = (operand.type for operand in self.operation.operands)
        weight = self.operation.results[0].type
        window, groups = Window.of(self, shape_of(weight)[2:]), integer(self, "groups", least=1)
        shapes = channels_first(self, source), shape_of(weight), channels_first(self, grad)
        problem = convolution_problem(window, groups, *shapes)
        return problem or elements_differ(grad, source, weight)
