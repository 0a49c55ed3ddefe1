# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.avg_pool``, and ``torch.aten.avg_pool2d`` and its kin."""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.compiler.torch_ir import constant, widen
from pock.dialects.sparsebp.avg_pool_grad import window as window_of
from pock.dialects.sparsebp.layout import to_first, to_last
from pock.dialects.sparsebp.window import Window
from pock.dialects.types import shape_of

from .builder import LinalgBuilder, convert_scalar, shape
from .layout import in_layout, over_space, spatial_size
from .patches import MOST_TAPS, fit, letters, taps, unpadded, view_subscripts, views


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """``sparsebp.avg_pool``."""
    attributes = op.operation.attributes
    include_pad = ir.BoolAttr(attributes["count_include_pad"]).value
    override = ir.IntegerAttr(attributes["divisor_override"]).value
    x = over_space(op, 0, b)
    return in_layout(op, average(b, x, window_of(op), spatial_size(op), include_pad, override), b)


def convert_aten(op: Any, b: LinalgBuilder) -> ir.Value:
    """``torch.aten.avg_pool2d`` and its kin, which take inputs without a batch too."""
    _, kernel, stride, padding, _, include_pad, *divisor = op.operation.operands
    rank = int(op.operation.name.removeprefix("torch.aten.avg_pool")[0])
    size = tuple(widen(constant(kernel), rank))
    # No stride means the kernel's size.
    step = tuple(widen(constant(stride), rank)) or size
    window = Window(size, step, tuple(widen(constant(padding), rank)), (1,) * rank)
    override = (constant(divisor[0]) if divisor else None) or 0
    out, x = shape_of(op.operation.results[0].type)[-rank:], b.operand(op, 0)
    batched = len(shape(x)) == rank + 2
    if not batched:
        x = b.reshape(x, [[1, shape(x)[0]], *([n] for n in shape(x)[1:])])
    x = b.transpose(x, to_last(range(rank + 2)))
    y = average(b, x, window, out, constant(include_pad), override)
    y = b.transpose(y, to_first(range(rank + 2)))
    return y if batched else b.merge(y, [2] + [1] * rank)


def average(
    b: LinalgBuilder, x: ir.Value, window: Window, out: Sequence[int], include_pad: bool, override: int
) -> ir.Value:
    """The averages of ``out`` windows over ``x [N, *size, C]``, in f32.

    Sums over the taps of the padded input, over the number that PyTorch divides by.
    """
    weights = 1 / divisors(window, shape(x)[1:-1], out, include_pad, override)
    o = " ".join(letters("o", len(out)))
    total = _sums(b, fit(b, x, window, out), unpadded(window), out)
    return b.generic(
        f"n {o} c, {o} -> n {o} c",
        [total, b.dense(weights.astype(np.float32))],
        [b.like(total)],
        lambda v, w, _: arith.mulf(v, w),
    )


def _sums(b: LinalgBuilder, x: ir.Value, window: Window, out: Sequence[int]) -> ir.Value:
    """What the windows over a fitted ``x`` add up to; few taps are unrolled."""
    total = b.full([shape(x)[0], *out, shape(x)[-1]], 0.0, b.f32)
    (read, at), count = view_subscripts(window), math.prod(window.kernel)

    def add(*scalars: ir.Value) -> ir.Value:
        *values, total = (convert_scalar(v, b.f32) for v in scalars)
        return reduce(arith.addf, values, total)

    if count > 4 * MOST_TAPS:
        over = " ".join(letters("k", len(out)))
        inputs = [x, b.empty(window.kernel, b.f32)]
        spec = f"n {taps(window)} c, {over} -> n {at} c"
        return b.generic(spec, inputs, [total], lambda value, _, total: add(value, total))
    read_by_tap = views(b, x, window, out)
    for start in range(0, count, MOST_TAPS):
        chunk = read_by_tap[start : start + MOST_TAPS]
        spec = ", ".join([f"n {read} c"] * len(chunk)) + f" -> n {at} c"
        total = b.generic(spec, chunk, [total], add)
    return total


def divisors(
    window: Window, size: Sequence[int], out: Sequence[int], include_pad: bool, override: int
) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """What PyTorch divides each of the ``out`` windows over ``size`` by."""
    counts = np.ones([1] * len(size))
    for axis, (n, m, k, s, p) in enumerate(
        zip(size, out, window.kernel, window.stride, window.padding, strict=True)
    ):
        begin = np.arange(m) * s - p
        end = np.minimum(begin + k, n + p)
        count = end - begin if include_pad else np.minimum(end, n) - np.maximum(begin, 0)
        counts = counts * count.reshape([-1 if i == axis else 1 for i in range(len(size))])
    return np.full_like(counts, override) if override else counts
