# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.state``: a value that a training step carries to the next one."""

from typing import Any

from torch_mlir import ir

from .operation import Operation, shown, string, tensor_type

ROLES = ("optimizer", "step", "seed")


class StateOp(Operation, name="state"):
    """Declares state besides parameters: optimizer moments, the step count, the random seed.

    ``initial`` is the scalar that every element starts from. ``role`` is ``optimizer`` (with the
    attributes ``parameter`` and ``slot`` naming what it belongs to), ``step`` or ``seed``.
    """

    sym_name: ir.StringAttr
    type: ir.TypeAttr
    role: ir.StringAttr
    initial: Any

    def problem(self) -> str | None:
        string(self, "sym_name")
        if (role := string(self, "role")) not in ROLES:
            return f"role must be one of {', '.join(ROLES)}, got '{role}'"
        attributes = self.operation.attributes
        if role == "optimizer":
            for name in ("parameter", "slot"):
                if name not in attributes:
                    return f"of role optimizer needs the attribute {name}"
                string(self, name)
        element = tensor_type(self, "type").element_type
        initial = attributes["initial"]
        if not isinstance(initial, ir.FloatAttr | ir.IntegerAttr | ir.BoolAttr) or initial.type != element:
            return f"initial must be a scalar {element}, got {shown(initial)}"
        return None
