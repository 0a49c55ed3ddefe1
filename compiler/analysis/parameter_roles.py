# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How the model uses a parameter, which names its dimensions and says which of them is sliced."""

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any

from torch_mlir import ir

from pock.compiler.torch_ir import constant, operations, step_of
from pock.dialects.types import shape_of


class Role(Enum):
    """What a parameter is to the operation that consumes it, strongest claim first."""

    EMBEDDING = "embedding"
    DEPTHWISE = "depthwise convolution"
    CONVOLUTION = "convolution"
    TRANSPOSED_CONVOLUTION = "transposed convolution"
    LINEAR = "linear"
    MATRIX = "matrix"


_SPATIAL = {
    1: ("kernel_width",),
    2: ("kernel_height", "kernel_width"),
    3: ("kernel_depth", "kernel_height", "kernel_width"),
}

#: Operations that hand a weight on: name -> whether they swap its two dimensions.
_VIEWS = {"torch.aten.permute": True, "torch.aten.t": True, "torch.aten.transpose.int": True}


def parameter_roles(module: ir.Module) -> dict[str, Role]:
    """Parameter name -> its role in ``@step``; where uses differ, the strongest claim holds."""
    found: dict[str, list[Role]] = {}
    for read in operations(step_of(module), "sparsebp.read"):
        name = ir.FlatSymbolRefAttr(read.operation.attributes["symbol"]).value
        found.setdefault(name, []).extend(_roles(read.operation.results[0], swapped=False))
    order = list(Role)
    return {name: min(roles, key=order.index) for name, roles in found.items() if roles}


def _roles(value: ir.Value, swapped: bool) -> Iterator[Role]:
    rank = len(shape_of(value.type))
    for use in value.uses:
        op, position = use.owner, use.operand_number
        name = op.operation.name
        if name == "torch.aten.convolution" and position == 1:
            yield _convolution(op)
        elif name == "torch.aten.embedding" and position == 0:
            yield Role.EMBEDDING
        elif rank == 2 and name in _VIEWS:
            yield from _roles(op.operation.results[0], not swapped)
        elif name in ("torch.aten.view", "torch.aten.expand", "torch.aten.unsqueeze") and rank >= 2:
            if len(shape_of(op.operation.results[0].type)) == 3:
                yield from _batched(op.operation.results[0], swapped)
        elif rank == 2 and _is_right_operand(name, position):
            yield Role.LINEAR if swapped else Role.MATRIX


def _batched(value: ir.Value, swapped: bool) -> Iterator[Role]:
    """A weight that was expanded to a batch of equal matrices for bmm."""
    for use in value.uses:
        name = use.owner.operation.name
        if name in ("torch.aten.expand", "torch.aten.view"):
            yield from _batched(use.owner.operation.results[0], swapped)
        elif name == "torch.aten.bmm" and use.operand_number == 1:
            yield Role.LINEAR if swapped else Role.MATRIX


def _is_right_operand(name: str, position: int) -> bool:
    return (name == "torch.aten.mm" and position == 1) or (name == "torch.aten.addmm" and position == 2)


def _convolution(op: Any) -> Role:
    operands = op.operation.operands
    if constant(operands[6]):
        return Role.TRANSPOSED_CONVOLUTION
    groups, channels = constant(operands[8]), shape_of(operands[0].type)[1]
    return Role.DEPTHWISE if groups > 1 and groups == channels else Role.CONVOLUTION


def dimension_names(role: Role | None, shape: Sequence[int]) -> tuple[tuple[str, ...], str | None]:
    """Names for the dimensions of a parameter, and the one that channel masks slice, if any.

    As in PockEngine: input channels of a convolution or linear layer, channels of a depthwise
    convolution, rows of an embedding, the only dimension of a vector.
    """
    rank = len(shape)
    if rank == 1:
        return ("channels",), "channels"
    spatial = _SPATIAL.get(rank - 2, ())
    if role is Role.EMBEDDING and rank == 2:
        return ("rows", "features"), "rows"
    if role is Role.LINEAR and rank == 2:
        return ("output_features", "input_features"), "input_features"
    if role is Role.MATRIX and rank == 2:
        return ("input_features", "output_features"), "input_features"
    if role is Role.DEPTHWISE:
        return ("channels", "multiplier", *spatial), "channels"
    if role is Role.CONVOLUTION:
        return ("output_channels", "input_channels", *spatial), "input_channels"
    if role is Role.TRANSPOSED_CONVOLUTION:
        return ("input_channels", "output_channels", *spatial), "input_channels"
    return tuple(f"dimension{i}" for i in range(rank)), None
