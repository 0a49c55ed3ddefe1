# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.parameter``: a parameter or buffer of the model and its update mask."""

from torch_mlir import ir

from .mask import MaskAttr, mask_of
from .operation import Operation, string, strings, tensor_type

ROLES = ("parameter", "buffer")


class ParameterOp(Operation, name="parameter"):
    """Declares a parameter (or buffer) of the model under PyTorch's name for it.

    ``dimensions`` names each dimension, so that masks read ``"input_channels"`` and not ``1``.
    ``role`` is ``parameter`` (trained where the mask says so) or ``buffer`` (assigned by the model
    itself, as batch norm does with its statistics, or never). The optional attribute
    ``channel_dimension`` is the dimension along which a scheme counts channels.
    """

    sym_name: ir.StringAttr
    type: ir.TypeAttr
    dimensions: ir.ArrayAttr
    role: ir.StringAttr
    mask: MaskAttr

    def problem(self) -> str | None:
        string(self, "sym_name")
        if (role := string(self, "role")) not in ROLES:
            return f"role must be one of {', '.join(ROLES)}, got '{role}'"
        tensor, names = tensor_type(self, "type"), strings(self, "dimensions")
        if len(names) != tensor.rank or len(set(names)) != len(names):
            return f"needs {tensor.rank} distinct dimension names, got {names}"
        if "channel_dimension" in self.operation.attributes:
            channels = string(self, "channel_dimension")
            if channels not in names:
                return f"channel_dimension must be one of {names}, got '{channels}'"
        return mask_of(self).problem_for(tensor.shape, names)
