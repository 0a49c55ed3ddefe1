# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-fold-batch-norm``: frozen batch normalization goes into the convolution before it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.analysis.declared import frozen, symbol_of
from pock.compiler.torch_ir import (
    NotConstant,
    TorchBuilder,
    constant,
    defining_op,
    functions,
    makers,
    operations,
)
from pock.dialects.types import element_of, is_vtensor, shape_of

from .base import Pass
from .simplify import Simplify, only_computes


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
    Nothing is folded into a convolution behind: its padding is zero and not what the shift makes of that.
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
    """Whether ``value`` is computed from constants of the program alone, ``constants`` being declarations."""
    for op in makers(value):
        if op is None:
            return False
        if op.operation.name == "sparsebp.read":
            if symbol_of(op) not in constants:
                return False
        elif not only_computes(op):
            return False
    return True


def _per_channel(value: ir.Value, result: ir.Type, constants: set[str]) -> bool:
    """Whether ``value`` is a constant with one element a channel of ``result``: ``[1, C, 1, …]``."""
    if not is_vtensor(value.type) or element_of(value.type) != element_of(result):
        return False
    channels, *spatial = shape_of(result)[1:]
    return shape_of(value.type) == (1, channels, *(1 for _ in spatial)) and is_constant(value, constants)


def _single_user(value: ir.Value) -> Any | None:
    uses = list(value.uses)
    return uses[0].owner if len(uses) == 1 else None


# -- forward ------------------------------------------------------------------------------------


def _fold_forward(op: Any, constants: set[str]) -> Any | None:
    """Fold the operation behind a convolution into it; the new convolution, or None."""
    x, weight, bias, *rest = op.operation.operands
    result = op.operation.results[0]
    user = _single_user(result)
    rule = None if user is None else _RULES.get(user.operation.name)
    if user is None or rule is None or user.operation.results[0].type != result.type:
        return None
    if not is_constant(weight, constants) or not is_constant(bias, constants) or not _is_plain(op, user):
        return None
    position = list(user.operation.operands).index(result)
    other = user.operation.operands[1 - position]
    if (position > 0 and rule not in _COMMUTATIVE) or not _per_channel(other, result.type, constants):
        return None
    builder = TorchBuilder(user)
    vector = builder.view(other, [shape_of(other.type)[1]])
    weight, bias = rule(builder, weight, None if str(bias.type) == "!torch.none" else bias, vector)
    operands = [x, weight, bias or builder.none(), *rest]
    builder.location = op.operation.location
    folded = builder.create("torch.aten.convolution", operands, [result.type])
    user.operation.results[0].replace_all_uses_with(folded)
    user.operation.erase()
    op.operation.erase()
    return folded.owner


def _is_plain(convolution: Any, user: Any) -> bool:
    """Whether the convolution is not transposed and a sum behind it multiplies nothing by ``alpha``."""
    try:
        if constant(convolution.operation.operands[6]):
            return False
        return all(constant(alpha) == 1 for alpha in list(user.operation.operands)[2:])
    except NotConstant:
        return False


Folded = tuple[ir.Value, ir.Value | None]
"""Weight and bias of a convolution; None for no bias."""


def _mul(b: TorchBuilder, weight: ir.Value, bias: ir.Value | None, scale: ir.Value) -> Folded:
    return _scaled(b, weight, scale), None if bias is None else b.mul(bias, scale)


def _add(b: TorchBuilder, weight: ir.Value, bias: ir.Value | None, shift: ir.Value) -> Folded:
    return weight, shift if bias is None else b.add(bias, shift)


def _sub(b: TorchBuilder, weight: ir.Value, bias: ir.Value | None, shift: ir.Value) -> Folded:
    return weight, b.unary("neg", shift) if bias is None else b.sub(bias, shift)


_RULES: dict[str, Callable[[TorchBuilder, ir.Value, ir.Value | None, ir.Value], Folded]] = {
    "torch.aten.add.Tensor": _add,
    "torch.aten.mul.Tensor": _mul,
    "torch.aten.sub.Tensor": _sub,
}
_COMMUTATIVE = (_add, _mul)


# -- backward -----------------------------------------------------------------------------------


def _fold_backward(op: Any, constants: set[str]) -> None:
    """``conv_input_grad(g * scale, w)`` to ``conv_input_grad(g, w * scale)``."""
    gradient, weight = op.operation.operands
    product = defining_op(gradient)
    if product is None or product.operation.name != "torch.aten.mul.Tensor" or _single_user(gradient) is None:
        return
    for i, scale in enumerate(product.operation.operands):
        other = product.operation.operands[1 - i]
        if (
            other.type == gradient.type
            and _per_channel(scale, gradient.type, constants)
            and is_constant(weight, constants)
        ):
            builder = TorchBuilder(op)
            op.operation.operands[0] = other
            vector = builder.view(scale, [shape_of(scale.type)[1]])
            op.operation.operands[1] = _scaled(builder, weight, vector)
            product.operation.erase()
            return


def _scaled(builder: TorchBuilder, weight: ir.Value, scale: ir.Value) -> ir.Value:
    """Each output channel of a weight ``[F, C, *kernel]`` times its scale ``[F]``."""
    rank = len(shape_of(weight.type))
    return builder.mul(weight, builder.view(scale, [shape_of(scale.type)[0], *(1 for _ in range(rank - 1))]))
