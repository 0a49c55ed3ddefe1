# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``torch.aten.embedding``."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import tensor

from .builder import LinalgBuilder, element, loop_index, shape, to_index


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """A gather of rows."""
    weight, indices = b.operand(op, 0), b.cast(b.operand(op, 1), b.i32)
    return rows_at(b, weight, indices)


def rows_at(b: LinalgBuilder, table: ir.Value, indices: ir.Value) -> ir.Value:
    """``table[indices, :]``: ``[*indices, width]`` of a table ``[rows, width]``."""
    rank = len(shape(indices))

    def gather(row: ir.Value, _: ir.Value) -> ir.Value:
        return tensor.extract(table, [to_index(row), loop_index(rank)])

    names = " ".join(f"i{i}" for i in range(rank))
    init = b.empty([*shape(indices), shape(table)[1]], element(table))
    return b.generic(f"{names} -> {names} w", [indices], [init], gather)
