# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Operations once more, of a part of what they were of: what passes share that divide a program."""

from collections.abc import Sequence
from typing import Any

from torch_mlir import ir

from pock.compiler.analysis.shares import Kind, Share, same_positions
from pock.compiler.torch_ir import TorchBuilder, attributes_of, constant
from pock.dialects.sparsebp import Mask
from pock.dialects.types import element_of, is_vtensor, shape_of, vtensor

from .sinking import SELECTION

_SIZES = {
    "torch.aten._unsafe_view": 1, "torch.aten.empty.memory_format": 0, "torch.aten.expand": 1,
    "torch.aten.full": 0, "torch.aten.ones": 0, "torch.aten.reshape": 1, "torch.aten.view": 1,
    "torch.aten.zeros": 0,
}  # fmt: skip
"""Operations one of whose operands lists the sizes of their result."""

_GROUPS = 8
"""The operand of ``torch.aten.convolution`` that is the number of groups."""


class Parts:
    """Makes operations of one of ``count`` equal parts of their operands."""

    def __init__(self, count: int) -> None:
        self.count = count

    def type(self, value: ir.Value, share: Share | None) -> ir.Type:
        """The type of a share of ``value``."""
        if share is None or share.kind is not Kind.PART or not is_vtensor(value.type):
            return value.type
        shape = list(shape_of(value.type))
        shape[share.axis] //= self.count
        return vtensor(shape, element_of(value.type))

    def again(
        self, builder: "PartBuilder", op: Any, operands: Sequence[ir.Value | None], share: Share | None
    ) -> list[ir.Value]:
        """``op`` on other operands, giving ``share`` of its results; constants are made anew."""
        builder.location = op.location
        results = [self.type(result, share) for result in op.results]
        values = [
            builder.again(old) if new is None else new for old, new in zip(op.operands, operands, strict=True)
        ]
        attributes = attributes_of(op)
        if share is not None and share.kind is Kind.PART:
            if op.name in _SIZES:
                values[_SIZES[op.name]] = builder.int_list(shape_of(results[0]))
            if op.name == SELECTION:
                attributes["mask"] = self._mask(op, share.axis)
            self._divide_groups(builder, op, share, values, attributes)
        made = builder.create(op.name, values, results, attributes)
        if not results:
            return []
        return list(made) if isinstance(made, list) else [made]

    def _mask(self, op: Any, axis: int) -> ir.Attribute:
        """What a selection selects of a part along ``axis`` of its operand."""
        mask: ir.Attribute = op.attributes["mask"]
        if axis != ir.IntegerAttr(op.attributes["axis"]).value:
            return mask
        chosen = same_positions(op, self.count) or ()
        size = shape_of(op.operands[0].type)[axis] // self.count
        return Mask.channels(Mask.from_attr(mask).dimension, chosen, size).to_attr()

    def _divide_groups(
        self,
        builder: "PartBuilder",
        op: Any,
        share: Share,
        values: list[ir.Value],
        attributes: dict[str, ir.Attribute],
    ) -> None:
        """A part of the channels of a grouped convolution is of a part of its groups."""
        if op.name == "torch.aten.convolution" and share.axis == 1:
            if (groups := constant(op.operands[_GROUPS])) > 1:
                values[_GROUPS] = builder.int(groups // self.count)
        elif (op.name, share.axis) in _GROUPED and (groups := ir.IntegerAttr(attributes["groups"]).value) > 1:
            attributes["groups"] = builder.i64(groups // self.count)


_GROUPED = (("sparsebp.conv_input_grad", 1), ("sparsebp.conv_weight_grad", 0))
"""Operations with groups, and the dimension of their result that is in groups."""


class PartBuilder(TorchBuilder):
    """Builds at the end of a function, with the constants that it needs in front of their first use."""

    def __init__(self, anchor: Any) -> None:
        super().__init__(anchor)
        self._made: dict[ir.Value, ir.Value] = {}

    def again(self, value: ir.Value) -> ir.Value:
        """A value that is no tensor: a constant, or a list of constants."""
        if value not in self._made:
            op = value.owner.operation
            operands = [self.again(operand) for operand in op.operands]
            self._made[value] = self.create(op.name, operands, [value.type], attributes_of(op))
        return self._made[value]
