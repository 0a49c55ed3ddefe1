# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.embedding_grad``: the gradient of an embedding look-up with respect to its table."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects.ext import Operand, Pure, Result

from ..types import element_of, shape_of
from .operation import Operation, boolean, elements_differ, integer


class EmbeddingGradOp(Operation, name="embedding_grad", traits=[Pure]):
    """``grad_weight[first_row + r, :] = Σ grad_output[i, :]`` over the ``i`` with that index.

    ``indices`` has any shape, ``grad_output`` that shape and the embedding's width. The result
    holds the table's rows from ``first_row`` on. Rows equal to ``padding_idx`` (-1: none) get zero;
    with ``scale_grad_by_freq`` each row is divided by how often it occurs.
    """

    grad_output: Operand[Any]
    indices: Operand[Any]
    first_row: ir.IntegerAttr
    padding_idx: ir.IntegerAttr
    scale_grad_by_freq: Any
    grad_weight: Result[Any]

    def problem(self) -> str | None:
        integer(self, "first_row", least=0)
        integer(self, "padding_idx", least=-1)
        boolean(self, "scale_grad_by_freq")
        grad, indices = (operand.type for operand in self.operation.operands)
        table = self.operation.results[0].type
        if not element_of(indices).startswith("si"):
            return f"indices must be integers, got {indices}"
        if len(shape_of(table)) != 2 or shape_of(grad) != (*shape_of(indices), shape_of(table)[1]):
            return f"gradient {grad} does not fit indices {indices} and table {table}"
        return elements_differ(grad, table)
