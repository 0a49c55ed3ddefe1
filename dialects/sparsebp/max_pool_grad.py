# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.max_pool_grad``: the gradient of max pooling."""

from typing import Any

from torch_mlir.dialects.ext import Operand, Pure, Result

from ..types import element_of, shape_of
from .layout import channels_first
from .operation import Operation, elements_differ
from .window import Window, pooling_problem


class MaxPoolGradOp(Operation, name="max_pool_grad", traits=[Pure]):
    """Each output gradient goes to the input position that ``argmax`` (of ``max_pool_argmax``) names."""

    grad_output: Operand[Any]
    argmax: Operand[Any]
    kernel: Any
    stride: Any
    padding: Any
    dilation: Any
    grad_input: Result[Any]

    def problem(self) -> str | None:
        grad, argmax = (operand.type for operand in self.operation.operands)
        source = self.operation.results[0].type
        if shape_of(grad) != shape_of(argmax) or element_of(argmax) != "si32":
            return f"argmax must be si32 of the gradient's shape, got {argmax} for {grad}"
        problem = pooling_problem(Window.of(self), channels_first(self, source), channels_first(self, grad))
        return problem or elements_differ(grad, source)
