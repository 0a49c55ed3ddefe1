# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Depthwise convolution and its weight gradient, with the taps unrolled.

A depthwise convolution reads each element a few times and multiplies little: as one loop nest over
positions that has all taps in its body it runs at the speed of memory.
"""

import math
from collections.abc import Sequence

from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.dialects.sparsebp.window import Window

from .builder import Body, LinalgBuilder, convert_scalar, shape
from .patches import MOST_TAPS, view_subscripts, views


def depthwise_convolve(b: LinalgBuilder, x: ir.Value, weight: ir.Value, window: Window) -> ir.Value:
    """The convolution of a fitted ``x [N, C, *in]`` with ``m`` filters a channel, ``[C·m, 1, *kernel]``."""
    batch, channels, *size = shape(x)
    multiplier = shape(weight)[0] // channels
    filters = [channels] if multiplier == 1 else [channels, multiplier]
    f, (read, at) = "c m"[: 2 * len(filters) - 1], view_subscripts(window)
    out = window.output_size(size)
    taps = list(zip(views(b, x, window, out), _tap_weights(b, weight, filters), strict=True))
    total = b.full([batch, *filters, *out], 0.0, b.f32)
    for start in range(0, len(taps), MOST_TAPS):
        xs, weights = zip(*taps[start : start + MOST_TAPS], strict=True)
        spec = ", ".join([f"n c {read}"] * len(xs) + [f] * len(xs)) + f" -> n {f} {at}"
        total = b.generic(spec, [*xs, *weights], [total], _sum_of_products(b, len(xs)))
    return b.merge(total, [1, len(filters)] + [1] * len(size))


def depthwise_weight_grad(
    b: LinalgBuilder, grad: ir.Value, x: ir.Value, multiplier: int, window: Window
) -> ir.Value:
    """``[C·m, 1, *kernel]`` in f32, of a fitted ``x [N, C, *in]`` and ``grad [N, C·m, *out]``.

    One reduction over all positions that has a sum for each tap.
    """
    batch, channels, *_ = shape(x)
    filters = [channels] if multiplier == 1 else [channels, multiplier]
    f, (read, at) = "c m"[: 2 * len(filters) - 1], view_subscripts(window)
    out = shape(grad)[2:]
    grad = b.reshape(grad, [[batch], filters, *([n] for n in out)])
    taps = views(b, x, window, out)
    sums: list[ir.Value] = []
    for start in range(0, len(taps), MOST_TAPS):
        chunk = taps[start : start + MOST_TAPS]
        spec = (
            ", ".join([f"n {f} {at}"] + [f"n c {read}"] * len(chunk)) + " -> " + ", ".join([f] * len(chunk))
        )
        zeros = [b.full(filters, 0.0, b.f32)] * len(chunk)
        found = b.generic(spec, [grad, *chunk], zeros, _products_of_first(b, len(chunk)))
        sums.extend([found] if isinstance(found, ir.Value) else found)
    by_filter = b.transpose(b.merge(b.stack(sums), [1, len(filters)]), [1, 0])
    return b.reshape(by_filter, [[channels * multiplier], [1, *window.kernel]])


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
