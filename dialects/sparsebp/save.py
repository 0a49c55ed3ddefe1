# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.save``: a value that the forward pass stores for the backward pass."""

from typing import Any

from torch_mlir.dialects.ext import Operand, Pure, Result

from .operation import Operation


class SaveOp(Operation, name="save", traits=[Pure]):
    """``input`` itself, as it is stored: what is in front of it and what is behind are not fused or merged.

    ``sparsebp-rematerialize`` puts it between the forward pass and what the backward pass computes again.
    """

    input: Operand[Any]
    saved: Result[Any]

    def problem(self) -> str | None:
        source, result = self.operation.operands[0].type, self.operation.results[0].type
        return None if source == result else f"the result is the input, {source}, not {result}"
