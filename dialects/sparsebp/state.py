# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.state``: a value that a training step carries to the next one."""

from typing import Any

from torch_mlir import ir

from .dialect import SparseBP, fail

ROLES = ("optimizer", "step", "seed")


class StateOp(SparseBP.Operation, name="state"):
    """Declares state besides parameters: optimizer moments, the step count, the random seed.

    ``initial`` is the scalar that every element starts from. ``role`` is ``optimizer`` (with the
    attributes ``parameter`` and ``slot`` naming what it belongs to), ``step`` or ``seed``.
    """

    sym_name: ir.StringAttr
    type: ir.TypeAttr
    role: ir.StringAttr
    initial: Any

    def verify_invariants(self) -> bool:
        attributes = self.operation.attributes
        role = ir.StringAttr(attributes["role"]).value
        if role not in ROLES:
            return fail(self, f"role must be one of {', '.join(ROLES)}, got '{role}'")
        if role == "optimizer" and not ("parameter" in attributes and "slot" in attributes):
            return fail(self, "optimizer state needs 'parameter' and 'slot'")
        try:
            tensor = ir.RankedTensorType(ir.TypeAttr(attributes["type"]).value)
        except ValueError:
            return fail(self, f"type must be a ranked tensor, got {attributes['type']}")
        initial = attributes["initial"]
        if not isinstance(initial, ir.FloatAttr | ir.IntegerAttr) or initial.type != tensor.element_type:
            return fail(self, f"initial must be a scalar {tensor.element_type}, got {initial}")
        return True
