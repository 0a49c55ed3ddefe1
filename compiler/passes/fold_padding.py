# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-fold-padding``: zeros around a convolution's input become padding of the convolution."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.torch_ir import (
    NotConstant,
    TorchBuilder,
    attributes_of,
    constant,
    defining_op,
    functions,
    operations,
    paddings,
)
from pock.dialects.sparsebp.layout import is_channels_last
from pock.dialects.sparsebp.window import PADDING_HIGH, Window
from pock.dialects.types import NotAStaticTensor

from .base import Pass
from .simplify import erase_unused

_PAD = "torch.aten.constant_pad_nd"

#: Operations that read a convolution's input, and which operand it is.
_READERS = {"sparsebp.convolution": 0, "sparsebp.conv_weight_grad": 1}

Amounts = tuple[int, int]
"""What is put before and behind a dimension; less than none where it is cropped."""


@dataclass(frozen=True)
class FoldPadding(Pass):
    """Makes zeros that a model puts around the input of a convolution part of the convolution.

    PyTorch's ``padding`` is the same at both ends. What needs another one, as models of TensorFlow's "same"
    padding do, pads before it convolves; of an even kernel, ``padding="same"`` does. That is a copy of the
    activation each way, and the gradient is computed at the zeros too, only to be cropped::

        %p = torch.aten.constant_pad_nd %x, [0, 0, 0, 1, 0, 1], 0.0
        %y = "sparsebp.convolution"(%p, %w) {padding = array<i64: 0, 0>, ...}
        ...
        %dw = "sparsebp.conv_weight_grad"(%g, %p) {padding = array<i64: 0, 0>, ...}
        %dp = "sparsebp.conv_input_grad"(%g, %w) {padding = array<i64: 0, 0>, ...}
        %dx = torch.aten.constant_pad_nd %dp, [0, 0, 0, -1, 0, -1], 0.0

    becomes::

        %y = "sparsebp.convolution"(%x, %w) {padding = array<i64: 0, 0>, padding_high = array<i64: 1, 1>, ...}
        ...
        %dw = "sparsebp.conv_weight_grad"(%g, %x) {padding = ..., padding_high = ..., ...}
        %dx = "sparsebp.conv_input_grad"(%g, %w) {padding = ..., padding_high = ..., ...}

    What anything else reads padded stays so for all its readers, and a gradient that anything reads uncropped
    stays whole. Convolutions of the torch dialect are left alone: ``sparsebp-convert-layout`` makes them the
    dialect's.
    """

    name: ClassVar[str] = "sparsebp-fold-padding"

    def apply(self, module: ir.Module) -> None:
        for function in functions(module).values():
            # Again after each: a reader may be padded twice.
            while any(map(_fold, operations(function, _PAD))):
                erase_unused(function)


def _fold(pad: Any) -> bool:
    try:
        amounts, value = paddings(pad), constant(pad.operation.operands[2])
        return (value == 0 and _fold_into_readers(pad, amounts)) or _fold_into_gradient(pad, amounts)
    except (NotConstant, NotAStaticTensor):
        return False


def _fold_into_readers(pad: Any, amounts: Sequence[Amounts]) -> bool:
    x, padded = pad.operation.operands[0], pad.operation.results[0]
    readers = [(use.owner, use.operand_number) for use in padded.uses]
    if not readers or any(_READERS.get(op.operation.name) != position for op, position in readers):
        return False
    if not all(_is_more_padding(op, amounts) for op, _ in readers):
        return False
    for op, position in readers:
        operands = list(op.operation.operands)
        operands[position] = x
        result = op.operation.results[0]
        result.replace_all_uses_with(_padded_more(op, operands, result.type, amounts))
        op.operation.erase()
    pad.operation.erase()
    return True


def _fold_into_gradient(crop: Any, amounts: Sequence[Amounts]) -> bool:
    whole, cropped = crop.operation.operands[0], crop.operation.results[0]
    gradient = defining_op(whole)
    if gradient is None or gradient.operation.name != "sparsebp.conv_input_grad":
        return False
    added = [(-before, -behind) for before, behind in amounts]
    if len(list(whole.uses)) != 1 or not _is_more_padding(gradient, added):
        return False
    operands = list(gradient.operation.operands)
    cropped.replace_all_uses_with(_padded_more(gradient, operands, cropped.type, added))
    crop.operation.erase()
    gradient.operation.erase()
    return True


def _is_more_padding(op: Any, amounts: Sequence[Amounts]) -> bool:
    """Whether a convolution can pad by ``amounts`` itself: outwards, and dimensions of space only."""
    spatial = _spatial(op, amounts)
    return min(map(min, amounts)) >= 0 and sum(map(sum, amounts)) == sum(map(sum, spatial))


def _padded_more(
    op: Any, operands: Sequence[ir.Value], result: ir.Type, amounts: Sequence[Amounts]
) -> ir.Value:
    """A convolution, or a gradient of it, again: of other operands, and padded by ``amounts`` more."""
    window, spatial, builder = Window.of(op, ()), _spatial(op, amounts), TorchBuilder(op)
    low = [n + before for n, (before, _) in zip(window.padding, spatial, strict=True)]
    high = [n + behind for n, (_, behind) in zip(window.high, spatial, strict=True)]
    attributes = attributes_of(op)
    attributes.pop(PADDING_HIGH, None)
    attributes |= builder.int_arrays(padding=low) | (
        builder.int_arrays(padding_high=high) if high != low else {}
    )
    new: ir.Value = builder.create(op.operation.name, operands, [result], attributes)
    return new


def _spatial(op: Any, amounts: Sequence[Amounts]) -> Sequence[Amounts]:
    return amounts[1:-1] if is_channels_last(op) else amounts[2:]
