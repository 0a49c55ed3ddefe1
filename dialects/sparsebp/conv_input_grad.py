# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.conv_input_grad``: the gradient of a convolution with respect to its input."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects.ext import Operand, Pure, Result

from ..types import shape_of
from .layout import channels_first
from .operation import Operation, elements_differ, integer
from .window import Window, convolution_problem


class ConvInputGradOp(Operation, name="conv_input_grad", traits=[Pure]):
    """The transposed convolution of the output's gradient with the weight ``[F, C / groups, *kernel]``.

    ``grad_input[n, c, i] = Σ grad_output[n, f, o] · weight[f, c, k]`` over the ``f`` of ``c``'s group and
    the ``o`` and ``k`` with ``i = o · stride - padding + k · dilation``. The result type carries the input
    size, which the output size does not determine.

    ``stride``, ``padding`` and ``dilation`` are those of the forward convolution. With
    ``channels_last`` the tensors over space are ``[N, *in, C]`` and ``[N, *out, F]``.
    """

    grad_output: Operand[Any]
    weight: Operand[Any]
    stride: Any
    padding: Any
    dilation: Any
    groups: ir.IntegerAttr
    grad_input: Result[Any]

    def problem(self) -> str | None:
        grad, weight = (operand.type for operand in self.operation.operands)
        source = self.operation.results[0].type
        window, groups = Window.of(self, shape_of(weight)[2:]), integer(self, "groups", least=1)
        shapes = channels_first(self, source), shape_of(weight), channels_first(self, grad)
        problem = convolution_problem(window, groups, *shapes)
        return problem or elements_differ(grad, source, weight)
