# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``torch.aten.embedding``."""

from typing import Any

import numpy as np
from torch_mlir import ir
from torch_mlir.dialects import tensor

from .builder import LinalgBuilder, convert_scalar, element, loop_index, shape, to_index


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """A gather of rows."""
    weight, indices = b.operand(op, 0), b.operand(op, 1)
    found = rows_at(b, weight, narrow(b, b.flatten(indices)))
    width = shape(weight)[1]
    if not shape(indices):
        return b.merge(found, [2])
    return b.reshape(found, [shape(indices), [width]])


def narrow(b: LinalgBuilder, indices: ir.Value) -> ir.Value:
    """Indices ``[n]`` as i32.

    Read through a table of positions: iree-compile's Vulkan target does not vectorize that, and cannot
    translate vectors of i64.
    """

    def read(position: ir.Value, _: ir.Value) -> ir.Value:
        return convert_scalar(tensor.extract(indices, [to_index(position)]), b.i32)

    positions = b.dense(np.arange(*shape(indices), dtype=np.int32))
    return b.generic("n -> n", [positions], [b.like(indices, b.i32)], read)


def rows_at(b: LinalgBuilder, table: ir.Value, indices: ir.Value) -> ir.Value:
    """``table[indices, :]``: ``[n, width]`` of ``indices [n]`` and a table ``[rows, width]``."""

    def gather(row: ir.Value, _: ir.Value) -> ir.Value:
        return tensor.extract(table, [to_index(row), loop_index(1)])

    init = b.empty([*shape(indices), shape(table)[1]], element(table))
    return b.generic("n -> n w", [indices], [init], gather)
