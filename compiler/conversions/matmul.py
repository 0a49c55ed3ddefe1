# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``torch.aten.mm`` of transposed matrices, as in a linear layer's forward pass and weight gradient."""

from typing import Any

from torch_mlir import ir

from pock.compiler.torch_ir import permutation
from pock.dialects.types import element_of, shape_of

from .builder import LinalgBuilder
from .products import by_matrix, by_transposed, is_packed

LEAST_ROWS = 32
"""Rows of the left matrix from which a copy of the right one, the other way round, is worth its while.

``python -m pock.benchmarks.products`` prints what such copies gain.
"""

LEAST_COLUMNS = 256
"""Columns of the right matrix from which a copy of the left one, the other way round, is."""


def convert(op: Any, b: LinalgBuilder) -> ir.Value | None:
    """The product with copies whose rows are adjacent; what gains nothing by them is left to torch-mlir."""
    rows, columns = shape_of(op.operation.results[0].type)
    if element_of(op.operation.results[0].type) not in ("f32", "f16", "bf16"):
        return None
    (left, swapped_left), (right, swapped_right) = (_untransposed(v) for v in op.operation.operands)
    copies_left = swapped_left and columns >= LEAST_COLUMNS
    copies_right = swapped_right and rows >= LEAST_ROWS
    packs_right = not swapped_right and is_packed(b, rows, right)
    if not (copies_left or copies_right or packs_right):
        return None
    x = b.operand(op, 0)
    if copies_left:
        # Of the matrix as it is in memory: with other permutations in front, it takes ten times as long.
        x = b.reorder(b.barrier(b.builtin(left)), [1, 0])
    return by_transposed(b, x, b.builtin(right), [1]) if copies_right else by_matrix(b, x, b.operand(op, 1))


def _untransposed(value: ir.Value) -> tuple[ir.Value, bool]:
    """The matrix that ``value`` is the transposition of, and whether it is one."""
    source, order = permutation(value)
    return source, order == [1, 0]
