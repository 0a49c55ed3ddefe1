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
from .patches import fit, patches, unpadded


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """The output gradient times the patches of the padded input, summed over batch and positions."""
    filters, inner, *kernel = shape_of(op.operation.results[0].type)
    window = Window.of(op, kernel)
    groups = ir.IntegerAttr(op.operation.attributes["groups"]).value
    grad = b.operand(op, 0)
    x = fit(b, b.operand(op, 1), window, shape(grad)[2:])
    window = unpadded(window)
    if groups > 1 and inner == 1:
        return depthwise_weight_grad(b, grad, x, filters // groups, window)
    # Either way a product for each image is summed, or the batch is part of the product: the sums of
    # the former are large where there are more filters than positions.
    if groups == 1 and filters > math.prod(shape(grad)[2:]):
        matrix = _over_batch(b, grad, x, window)
    else:
        matrix = _image_by_image(b, grad, x, window, groups)
    return b.reshape(matrix, [[filters], [inner, *kernel]])


def _over_batch(b: LinalgBuilder, grad: ir.Value, x: ir.Value, window: Window) -> ir.Value:
    """``[F, C · taps]``: one product over batch and positions together."""
    filters, rank = shape(grad)[1], len(window.kernel)
    rows = b.merge(patches(b, x, window, positions_first=True), [2, 2])
    by_filter = b.merge(b.transpose(b.merge(grad, [1, 1, rank]), [1, 0, 2]), [1, 2])
    return b.contract("f p, p q -> f q", by_filter, rows, [filters, shape(rows)[1]])


def _image_by_image(b: LinalgBuilder, grad: ir.Value, x: ir.Value, window: Window, groups: int) -> ir.Value:
    """``[F, C / groups · taps]``: a product for each image and group, and their sum."""
    batch, filters, *out = shape(grad)
    width, rank = filters // groups, len(out)
    columns = patches(b, x, window, groups)
    depth = shape(columns)[2]
    split = b.reshape(b.merge(grad, [1, 1, rank]), [[batch], [groups, width], [math.prod(out)]])
    if groups == 1:
        split, columns = b.merge(split, [1, 2, 1]), b.merge(columns, [1, 2, 1])
        products = b.contract("n f p, n q p -> n f q", split, columns, [batch, filters, depth])
    else:
        products = b.contract("n g f p, n g q p -> n g f q", split, columns, [batch, groups, width, depth])
        products = b.merge(products, [1, 2, 1])
    zeros = b.full([filters, depth], 0.0, b.f32)
    return b.generic("n f q -> f q", [products], [zeros], lambda v, total: arith.addf(v, total))
