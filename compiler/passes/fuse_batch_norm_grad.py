# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-fuse-batch-norm-grad``: gradients of a norm come out of those of the convolution before it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.torch_ir import (
    NotConstant,
    TorchBuilder,
    constant,
    defining_op,
    functions,
    operations,
    widen,
)
from pock.dialects.types import element_of, is_vtensor, shape_of

from .base import Pass
from .simplify import Simplify


@dataclass(frozen=True)
class FuseBatchNormGrad(Pass):
    """Compute the gradients of scales of channels from weights instead of activations.

    Behind a convolution ``z = conv(x, w)``, batch normalization of fixed statistics is
    ``(z - mean) * scale + shift``. Of its gradient ``g`` two things are made in the size of the activation:
    what the convolution's gradients are computed from, and the sum that the scale's gradient is. ::

        %p = torch.aten.mul.Tensor %g, %scale
        %dx = "sparsebp.conv_input_grad"(%p, %w) {...}
        %dw = "sparsebp.conv_weight_grad"(%p, %x) {...}
        %c = torch.aten.sub.Tensor %z, %mean, ...
        %q = torch.aten.mul.Tensor %g, %c
        %ds = torch.aten.sum.dim_IntList %q, [0, 2, 3], ...

    All of it is linear in ``g``. The scale of an output channel may as well be in the weight, and the sum of
    ``g * z`` is that of ``d * w``, where ``d`` is the weight's gradient without the scale::

        %ws = torch.aten.mul.Tensor %w, %scale
        %dx = "sparsebp.conv_input_grad"(%g, %ws) {...}
        %d = "sparsebp.conv_weight_grad"(%g, %x) {...}
        %dw = torch.aten.mul.Tensor %d, %scale
        %0 = torch.aten.mul.Tensor %d, %w
        %1 = torch.aten.sum.dim_IntList %0, [1, 2, 3], ...
        %2 = torch.aten.sum.dim_IntList %g, [0, 2, 3], ...
        %3 = torch.aten.mul.Tensor %2, %mean
        %ds = torch.aten.sub.Tensor %1, %3, ...

    The forward pass then need not keep ``z``. The error is that of ``z`` itself, about ``mean`` times the
    precision. It is done where the weight has no more elements than the activation, and not in 16 bits, where
    ``d`` is rounded. A weight of which some channels are trained has no whole ``d``.
    """

    name: ClassVar[str] = "sparsebp-fuse-batch-norm-grad"

    def apply(self, module: ir.Module) -> None:
        for function in functions(module).values():
            for op in operations(function, "torch.aten.mul.Tensor"):
                _unscale(op)
            for op in operations(function, "torch.aten.sum.dim_IntList"):
                _sum_of_weights(op)
        Simplify().apply(module)


_ELEMENTS = ("f32", "f64")


def _users(value: ir.Value) -> list[Any]:
    return [use.owner.operation for use in value.uses]


def _is_per_channel(value: ir.Value, like: ir.Type) -> bool:
    """Whether ``value`` has one element a channel of ``like``: ``[1, C, 1, …]``."""
    if not is_vtensor(value.type) or element_of(value.type) != element_of(like):
        return False
    channels, *spatial = shape_of(like)[1:]
    return shape_of(value.type) == (1, channels, *(1 for _ in spatial))


def _size(value: ir.Value) -> int:
    return math.prod(shape_of(value.type))


def _is_activation(value: ir.Value) -> bool:
    return is_vtensor(value.type) and len(shape_of(value.type)) > 2 and element_of(value.type) in _ELEMENTS


# -- the scale ----------------------------------------------------------------------------------


def _unscale(product: Any) -> None:
    """Let the gradients of a convolution that use ``g * scale`` use ``g``."""
    result = product.operation.results[0]
    if not _is_activation(result):
        return
    users = _users(result)
    if not users or not all(_takes_gradient(user, result) for user in users):
        return
    for gradient, scale in _both(product):
        if gradient.type == result.type and _is_per_channel(scale, result.type):
            for user in users:
                _RULES[user.name](user, gradient, scale)
            product.operation.erase()
            return


def _both(op: Any) -> Iterator[tuple[ir.Value, ir.Value]]:
    """The operands of a commutative operation, in both orders."""
    a, b = op.operation.operands
    yield a, b
    yield b, a


def _takes_gradient(user: Any, gradient: ir.Value) -> bool:
    """Whether an operation is a gradient of a convolution and its weight not larger than ``gradient``."""
    if user.name not in _RULES or user.operands[0] != gradient or user.operands[1] == gradient:
        return False
    if user.name == "sparsebp.conv_weight_grad":
        return True
    return _size(user.operands[1]) <= _size(gradient)


def _unscale_input_grad(op: Any, gradient: ir.Value, scale: ir.Value) -> None:
    op.operands[0] = gradient
    op.operands[1] = _scaled(TorchBuilder(op), op.operands[1], scale)


def _unscale_weight_grad(op: Any, gradient: ir.Value, scale: ir.Value) -> None:
    op.operands[0] = gradient
    b = TorchBuilder(op)
    b.ip = ir.InsertionPoint.after(op)
    users = [(use.owner, use.operand_number) for use in op.results[0].uses]
    scaled = _scaled(b, op.results[0], scale)
    for user, position in users:
        user.operation.operands[position] = scaled


_RULES = {
    "sparsebp.conv_input_grad": _unscale_input_grad,
    "sparsebp.conv_weight_grad": _unscale_weight_grad,
}


def _scaled(b: TorchBuilder, weight: ir.Value, scale: ir.Value) -> ir.Value:
    """Each output channel of a weight ``[F, C, *kernel]`` times its scale ``[1, F, 1, …]``."""
    shape = shape_of(weight.type)
    return b.mul(weight, b.view(scale, [shape[0], *(1 for _ in shape[1:])]))


# -- the scale's gradient -----------------------------------------------------------------------


def _sum_of_weights(op: Any) -> None:
    """Replace the sum of ``g * (conv(x, w) - mean)`` over all but channels."""
    product = defining_op(op.operation.operands[0])
    if product is None or product.operation.name != "torch.aten.mul.Tensor":
        return
    if not _is_activation(product.operation.results[0]) or not _sums_channels(op):
        return
    for gradient, centred in _both(product):
        found = _convolution_behind(centred)
        if found is None or gradient.type != centred.type:
            continue
        convolution, mean = found
        weight = convolution.operands[1]
        weight_grad = _weight_grad(convolution, gradient)
        if weight_grad is not None and _size(weight) <= _size(gradient):
            _replace(op, weight_grad, gradient, weight, _less_bias(op, convolution, mean))
            return


def _sums_channels(op: Any) -> bool:
    """Whether a sum leaves one element a channel of its operand ``[N, C, *spatial]``."""
    operand, dims, _, dtype = op.operation.operands
    rank = len(shape_of(operand.type))
    try:
        summed = sorted(d % rank for d in constant(dims))
        return summed == [0, *range(2, rank)] and constant(dtype) is None
    except NotConstant:
        return False


def _convolution_behind(centred: ir.Value) -> tuple[Any, ir.Value] | None:
    """The convolution that ``centred`` is the result of, less means of channels, and these."""
    difference = defining_op(centred)
    if difference is None or difference.operation.name != "torch.aten.sub.Tensor":
        return None
    z, mean, alpha = difference.operation.operands
    convolution = defining_op(z)
    if convolution is None or convolution.operation.name != "torch.aten.convolution":
        return None
    try:
        if constant(alpha) != 1 or constant(convolution.operation.operands[6]):
            return None
        return (convolution.operation, mean) if _is_per_channel(mean, z.type) else None
    except NotConstant:
        return None


def _weight_grad(convolution: Any, gradient: ir.Value) -> Any | None:
    """The gradient of all of the convolution's weight, where that of its result is ``gradient``."""
    x, weight, _, stride, padding, dilation, _, _, groups = convolution.operands
    try:
        rank = len(shape_of(weight.type)) - 2
        window = {"stride": stride, "padding": padding, "dilation": dilation}
        expected = {name: widen(constant(value), rank) for name, value in window.items()}
        group_count = constant(groups)
    except NotConstant:
        return None
    for user in _users(gradient):
        if user.name != "sparsebp.conv_weight_grad" or list(user.operands) != [gradient, x]:
            continue
        found = {name: list(ir.DenseI64ArrayAttr(user.attributes[name])) for name in window}
        same_groups = ir.IntegerAttr(user.attributes["groups"]).value == group_count
        if user.results[0].type == weight.type and found == expected and same_groups:
            return user
    return None


def _less_bias(op: Any, convolution: Any, mean: ir.Value) -> ir.Value:
    """``mean`` less the convolution's bias, a vector."""
    b, bias = TorchBuilder(op), convolution.operands[2]
    vector = b.view(mean, [shape_of(mean.type)[1]])
    return b.sub(vector, bias) if is_vtensor(bias.type) else vector


def _replace(op: Any, weight_grad: Any, gradient: ir.Value, weight: ir.Value, mean: ir.Value) -> None:
    result = op.operation.results[0]
    b = TorchBuilder(op)
    # It needs no more than the sum does, but may stand behind it.
    weight_grad.move_before(op.operation)
    rank = len(shape_of(weight.type))
    of_products = b.sum(b.mul(weight_grad.results[0], weight), list(range(1, rank)))
    of_gradient = b.sum(gradient, [0, *range(2, rank)])
    total = b.sub(of_products, b.mul(of_gradient, mean))
    result.replace_all_uses_with(b.view(total, shape_of(result.type)))
    op.operation.erase()
