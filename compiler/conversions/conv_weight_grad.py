# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.conv_weight_grad``."""

import math
from typing import Any

from torch_mlir import ir

from pock.dialects.sparsebp.window import Window
from pock.dialects.types import shape_of

from .builder import LinalgBuilder, shape
from .depthwise import depthwise_weight_grad
from .layout import over_space
from .matmul import LEAST_COLUMNS
from .patches import fit, patches, patches_in_panels, unpadded
from .products import by_matrix, by_panels
from .winograd import weight_grad_is_faster, winograd_weight_grad

#: Elements of the widest vectors.
_VECTOR = 16

MOST_POSITIONS = 2048
"""Positions up to which a copy of the output gradient, the other way round, is worth its while.

Of more, rows of the copy lie so far apart that they displace each other in the cache.
"""


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """The patches of the input times the output gradient, over batch and positions together."""
    filters, inner, *kernel = shape_of(op.operation.results[0].type)
    window = Window.of(op, kernel)
    groups = ir.IntegerAttr(op.operation.attributes["groups"]).value
    grad, x = over_space(op, 0, b), over_space(op, 1, b)
    if groups > 1 and inner == 1:
        return depthwise_weight_grad(b, grad, x, filters // groups, window)
    out, taps = shape(grad)[1:-1], math.prod(kernel)
    if weight_grad_is_faster(b, x, grad, window, groups):
        by_tap = b.barrier(winograd_weight_grad(b, x, grad, window))
        return b.reshape(b.transpose(by_tap, [1, 2, 0]), [[filters], [inner], kernel])
    # One element more than the forward convolution pads: what both read of the same padded input is
    # common to them, and would live from the one to the other, beside the input itself.
    x = fit(b, x, window, out, spare=True)
    grad = b.merge(grad, [1 + len(out), 1])
    if groups == 1 and _reads_panels(b, grad, inner, taps):
        panels, short = patches_in_panels(b, x, unpadded(window), out), _is_short(grad)
        product = by_panels(b, _by_filter(b, grad) if short else grad, panels, transposed=not short)
    elif groups == 1:
        product = _product(b, grad, b.merge(patches(b, x, unpadded(window), out), [1 + len(out), 1]))
    else:
        rows = b.merge(patches(b, x, unpadded(window), out), [1 + len(out), 1])
        width = filters // groups
        split = b.reshape(rows, [[shape(rows)[0]], [taps, groups, inner]])
        by_group = b.reshape(grad, [[shape(grad)[0]], [groups, width]])
        product = b.contract("p g f, p t g c -> g f t c", by_group, split, [groups, width, taps, inner])
        product = b.merge(product, [2, 2])
    if taps == 1:
        return b.reshape(product, [[filters], [inner, *kernel]])
    # The copy stays one: in the product's loop it would scatter the result.
    by_tap = b.barrier(b.reshape(product, [[filters], [taps, inner]]))
    return b.reshape(b.transpose(by_tap, [0, 2, 1]), [[filters], [inner], kernel])


def _reads_panels(b: LinalgBuilder, grad: ir.Value, inner: int, taps: int) -> bool:
    """Whether patches, which are a copy anyway, are copied into panels."""
    return b.panel > 0 and inner % b.panel == 0 and taps > 1 and shape(grad)[1] > b.panel


def _is_short(grad: ir.Value) -> bool:
    return shape(grad)[0] <= MOST_POSITIONS


def _by_filter(b: LinalgBuilder, grad: ir.Value) -> ir.Value:
    """``grad [P, F]`` as ``[F, P]``, a copy."""
    return b.reorder(b.barrier(grad), [1, 0])


def _product(b: LinalgBuilder, grad: ir.Value, rows: ir.Value) -> ir.Value:
    """``[F, taps · C]`` of ``grad [P, F]`` and ``rows [P, taps · C]``.

    Vectors lie along the rows of the right operand: those of the two that have room for whole ones.
    """
    filters, depth = shape(grad)[1], shape(rows)[1]
    if depth >= LEAST_COLUMNS and _is_short(grad):
        return by_matrix(b, _by_filter(b, grad), rows)
    if depth % _VECTOR == 0 or (depth >= filters and filters % _VECTOR):
        return b.contract("p f, p q -> f q", grad, rows, [filters, depth])
    return b.transpose(b.barrier(b.contract("p q, p f -> q f", rows, grad, [depth, filters])), [1, 0])
