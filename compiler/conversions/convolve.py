# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Convolution of builtin tensors, which forward convolutions and input gradients share.

The formulations are those that iree-compile makes fast code of: products of matrices, and the named
convolutions over ``[N, *spatial, C]``.
"""

import math

from torch_mlir import ir

from pock.dialects.sparsebp.window import Window

from .builder import LinalgBuilder, shape
from .depthwise import depthwise_convolve
from .patches import fit, is_pointwise, letters, patches, unpadded
from .products import by_transposed
from .winograd import is_faster, winograd_convolve

_NAMED = {1: "conv_1d_nwc_wcf", 2: "conv_2d_nhwc_hwcf", 3: "conv_3d_ndhwc_dhwcf"}

LEAST_ROW = 16
"""Positions of a row from which a convolution is faster than a product with patches.

A named convolution reads the whole filter once for each tile of a row; a product for each tile of all
positions. Measured for 0.6 GFLOP of 3x3 taps: 32 positions a row 4.1 ms against 6, 8 positions 11.5
against 6, 4 positions 13.5 against 5.
"""


def convolve(b: LinalgBuilder, x: ir.Value, weight: ir.Value, window: Window, groups: int) -> ir.Value:
    """The convolution of ``x [N, *in, C]`` with ``weight [F, C / groups, *kernel]``.

    Returns ``[N, *out, F]`` in f32.
    """
    out = window.output_size(shape(x)[1:-1])
    if is_faster(b, x, weight, window, groups, out):
        return winograd_convolve(b, x, weight, window, out)
    x, window = fit(b, x, window, out), unpadded(window)
    if groups > 1 and shape(weight)[1] == 1:
        return depthwise_convolve(b, x, weight, window)
    # Of one tap in a dimension, iree-compile makes a loop nest that it takes for no convolution.
    if groups == 1 and min(window.kernel) > 1 and out[-1] >= LEAST_ROW and len(out) in _NAMED:
        by_tap = b.reorder(weight, [*range(2, len(out) + 2), 1, 0])
        return b.convolution(_NAMED[len(out)], x, by_tap, window.stride, window.dilation, out)
    return _product_with_patches(b, x, weight, window, groups)


def _product_with_patches(
    b: LinalgBuilder, x: ir.Value, weight: ir.Value, window: Window, groups: int
) -> ir.Value:
    """Each image's patches (im2col) times the filter, group by group."""
    batch, filters, rank = shape(x)[0], shape(weight)[0], len(window.kernel)
    out = window.output_size(shape(x)[1:-1])
    at = " ".join(letters("o", rank))
    depth = [*range(2, rank + 2), 1]
    if groups == 1:
        if is_pointwise(window):
            return by_transposed(b, x, weight, depth)
        rows = b.merge(patches(b, x, window, out), [1 + rank, 1])
        return b.reshape(by_transposed(b, rows, weight, depth), [[batch, *out], [filters]])
    width, inner = filters // groups, shape(weight)[1]
    columns = patches(b, x, window, out)
    split = b.reshape(columns, [[batch], *([n] for n in out), [math.prod(window.kernel), groups, inner]])
    by_group = b.reshape(weight, [[groups, width], *([n] for n in shape(weight)[1:])])
    by_group = b.merge(b.reorder(by_group, [0, *(i + 1 for i in depth), 1]), [1, rank, 1, 1])
    y = b.contract(f"n {at} t g c, g t c f -> n {at} g f", split, by_group, [batch, *out, groups, width])
    return b.merge(y, [1] * (1 + rank) + [2])
