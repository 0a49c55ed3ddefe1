# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.parameter``: a parameter or buffer of the model and its update mask."""

from torch_mlir import ir

from .dialect import SparseBP, fail
from .mask import MaskAttr, mask_of


class ParameterOp(SparseBP.Operation, name="parameter"):
    """Declares a parameter (or buffer) of the model under PyTorch's name for it.

    ``dimensions`` names each dimension, so that masks read ``"input_channels"`` and not ``1``.
    ``role`` is ``parameter`` (trained where the mask says so) or ``buffer`` (assigned by the model
    itself, as batch norm does with its statistics, or never).
    """

    sym_name: ir.StringAttr
    type: ir.TypeAttr
    dimensions: ir.ArrayAttr
    role: ir.StringAttr
    mask: MaskAttr

    def verify_invariants(self) -> bool:
        attributes = self.operation.attributes
        role = ir.StringAttr(attributes["role"]).value
        if role not in ("parameter", "buffer"):
            return fail(self, f"role must be 'parameter' or 'buffer', got '{role}'")
        try:
            tensor = ir.RankedTensorType(ir.TypeAttr(attributes["type"]).value)
        except ValueError:
            return fail(self, f"type must be a ranked tensor, got {attributes['type']}")
        names = [ir.StringAttr(name).value for name in ir.ArrayAttr(attributes["dimensions"])]
        if len(names) != tensor.rank or len(set(names)) != len(names):
            return fail(self, f"needs {tensor.rank} distinct dimension names, got {names}")
        mask = mask_of(attributes["mask"])
        if isinstance(mask, str):
            return fail(self, mask)
        if (problem := mask.problem_for(tensor.shape, names)) is not None:
            return fail(self, problem)
        return True
