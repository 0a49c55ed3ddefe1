# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.convolution`` and ``torch.aten.convolution``."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.compiler.torch_ir import constant, widen
from pock.dialects.sparsebp.window import Window

from .builder import LinalgBuilder, convert_scalar, shape
from .convolve import convolve
from .layout import in_layout, over_space
from .patches import letters


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """A convolution without a bias, in f32."""
    x, weight = over_space(op, 0, b), b.operand(op, 1)
    groups = ir.IntegerAttr(op.operation.attributes["groups"]).value
    return in_layout(op, convolve(b, x, weight, Window.of(op, shape(weight)[2:]), groups), b)


def convert_aten(op: Any, b: LinalgBuilder) -> ir.Value | None:
    """A convolution, in f32, and its bias."""
    _, _, bias, stride, padding, dilation, transposed, _, groups = op.operation.operands
    if constant(transposed):
        return None
    x, weight = over_space(op, 0, b), b.operand(op, 1)
    kernel = tuple(shape(weight)[2:])
    rank = len(kernel)
    window = Window(kernel, *(tuple(widen(constant(v), rank)) for v in (stride, padding, dilation)))
    y = convolve(b, x, weight, window, constant(groups))
    if str(bias.type) != "!torch.none":
        y = _add_bias(b, y, b.operand(op, 2))
    return in_layout(op, y, b)


def _add_bias(b: LinalgBuilder, y: ir.Value, bias: ir.Value) -> ir.Value:
    at = f"n {' '.join(letters('o', len(shape(y)) - 2))} f"
    return b.generic(
        f"{at}, f -> {at}",
        [y, bias],
        [b.like(y)],
        lambda v, c, _: arith.addf(v, convert_scalar(c, b.f32)),
    )
