# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-fold-batch-norm``: frozen batch normalization goes into the convolution before it."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.analysis.declared import frozen, symbol_of
from pock.compiler.torch_ir import TorchBuilder, constant, defining_op, functions, operations
from pock.dialects.types import is_vtensor, shape_of

from .base import Pass
from .simplify import Simplify


@dataclass(frozen=True)
class FoldBatchNorm(Pass):
    """Fold frozen scales and shifts of channels into frozen convolutions.

    Where weight, statistics and scale are constants of the program, the normalization behind a
    convolution is exactly a convolution with another weight and bias::

        %z = torch.aten.convolution %x, %w, %none, ...
        %c = torch.aten.sub.Tensor %z, %mean, ...
        %y = torch.aten.mul.Tensor %c, %scale

    becomes, with ``%ws = %w * %scale`` and ``%b = (0 - %mean) * %scale`` computed at compile time::

        %y = torch.aten.convolution %x, %ws, %b, ...

    and in the backward pass the input gradient of ``%g * %scale`` with ``%w`` becomes that of ``%g`` with
    ``%ws``. A trained weight or scale stays as it is, as does a convolution whose result has other uses.
    """

    name: ClassVar[str] = "sparsebp-fold-batch-norm"

    def apply(self, module: ir.Module) -> None:
        constants = frozen(module)
        for function in functions(module).values():
            for op in operations(function, "torch.aten.convolution"):
                while (following := _fold_forward(op, constants)) is not None:
                    op = following
            for op in operations(function, "sparsebp.conv_input_grad"):
                _fold_backward(op, constants)
        Simplify().apply(module)


def is_constant(value: ir.Value, constants: set[str]) -> bool:
    """Whether ``value`` is computed from constants of the program alone."""
    op = defining_op(value)
    if op is None:
        return False
    name = op.operation.name
    if name == "sparsebp.read":
        return symbol_of(op) in constants
    if name.startswith("torch.constant.") or name == "torch.vtensor.literal":
        return True
    if not (name.startswith("torch.aten.") or name == "torch.prim.ListConstruct"):
        return False
    return all(is_constant(operand, constants) for operand in op.operation.operands)


def _per_channel(value: ir.Value, constants: set[str]) -> bool:
    """Whether ``value`` is a constant of shape ``[1, C, 1, …]``."""
    if not is_vtensor(value.type):
        return False
    shape = shape_of(value.type)
    along = len(shape) > 2 and shape[0] == 1 and all(n == 1 for n in shape[2:])
    return along and is_constant(value, constants)


def _single_user(value: ir.Value) -> Any | None:
    uses = list(value.uses)
    return uses[0].owner if len(uses) == 1 else None


def _fold_forward(op: Any, constants: set[str]) -> Any | None:
    """Fold the operation behind a convolution into it; the new convolution, or None."""
    operands = list(op.operation.operands)
    result = op.operation.results[0]
    user = _single_user(result)
    if user is None or constant(operands[6]) or not is_constant(operands[1], constants):
        return None
    bias = operands[2]
    if not (_is_none(bias) or is_constant(bias, constants)):
        return None
    name = user.operation.name
    left, right = (
        (user.operation.operands[0], user.operation.operands[1])
        if len(user.operation.operands) > 1
        else (None, None)
    )
    if left is None or right is None or left != result or not _per_channel(right, constants):
        return None
    if (
        name in ("torch.aten.add.Tensor", "torch.aten.sub.Tensor")
        and constant(user.operation.operands[2]) != 1
    ):
        return None
    builder = TorchBuilder(user)
    shift = builder.view(right, [shape_of(right.type)[1]])
    if name == "torch.aten.mul.Tensor":
        weight = _scaled(builder, operands[1], shift)
        new_bias = bias if _is_none(bias) else builder.mul(bias, shift)
    elif name == "torch.aten.add.Tensor":
        weight, new_bias = operands[1], shift if _is_none(bias) else builder.add(bias, shift)
    elif name == "torch.aten.sub.Tensor":
        weight = operands[1]
        new_bias = builder.unary("neg", shift) if _is_none(bias) else builder.sub(bias, shift)
    else:
        return None
    folded = builder.create(
        "torch.aten.convolution",
        [operands[0], weight, new_bias, *operands[3:]],
        [user.operation.results[0].type],
    )
    user.operation.results[0].replace_all_uses_with(folded)
    user.operation.erase()
    op.operation.erase()
    return folded.owner


def _fold_backward(op: Any, constants: set[str]) -> None:
    """``conv_input_grad(g * scale, w)`` to ``conv_input_grad(g, w * scale)``."""
    gradient, weight = op.operation.operands
    source = defining_op(gradient)
    if source is None or source.operation.name != "torch.aten.mul.Tensor" or _single_user(gradient) is None:
        return
    left, right = source.operation.operands
    if not _per_channel(right, constants) or not is_constant(weight, constants):
        return
    if shape_of(left.type) != shape_of(gradient.type):
        return
    builder = TorchBuilder(op)
    scale = builder.view(right, [shape_of(right.type)[1]])
    op.operation.operands[0] = left
    op.operation.operands[1] = _scaled(builder, weight, scale)
    source.operation.erase()


def _is_none(value: ir.Value) -> bool:
    return str(value.type) == "!torch.none"


def _scaled(builder: TorchBuilder, weight: ir.Value, scale: ir.Value) -> ir.Value:
    """Each output channel of a weight ``[F, C, *kernel]`` times its scale ``[F]``."""
    rank = len(shape_of(weight.type))
    return builder.mul(weight, builder.view(scale, [shape_of(scale.type)[0], *(1 for _ in range(rank - 1))]))
