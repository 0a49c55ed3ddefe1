# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.save``."""

from typing import Any

from torch_mlir import ir

from .builder import LinalgBuilder


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """A barrier, which is gone when iree-compile has formed dispatches."""
    return b.barrier(b.operand(op, 0))
