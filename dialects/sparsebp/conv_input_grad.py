# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.conv_input_grad``: the gradient of a convolution with respect to its input."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects.ext import Operand, Pure, Result

from ..types import shape_of
from .dialect import SparseBP, fail
from .window import Window, convolution_problem


class ConvInputGradOp(SparseBP.Operation, name="conv_input_grad", traits=[Pure]):
    """``grad_input[n, c, i] = Σ grad_output[n, f, o] · weight[f, c, k]`` over ``i = o·stride − padding + k·dilation``:
    the transposed convolution. The result type carries the input size, which the output size does
    not determine. Weight is ``[F, C / groups, *kernel]``.

    ``stride``, ``padding`` and ``dilation`` are those of the forward convolution.
    """

    grad_output: Operand[Any]
    weight: Operand[Any]
    stride: Any
    padding: Any
    dilation: Any
    groups: ir.IntegerAttr
    grad_input: Result[Any]

    def verify_invariants(self) -> bool:
        operation = self.operation
        grad = shape_of(operation.operands[0].type)
        source, weight = shape_of(operation.results[0].type), shape_of(operation.operands[1].type)
        groups = ir.IntegerAttr(operation.attributes["groups"]).value
        problem = convolution_problem(Window.of(self, weight[2:]), groups, source, weight, grad)
        return True if problem is None else fail(self, problem)
