# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``torch.aten.constant_pad_nd``: padding, and the cropping that its gradient is.

torch-mlir lowers a negative amount to a ``tensor.pad`` with a negative amount, which iree-compile
rejects.
"""

from typing import Any

from torch_mlir import ir

from pock.compiler.torch_ir import constant
from pock.dialects.types import shape_of

from .builder import LinalgBuilder


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """Amounts are given from the last dimension to the first, before and after each."""
    rank = len(shape_of(op.operation.operands[0].type))
    amounts = constant(op.operation.operands[1])
    low, high = [0] * rank, [0] * rank
    for i in range(len(amounts) // 2):
        low[rank - 1 - i], high[rank - 1 - i] = amounts[2 * i], amounts[2 * i + 1]
    # Forward and backward pass share it: iree-compile cannot make it part of the convolution of one.
    return b.barrier(b.pad(b.operand(op, 0), low, high, float(constant(op.operation.operands[2]))))
