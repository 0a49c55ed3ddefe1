# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Operands and results over space, as the conversions compute with them: channels last."""

from typing import Any

from torch_mlir import ir

from pock.dialects.sparsebp.layout import channels_first, is_channels_last, to_first, to_last

from .builder import LinalgBuilder, shape


def over_space(op: Any, index: int, b: LinalgBuilder) -> ir.Value:
    """Operand ``index`` as ``[N, *spatial, C]``, transposed unless the operation has ``channels_last``."""
    value = b.operand(op, index)
    return value if is_channels_last(op) else b.transpose(value, to_last(range(len(shape(value)))))


def in_layout(op: Any, value: ir.Value, b: LinalgBuilder) -> ir.Value:
    """A result ``[N, *spatial, C]`` in the layout of the operation's."""
    return value if is_channels_last(op) else b.transpose(value, to_first(range(len(shape(value)))))


def spatial_size(op: Any) -> tuple[int, ...]:
    """The spatial size of the operation's result, which is over space."""
    return channels_first(op, op.operation.results[0].type)[2:]
