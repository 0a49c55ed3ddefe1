# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.all_reduce``."""

from typing import Any

from torch_mlir import ir

from pock.compiler.torch_ir import attributes_of

from .builder import LinalgBuilder


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """The same of builtin tensors, for ``sparsebp-connect-ranks``."""
    summand = b.operand(op, 0)
    total: ir.Value = b.create("sparsebp.all_reduce", [summand], [summand.type], attributes_of(op))
    return total
