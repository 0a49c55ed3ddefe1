# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where tensors over space have their channels: behind the batch, or last."""

from collections.abc import Sequence
from typing import Any

from torch_mlir import ir

from ..types import shape_of
from .operation import Malformed, shown

CHANNELS_LAST = "channels_last"
"""The unit attribute of an operation over ``[N, *spatial, C]`` instead of ``[N, C, *spatial]``."""

OVER_SPACE: dict[str, tuple[tuple[int, ...], bool]] = {
    "sparsebp.avg_pool": ((0,), True),
    "sparsebp.avg_pool_grad": ((0,), True),
    "sparsebp.conv_input_grad": ((0,), True),
    "sparsebp.conv_weight_grad": ((0, 1), False),
    "sparsebp.convolution": ((0,), True),
    "sparsebp.max_pool": ((0,), True),
    "sparsebp.max_pool_argmax": ((0,), True),
    "sparsebp.max_pool_grad": ((0, 1), True),
}
"""Operations that may have ``channels_last``: which operands are over space, and whether the result is."""


def is_channels_last(op: Any) -> bool:
    """Whether an operation's tensors over space have their channels last."""
    attributes = op.operation.attributes
    if CHANNELS_LAST not in attributes:
        return False
    if not isinstance(attributes[CHANNELS_LAST], ir.UnitAttr):
        raise Malformed(f"{CHANNELS_LAST} has no value, got {shown(attributes[CHANNELS_LAST])}")
    return True


def channels_first(op: Any, type_: ir.Type) -> tuple[int, ...]:
    """The shape ``[N, C, *spatial]`` of one of ``op``'s tensors over space, whichever it has."""
    shape = shape_of(type_)
    return to_first(shape) if is_channels_last(op) else shape


def to_first(shape: Sequence[int]) -> tuple[int, ...]:
    """``[N, *spatial, C]`` as ``[N, C, *spatial]``."""
    return (*shape[:1], *shape[-1:], *shape[1:-1]) if len(shape) > 1 else tuple(shape)


def to_last(shape: Sequence[int]) -> tuple[int, ...]:
    """``[N, C, *spatial]`` as ``[N, *spatial, C]``."""
    return (*shape[:1], *shape[2:], *shape[1:2])
