# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.max_pool_argmax``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.dialects.sparsebp.window import Window

from .builder import Body, LinalgBuilder, element, is_negative, shape
from .layout import in_layout, over_space, spatial_size
from .patches import MOST_TAPS, fit, letters, unpadded, view_subscripts, views


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """The tap of each maximum.

    Where nothing exceeds minus infinity the first tap that is not padding wins, as in PyTorch.
    """
    return in_layout(op, _or_first(b, maxima_and_taps(op, b)[1], Window.of(op), spatial_size(op)), b)


def maxima_and_taps(op: Any, b: LinalgBuilder) -> list[ir.Value]:
    """The maximum of each window ``[N, *out, C]`` and its tap, or -1, from one look at what each tap reads.

    ``op`` is a ``max_pool`` or a ``max_pool_argmax``: of both over the same windows one loop is left.
    """
    window, out = Window.of(op), spatial_size(op)
    x = fit(b, over_space(op, 0, b), window, out, float("-inf"))
    taps, (read, at) = views(b, x, unpadded(window), out), view_subscripts(window)
    sizes = [shape(x)[0], *out, shape(x)[-1]]
    top, argmax = b.full(sizes, float("-inf"), element(x)), b.full(sizes, -1, b.i32)
    for start in range(0, len(taps), MOST_TAPS):
        chunk = taps[start : start + MOST_TAPS]
        spec = ", ".join([f"n {read} c"] * len(chunk)) + f" -> n {at} c, n {at} c"
        top, argmax = b.generic(spec, chunk, [top, argmax], _latest_maximum(b, start))
    # iree-compile makes invalid code where it moves a transposition into a loop with two results.
    return [b.barrier(top), b.barrier(argmax)]


def _latest_maximum(b: LinalgBuilder, first_tap: int) -> Body:
    def body(*scalars: ir.Value) -> list[ir.Value]:
        *values, top, at = scalars
        for tap, value in enumerate(values, start=first_tap):
            larger = arith.cmpf(arith.CmpFPredicate.OGT, value, top)
            wins = arith.ori(larger, arith.cmpf(arith.CmpFPredicate.UNO, value, value))
            top, at = arith.select(wins, value, top), arith.select(wins, arith.constant(b.i32, tap), at)
        return [top, at]

    return body


def _or_first(b: LinalgBuilder, argmax: ir.Value, window: Window, out: Sequence[int]) -> ir.Value:
    """``argmax``, with the first tap inside the input where it is -1."""
    first = np.zeros([1] * len(out), np.int32)
    for axis, (n, k, s, p, d) in enumerate(
        zip(out, window.kernel, window.stride, window.padding, window.dilation, strict=True)
    ):
        tap = -(-np.maximum(p - np.arange(n) * s, 0) // d)
        first = first * k + tap.reshape([-1 if i == axis else 1 for i in range(len(out))]).astype(np.int32)
    o = " ".join(letters("o", len(out)))

    def choose(tap: ir.Value, fallback: ir.Value, _: ir.Value) -> ir.Value:
        return arith.select(is_negative(tap), fallback, tap)

    return b.generic(f"n {o} c, {o} -> n {o} c", [argmax, b.dense(first)], [b.like(argmax)], choose)
