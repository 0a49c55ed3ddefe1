# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``torch.aten.avg_pool2d`` and its kin."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.compiler.torch_ir import constant
from pock.dialects.sparsebp.window import Window
from pock.dialects.types import shape_of

from .builder import LinalgBuilder, convert_scalar, shape
from .patches import fit, letters, taps, widen


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """A sum over the taps of the padded input, over the number that PyTorch divides by."""
    _, kernel, stride, padding, _, include_pad, *divisor = op.operation.operands
    rank = int(op.operation.name.removeprefix("torch.aten.avg_pool")[0])
    size = widen(constant(kernel), rank)
    # No stride means the kernel's size.
    step = widen(constant(stride), rank) or size
    window = Window(size, step, widen(constant(padding), rank), (1,) * rank)
    override = (constant(divisor[0]) if divisor else None) or 0
    out, x = shape_of(op.operation.results[0].type), b.operand(op, 0)
    if len(out) == rank + 2:
        return average(b, x, window, out[2:], constant(include_pad), override)
    batched = b.reshape(x, [[1, out[0]], *([n] for n in shape(x)[1:])])
    y = average(b, batched, window, out[1:], constant(include_pad), override)
    return b.merge(y, [2] + [1] * rank)


def average(
    b: LinalgBuilder, x: ir.Value, window: Window, out: Sequence[int], include_pad: bool, override: int
) -> ir.Value:
    """The averages of ``out`` windows over ``x [N, C, *size]``, in f32."""
    batch, channels, *size = shape(x)
    weights = 1 / divisors(window, size, out, include_pad, override)
    o = " ".join(letters("o", len(out)))
    total = b.generic(
        f"n c {taps(window)}, {' '.join(letters('k', len(out)))} -> n c {o}",
        [fit(b, x, window, out), b.empty(window.kernel, b.f32)],
        [b.full([batch, channels, *out], 0.0, b.f32)],
        lambda v, _, total: arith.addf(total, convert_scalar(v, b.f32)),
    )
    return b.generic(
        f"n c {o}, {o} -> n c {o}",
        [total, b.dense(weights.astype(np.float32))],
        [b.like(total)],
        lambda v, w, _: arith.mulf(v, w),
    )


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
