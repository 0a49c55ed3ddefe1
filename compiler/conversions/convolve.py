# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Convolution of builtin tensors, which forward convolutions and input gradients share.

The formulations are those that iree-compile makes fast code of for ``[N, C, *spatial]``: contractions
whose first operand is the filter, and the one kind of convolution that it knows in this layout.
"""

import math
from collections.abc import Sequence

from torch_mlir import ir

from pock.dialects.sparsebp.window import Window

from .builder import LinalgBuilder, shape
from .depthwise import depthwise_convolve
from .patches import columns, fit, letters, taps, unpadded


def convolve(b: LinalgBuilder, x: ir.Value, weight: ir.Value, window: Window, groups: int) -> ir.Value:
    """The convolution of ``x [N, C, *in]`` with ``weight [F, C / groups, *kernel]``.

    Returns ``[N, F, *out]`` in f32.
    """
    x = fit(b, x, window, window.output_size(shape(x)[2:]))
    window = unpadded(window)
    if groups > 1 and shape(weight)[1] == 1:
        return depthwise_convolve(b, x, weight, window)
    if groups == 1 and _is_direct(shape(x), shape(weight), window):
        return _direct(b, x, weight, window)
    return _product_with_patches(b, x, weight, window, groups)


def _is_direct(source: Sequence[int], weight: Sequence[int], window: Window) -> bool:
    """Whether patches would be large, and iree-compile has a kernel that needs none."""
    out = window.output_size(source[2:])
    size = source[0] * source[1] * math.prod(window.kernel) * math.prod(out)
    largest = max(math.prod(source), source[0] * weight[0] * math.prod(out))
    known = len(out) == 2 and min(window.kernel) > 1 and max(window.stride) == 1
    return known and size > 2 * largest


def _direct(b: LinalgBuilder, x: ir.Value, weight: ir.Value, window: Window) -> ir.Value:
    out = window.output_size(shape(x)[2:])
    o, k = letters("o", len(out)), letters("k", len(out))
    read, at, over = taps(window), " ".join(o), " ".join(k)
    return b.contract(f"n c {read}, f c {over} -> n f {at}", x, weight, [shape(x)[0], shape(weight)[0], *out])


def _product_with_patches(
    b: LinalgBuilder, x: ir.Value, weight: ir.Value, window: Window, groups: int
) -> ir.Value:
    """The filter times each image's patches (im2col), group by group."""
    filters, rank = shape(weight)[0], len(window.kernel)
    at, matrix = " ".join(letters("o", rank)), b.merge(weight, [1, rank + 1])
    out = window.output_size(shape(x)[2:])
    values = columns(b, x, window, out, groups)
    batch = shape(values)[0]
    if groups == 1:
        return b.contract(f"f q, n q {at} -> n f {at}", matrix, values, [batch, filters, *out])
    width = filters // groups
    matrix = b.reshape(matrix, [[groups, width], [shape(matrix)[1]]])
    y = b.contract(f"g f q, n g q {at} -> n g f {at}", matrix, values, [batch, groups, width, *out])
    return b.merge(y, [1, 2] + [1] * rank)
