# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.convolution``: a convolution, without a bias."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects.ext import Operand, Pure, Result

from ..types import shape_of
from .layout import channels_first
from .operation import Operation, elements_differ, integer
from .window import Window, convolution_problem


class ConvolutionOp(Operation, name="convolution", traits=[Pure]):
    """The correlation of ``input [N, C, *in]`` with ``weight [F, C / groups, *kernel]``.

    ``output[n, f, o] = Σ input[n, c, o · stride - padding + k · dilation] · weight[f, c, k]`` over ``k`` and
    the channels ``c`` of the group of ``f``. With ``channels_last`` input and output are ``[N, *in, C]``
    and ``[N, *out, F]``; the weight's layout is the same in both.
    """

    input: Operand[Any]
    weight: Operand[Any]
    stride: Any
    padding: Any
    dilation: Any
    groups: ir.IntegerAttr
    output: Result[Any]

    def problem(self) -> str | None:
        source, weight = (operand.type for operand in self.operation.operands)
        result = self.operation.results[0].type
        window, groups = Window.of(self, shape_of(weight)[2:]), integer(self, "groups", least=1)
        shapes = channels_first(self, source), shape_of(weight), channels_first(self, result)
        return convolution_problem(window, groups, *shapes) or elements_differ(source, weight, result)
