# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.conv_weight_grad``."""

from typing import Any

from torch_mlir import ir

from pock.dialects.sparsebp.window import Window
from pock.dialects.types import shape_of

from .builder import LinalgBuilder, shape
from .convolve import fit, letters, taps


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """A contraction of the output gradient with the padded input over batch and output positions."""
    filters, inner, *kernel = shape_of(op.operation.results[0].type)
    window = Window.of(op, kernel)
    groups = ir.IntegerAttr(op.operation.attributes["groups"]).value
    grad, x = b.operand(op, 0), b.operand(op, 1)
    x = fit(b, x, window, shape(grad)[2:])
    rank = len(kernel)
    o, k = letters("o", rank), letters("k", rank)
    read, at, over = taps(o, k, window.stride, window.dilation), " ".join(o), " ".join(k)
    if groups == 1:
        return b.contract(f"n f {at}, n c {read} -> f c {over}", grad, x, [filters, inner, *kernel])
    width = filters // groups
    batch, _, *out = shape(grad)
    grad = b.reshape(grad, [[batch], [groups, width], *([n] for n in out)])
    x = b.reshape(x, [[batch], [groups, inner], *([n] for n in shape(x)[2:])])
    result = b.contract(f"n g f {at}, n g c {read} -> g f c {over}", grad, x, [groups, width, inner, *kernel])
    return b.merge(result, [2, 1] + [1] * rank)
