# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.avg_pool_grad``: the gradient of average pooling."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects.ext import Operand, Pure, Result

from ..types import shape_of
from .dialect import SparseBP, fail
from .window import Window


class AvgPoolGradOp(SparseBP.Operation, name="avg_pool_grad", traits=[Pure]):
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

    def verify_invariants(self) -> bool:
        operation = self.operation
        grad, source = shape_of(operation.operands[0].type), shape_of(operation.results[0].type)
        if len(grad) != len(source) or len(source) < 3 or grad[:2] != source[:2]:
            return fail(self, f"gradient {list(grad)} does not fit input {list(source)}")
        for name in ("kernel", "stride", "padding"):
            if len(ir.DenseI64ArrayAttr(operation.attributes[name])) != len(source) - 2:
                return fail(self, f"{name} must have {len(source) - 2} integers")
        if ir.IntegerAttr(operation.attributes["divisor_override"]).value < 0:
            return fail(self, "divisor_override must be 0 (none) or positive")
        return True


def window(op: Any) -> Window:
    """The pooling window, which average pooling never dilates."""
    attributes = op.operation.attributes
    kernel, stride, padding = (
        tuple(ir.DenseI64ArrayAttr(attributes[name])) for name in ("kernel", "stride", "padding")
    )
    return Window(kernel, stride, padding, (1,) * len(kernel))
