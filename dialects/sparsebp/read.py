# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.read``: the present value of a parameter or of state."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects.ext import Result

from ..types import is_vtensor
from .dialect import ReadsState
from .operation import Operation, symbol


class ReadOp(Operation, name="read", traits=[ReadsState]):
    """Reads the whole value of the declaration ``symbol``."""

    symbol: ir.FlatSymbolRefAttr
    value: Result[Any]

    def problem(self) -> str | None:
        symbol(self, "symbol")
        if not is_vtensor(self.operation.results[0].type):
            return "result must be a static !torch.vtensor"
        return None
