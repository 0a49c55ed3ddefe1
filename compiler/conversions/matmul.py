# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``torch.aten.mm`` by a transposed matrix, as a linear layer's forward pass is."""

from typing import Any

from torch_mlir import ir

from pock.compiler.torch_ir import NotConstant, constant, defining_op
from pock.dialects.types import builtin_tensor, element_of, shape_of

from .builder import LinalgBuilder

LEAST_ROWS = 32
"""Rows of the left matrix from which a copy of the right one, the other way round, is worth its while.

Measured for 384 by 1536: with 128 rows 1.4 ms against 1.8, with 1024 rows 9 against 14.
"""


def convert(op: Any, b: LinalgBuilder) -> ir.Value | None:
    """The product with a copy whose rows are adjacent; other products are left to torch-mlir."""
    left, right = op.operation.operands
    rows, columns = shape_of(op.operation.results[0].type)
    source = _transposed(right)
    if source is None or rows < LEAST_ROWS or element_of(left.type) not in ("f32", "f16", "bf16"):
        return None
    value = b.create("torch_c.to_builtin_tensor", [source], [builtin_tensor(source.type)])
    return b.contract("m k, k n -> m n", b.operand(op, 0), b.reorder(value, [1, 0]), [rows, columns])


def _transposed(value: ir.Value) -> ir.Value | None:
    """What a matrix is the transposition of, or None."""
    op = defining_op(value)
    name = "" if op is None else op.operation.name
    if op is None or name not in ("torch.aten.permute", "torch.aten.t", "torch.aten.transpose.int"):
        return None
    source, *arguments = op.operation.operands
    try:
        given = [constant(argument) for argument in arguments]
    except NotConstant:
        return None
    if name == "torch.aten.permute":
        exchanged = [d % 2 for d in given[0]] == [1, 0]
    else:
        exchanged = not given or given[0] % 2 != given[1] % 2
    return source if exchanged else None
