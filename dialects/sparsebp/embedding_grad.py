# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.embedding_grad``: the gradient of an embedding look-up with respect to its table."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects.ext import Operand, Pure, Result

from ..types import element_of, shape_of
from .dialect import SparseBP, fail


class EmbeddingGradOp(SparseBP.Operation, name="embedding_grad", traits=[Pure]):
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

    def verify_invariants(self) -> bool:
        operation = self.operation
        grad, indices = (operand.type for operand in operation.operands)
        weight = shape_of(operation.results[0].type)
        if not element_of(indices).startswith("si"):
            return fail(self, f"indices must be integers, got {indices}")
        if len(weight) != 2 or shape_of(grad) != (*shape_of(indices), weight[1]):
            return fail(self, f"gradient {grad} does not fit indices {indices} and table {list(weight)}")
        if ir.IntegerAttr(operation.attributes["first_row"]).value < 0:
            return fail(self, "first_row must not be negative")
        return True
