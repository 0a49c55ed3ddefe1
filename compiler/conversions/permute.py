# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``torch.aten.permute``, ``t`` and ``transpose.int`` that change which elements are adjacent."""

from math import prod
from typing import Any

from torch_mlir import ir

from pock.compiler.torch_ir import permutation
from pock.dialects.types import shape_of

from .builder import LinalgBuilder

LEAST_ELEMENTS = 1 << 14
"""Elements from which a copy is worth a dispatch of its own."""


def convert(op: Any, b: LinalgBuilder) -> ir.Value | None:
    """A copy that is fused with nothing; what products read well as it is, is left to torch-mlir.

    Else iree-compile lets a product in front of it write its result the other way round, and one behind it
    read an operand so, as those of a transformer's keys: both then take several times as long.
    """
    result = op.operation.results[0]
    source, order = permutation(result)
    if source == result or order[-1] == len(order) - 1 or prod(shape_of(result.type)) < LEAST_ELEMENTS:
        return None
    if all(_reads_columns(use) for use in result.uses):
        return None
    return b.reorder(b.barrier(b.builtin(source)), order)


def _reads_columns(use: Any) -> bool:
    """Whether an operation reads a transposed matrix well: as its left factor, or after a copy of its own."""
    name: str = use.owner.operation.name
    return name == "torch.aten.mm" or (name == "torch.aten.bmm" and use.operand_number == 0)
