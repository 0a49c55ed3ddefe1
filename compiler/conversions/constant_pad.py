# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``torch.aten.constant_pad_nd``: padding, and the cropping that its gradient is.

torch-mlir lowers a negative amount to a ``tensor.pad`` with a negative amount, which iree-compile
rejects.
"""

from typing import Any

from torch_mlir import ir

from pock.compiler.torch_ir import constant, paddings

from .builder import LinalgBuilder


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """A copy with what is put around it, or cropped."""
    amounts = paddings(op)
    low, high = [before for before, _ in amounts], [behind for _, behind in amounts]
    # Forward and backward pass share it: iree-compile cannot make it part of the convolution of one.
    return b.barrier(b.pad(b.operand(op, 0), low, high, float(constant(op.operation.operands[2]))))
