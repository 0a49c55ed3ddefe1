# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.max_pool_grad``: the gradient of max pooling."""

from typing import Any

from torch_mlir.dialects.ext import Operand, Pure, Result

from ..types import element_of, shape_of
from .dialect import SparseBP, fail
from .window import Window


class MaxPoolGradOp(SparseBP.Operation, name="max_pool_grad", traits=[Pure]):
    """Each output gradient goes to the input position that ``argmax`` (of ``max_pool_argmax``) names."""

    grad_output: Operand[Any]
    argmax: Operand[Any]
    kernel: Any
    stride: Any
    padding: Any
    dilation: Any
    grad_input: Result[Any]

    def verify_invariants(self) -> bool:
        operation = self.operation
        grad, argmax = (operand.type for operand in operation.operands)
        source = shape_of(operation.results[0].type)
        if shape_of(grad) != shape_of(argmax) or element_of(argmax) != "si32":
            return fail(self, f"argmax must be si32 of the gradient's shape, got {argmax} for {grad}")
        if len(source) != len(shape_of(grad)):
            return fail(self, f"ranks differ: {grad} -> {list(source)}")
        problem = Window.of(self).problem(len(source) - 2)
        return True if problem is None else fail(self, problem)
