# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.assign``: the new value of a parameter or of state."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects.ext import Operand

from ..types import is_vtensor
from .dialect import WritesState
from .mask import MaskAttr, mask_of
from .operation import Operation, symbol


class AssignOp(Operation, name="assign", traits=[WritesState]):
    """Overwrites what ``mask`` selects of ``symbol`` with ``value``; the rest keeps its bits."""

    value: Operand[Any]
    symbol: ir.FlatSymbolRefAttr
    mask: MaskAttr

    def problem(self) -> str | None:
        if not is_vtensor(self.operation.operands[0].type):
            return "value must be a static !torch.vtensor"
        symbol(self, "symbol")
        mask_of(self)
        return None
