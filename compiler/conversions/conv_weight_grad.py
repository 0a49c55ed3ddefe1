# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.conv_weight_grad``."""

import math
from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.dialects.sparsebp.window import Window
from pock.dialects.types import shape_of

from .builder import LinalgBuilder, shape
from .depthwise import depthwise_weight_grad
from .patches import columns, fit, is_pointwise, letters, patches, unpadded


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """The output gradient times the patches of the padded input, summed over batch and positions."""
    filters, inner, *kernel = shape_of(op.operation.results[0].type)
    window = Window.of(op, kernel)
    groups = ir.IntegerAttr(op.operation.attributes["groups"]).value
    grad = b.operand(op, 0)
    # One element more than the forward convolution pads: what both read of the same padded input is
    # common to them, and would live from the one to the other, beside the input itself.
    x = fit(b, b.operand(op, 1), window, shape(grad)[2:], spare=True)
    window = unpadded(window)
    if groups > 1 and inner == 1:
        return depthwise_weight_grad(b, grad, x, filters // groups, window)
    # Either way a product for each image is summed, or the batch is part of the product: the sums of
    # the former are large where there are more filters than positions.
    if groups == 1 and filters > math.prod(shape(grad)[2:]):
        return _over_batch(b, grad, x, window)
    return _image_by_image(b, grad, x, window, groups)


def _over_batch(b: LinalgBuilder, grad: ir.Value, x: ir.Value, window: Window) -> ir.Value:
    """One product over batch and positions together, of copies that have them as one dimension."""
    filters, rank = shape(grad)[1], len(window.kernel)
    by_filter = b.merge(b.reorder(grad, [1, 0, *range(2, rank + 2)]), [1, rank + 1])
    if is_pointwise(window):
        rows = b.merge(b.reorder(x, [0, *range(2, rank + 2), 1]), [rank + 1, 1])
    else:
        rows = b.merge(patches(b, x, window, shape(grad)[2:], positions_first=True), [rank + 1, rank + 1])
    product = b.contract("f p, p q -> f q", by_filter, rows, [filters, shape(rows)[1]])
    return b.reshape(product, [[filters], [shape(x)[1], *window.kernel]])


def _image_by_image(b: LinalgBuilder, grad: ir.Value, x: ir.Value, window: Window, groups: int) -> ir.Value:
    """A product for each image and group, and their sum."""
    batch, filters, *out = shape(grad)
    rank, width, inner = len(out), filters // groups, shape(x)[1] // groups
    values, at, group = columns(b, x, window, out, groups), " ".join(letters("o", rank)), ""
    sizes = [filters, inner * math.prod(window.kernel)]
    if groups > 1:
        group, sizes = "g", [groups, width, sizes[1]]
        grad = b.reshape(grad, [[batch], [groups, width], *([n] for n in out)])
    spec = f"n {group} f {at}, n {group} q {at} -> n {group} f q"
    products = b.contract(spec, grad, values, [batch, *sizes])
    total = b.full(sizes, 0.0, b.f32)
    add = f"n {group} f q -> {group} f q"
    summed = b.generic(add, [products], [total], lambda value, total: arith.addf(value, total))
    matrix = b.merge(summed, [len(sizes) - 1, 1])
    return b.reshape(matrix, [[filters], [inner, *window.kernel]])
