# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.select_channels``: the channels of a tensor that a mask keeps."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects.ext import Operand, Pure, Result

from ..types import shape_of
from .mask import MaskAttr, mask_of
from .operation import Operation, elements_differ, integer


class SelectChannelsOp(Operation, name="select_channels", traits=[Pure]):
    """The channels that a range or list mask keeps, along dimension ``axis`` of ``input``.

    ``sparsebp-prune-backward`` puts it behind a masked gradient and sinks it towards the saved
    activations; ``sparsebp-prune-positions`` does so with slices, whose positions are its channels.
    """

    input: Operand[Any]
    axis: ir.IntegerAttr
    mask: MaskAttr
    selected: Result[Any]

    def problem(self) -> str | None:
        mask, axis = mask_of(self), integer(self, "axis")
        if not mask.is_sliced:
            return f"selects a range or a list of channels, not '{mask.kind.value}'"
        source, result = self.operation.operands[0].type, self.operation.results[0].type
        shape = shape_of(source)
        if not 0 <= axis < len(shape):
            return f"axis {axis} is out of range for shape {list(shape)}"
        names = [str(i) for i in range(len(shape))]
        names[axis] = mask.dimension
        if (problem := mask.problem_for(shape, names)) is not None:
            return problem
        expected = mask.shape(shape, names)
        if shape_of(result) != expected:
            return f"result must have shape {list(expected)}, got {result}"
        return elements_differ(source, result)
