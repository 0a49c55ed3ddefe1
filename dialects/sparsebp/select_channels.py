# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.select_channels``: the channels of a tensor that a mask keeps."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects.ext import Operand, Pure, Result

from ..types import element_of, shape_of
from .dialect import SparseBP, fail
from .mask import MaskAttr, mask_of


class SelectChannelsOp(SparseBP.Operation, name="select_channels", traits=[Pure]):
    """The channels that a range or list mask keeps, along dimension ``axis`` of ``input``.

    ``sparsebp-prune-backward`` puts it behind a masked gradient and sinks it towards the saved
    activations.
    """

    input: Operand[Any]
    axis: ir.IntegerAttr
    mask: MaskAttr
    selected: Result[Any]

    def verify_invariants(self) -> bool:
        operation = self.operation
        mask = mask_of(operation.attributes["mask"])
        if isinstance(mask, str):
            return fail(self, mask)
        if not mask.is_sliced:
            return fail(self, f"selects a range or a list of channels, not '{mask.kind.value}'")
        source, result = operation.operands[0].type, operation.results[0].type
        shape, axis = shape_of(source), ir.IntegerAttr(operation.attributes["axis"]).value
        if not 0 <= axis < len(shape):
            return fail(self, f"axis {axis} is out of range for shape {list(shape)}")
        names = [str(i) for i in range(len(shape))]
        names[axis] = mask.dimension
        if (problem := mask.problem_for(shape, names)) is not None:
            return fail(self, problem)
        expected = mask.shape(shape, names)
        if shape_of(result) != expected or element_of(result) != element_of(source):
            return fail(self, f"result must have shape {list(expected)}, got {result}")
        return True
