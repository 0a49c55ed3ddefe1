# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``torch.aten.convolution``, not transposed, of any rank, stride, padding, dilation and group count."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.compiler.torch_ir import constant
from pock.dialects.sparsebp.window import Window

from .builder import LinalgBuilder, shape
from .convolve import convolve
from .patches import letters, widen


def convert(op: Any, b: LinalgBuilder) -> ir.Value | None:
    """The padded convolution, and its bias added."""
    _, _, bias, *arguments = op.operation.operands
    stride, padding, dilation, transposed, _, groups = (constant(v) for v in arguments)
    if transposed:
        return None
    x, weight = b.operand(op, 0), b.operand(op, 1)
    kernel = shape(weight)[2:]
    window = Window(tuple(kernel), *(widen(v, len(kernel)) for v in (stride, padding, dilation)))
    y = convolve(b, x, weight, window, groups)
    return y if str(bias.type) == "!torch.none" else _add_bias(b, y, b.operand(op, 2))


def _add_bias(b: LinalgBuilder, y: ir.Value, bias: ir.Value) -> ir.Value:
    at = f"n f {' '.join(letters('o', len(shape(y)) - 2))}"
    return b.generic(
        f"{at}, f -> {at}", [y, b.cast(bias, b.f32)], [b.like(y)], lambda v, c, _: arith.addf(v, c)
    )
