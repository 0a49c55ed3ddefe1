# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Depthwise convolutions and their weight gradients.

The named convolution over ``[N, H, W, C]`` runs at the speed of memory, and so does a loop over positions
that has all taps in its body, for what has no name.
"""

import math
from collections.abc import Sequence

from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.compiler.torch_ir import defining_op
from pock.dialects.sparsebp.window import Window

from .builder import Body, LinalgBuilder, convert_scalar, shape
from .patches import MOST_TAPS, fit, unpadded, view_subscripts, views

_NAMED = "depthwise_conv_2d_nhwc_hwc"

MOST_AT_ONCE = 8
"""Positions of a row up to which they are one vector."""

MOST_IMAGES = 32
"""Images whose weight gradients are a convolution each; those of more are one slower loop."""


def depthwise_convolve(b: LinalgBuilder, x: ir.Value, weight: ir.Value, window: Window) -> ir.Value:
    """The convolution of a fitted ``x [N, *in, C]`` with ``m`` filters a channel, ``[C·m, 1, *kernel]``."""
    batch, channels, out = shape(x)[0], shape(x)[-1], window.output_size(shape(x)[1:-1])
    multiplier, rank = shape(weight)[0] // channels, len(out)
    if multiplier == 1 and rank == 2:
        by_tap = b.reorder(b.merge(weight, [2, 1, 1]), [1, 2, 0])
        return b.convolution(_NAMED, _padded_apart(b, x, out), by_tap, window.stride, window.dilation, out)
    filters = [channels] if multiplier == 1 else [channels, multiplier]
    f, (read, at) = "c m"[: 2 * len(filters) - 1], view_subscripts(window)
    taps = list(zip(views(b, x, window, out), _tap_weights(b, weight, filters), strict=True))
    total = b.full([batch, *out, *filters], 0.0, b.f32)
    for start in range(0, len(taps), MOST_TAPS):
        xs, weights = zip(*taps[start : start + MOST_TAPS], strict=True)
        spec = ", ".join([f"n {read} c"] * len(xs) + [f] * len(xs)) + f" -> n {at} {f}"
        total = b.generic(spec, [*xs, *weights], [total], _sum_of_products(b, len(xs)))
    return b.merge(total, [1] * (1 + rank) + [len(filters)])


def _padded_apart(b: LinalgBuilder, x: ir.Value, out: Sequence[int]) -> ir.Value:
    """``x``, not padded by the convolution that reads it if that would take iree-compile for ever.

    A row of so few positions is one vector. Where nothing but its ends is padded, all of the padding is
    known, and iree-compile takes it apart, element by element, in more memory than there is.
    """
    pad = defining_op(x)
    if pad is None or pad.operation.name != "tensor.pad" or out[-1] > MOST_AT_ONCE:
        return x
    (_, rows, columns, _), (_, padded_rows, padded_columns, _) = shape(pad.operation.operands[0]), shape(x)
    return b.barrier(x) if rows == padded_rows and columns < padded_columns else x


def depthwise_weight_grad(
    b: LinalgBuilder, grad: ir.Value, x: ir.Value, multiplier: int, window: Window
) -> ir.Value:
    """``[C·m, 1, *kernel]`` from ``grad [N, *out, C·m]`` and ``x [N, *in, C]``."""
    batch, channels, out = shape(x)[0], shape(x)[-1], shape(grad)[1:-1]
    if multiplier == 1 and len(out) == 2 and batch <= MOST_IMAGES:
        return _image_by_image(b, grad, x, window)
    x, window = fit(b, x, window, out, spare=True), unpadded(window)
    filters = [channels] if multiplier == 1 else [channels, multiplier]
    f, (read, at) = "c m"[: 2 * len(filters) - 1], view_subscripts(window)
    grad = b.reshape(grad, [[batch], *([n] for n in out), filters])
    taps = views(b, x, window, out)
    sums: list[ir.Value] = []
    for start in range(0, len(taps), MOST_TAPS):
        chunk = taps[start : start + MOST_TAPS]
        inputs = ", ".join([f"n {at} {f}"] + [f"n {read} c"] * len(chunk))
        spec = f"{inputs} -> " + ", ".join([f] * len(chunk))
        zeros = [b.full(filters, 0.0, b.f32)] * len(chunk)
        found = b.generic(spec, [grad, *chunk], zeros, _products_of_first(b, len(chunk)))
        sums.extend([found] if isinstance(found, ir.Value) else found)
    by_filter = b.transpose(b.merge(b.stack(sums), [1, len(filters)]), [1, 0])
    return b.reshape(by_filter, [[channels * multiplier], [1, *window.kernel]])


def _image_by_image(b: LinalgBuilder, grad: ir.Value, x: ir.Value, window: Window) -> ir.Value:
    """The sum over images of the convolution of each with its gradient as the filter.

    Stride and dilation change places.
    """
    batch, *out, channels = shape(grad)
    size = shape(x)[1:-1]
    total = b.full([1, *window.kernel, channels], 0.0, b.f32)
    for n in range(batch):
        # Padded one by one: iree-compile makes the padding part of each convolution.
        image = fit(b, b.slice(x, [n, 0, 0, 0], [1, *size, channels]), window, out)
        filter = b.merge(b.slice(grad, [n, 0, 0, 0], [1, *out, channels]), [2, 1, 1])
        total = b.convolution(_NAMED, image, filter, window.dilation, window.stride, window.kernel, total)
    matrix = b.merge(total, [3, 1])
    return b.reshape(b.transpose(matrix, [1, 0]), [[channels], [1, *window.kernel]])


def _tap_weights(b: LinalgBuilder, weight: ir.Value, filters: Sequence[int]) -> list[ir.Value]:
    """For each tap its weights, in the shape ``filters``."""
    count, _, *kernel = shape(weight)
    flat = b.merge(weight, [1, 1 + len(kernel)])
    taps = [b.merge(b.slice(flat, [0, tap], [count, 1]), [2]) for tap in range(math.prod(kernel))]
    return [b.reshape(tap, [filters]) for tap in taps]


def _sum_of_products(b: LinalgBuilder, count: int) -> Body:
    def body(*scalars: ir.Value) -> ir.Value:
        *factors, total = (convert_scalar(v, b.f32) for v in scalars)
        for x, weight in zip(factors[:count], factors[count:], strict=True):
            total = arith.addf(total, arith.mulf(x, weight))
        return total

    return body


def _products_of_first(b: LinalgBuilder, count: int) -> Body:
    def body(*scalars: ir.Value) -> list[ir.Value]:
        grad, *rest = (convert_scalar(v, b.f32) for v in scalars)
        return [
            arith.addf(total, arith.mulf(grad, x))
            for x, total in zip(rest[:count], rest[count:], strict=True)
        ]

    return body
