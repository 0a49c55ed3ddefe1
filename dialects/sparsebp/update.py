# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.update``: a parameter's gradient, on its way to the optimizer."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects.ext import Operand

from ..types import is_vtensor
from .dialect import WritesState
from .mask import MaskAttr, mask_of
from .operation import Operation, symbol


class UpdateOp(Operation, name="update", traits=[WritesState]):
    """Says that the optimizer applies ``gradient`` to what ``mask`` selects of ``symbol``.

    The gradient has the shape of what the mask selects. ``sparsebp-expand-optimizer`` turns the
    operation into arithmetic and a ``sparsebp.assign``.
    """

    gradient: Operand[Any]
    symbol: ir.FlatSymbolRefAttr
    mask: MaskAttr

    def problem(self) -> str | None:
        if not is_vtensor(self.operation.operands[0].type):
            return "gradient must be a static !torch.vtensor"
        symbol(self, "symbol")
        mask_of(self)
        return None
