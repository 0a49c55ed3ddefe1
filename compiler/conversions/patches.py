# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Windows over ``[N, *spatial, C]``: padding to fit, subscripts, and patches."""

import itertools
import math
from collections.abc import Sequence

from torch_mlir import ir

from pock.dialects.sparsebp.window import Window

from .builder import LinalgBuilder, element, shape

MOST_TAPS = 25
"""Taps to unroll in one body: beyond, vector registers spill."""


def letters(prefix: str, rank: int) -> list[str]:
    """Names of ``rank`` spatial dimensions for subscripts: ``["o0", "o1"]``."""
    return [f"{prefix}{i}" for i in range(rank)]


def taps(window: Window) -> str:
    """The subscripts of what windows at ``o0``, … read with taps ``k0``, …: ``o0*2+k0*1 o1*2+k1*1``."""
    return " ".join(
        f"o{i}*{s}+k{i}*{d}" for i, (s, d) in enumerate(zip(window.stride, window.dilation, strict=True))
    )


def is_pointwise(window: Window) -> bool:
    """Whether each position is a window of its own."""
    return all(k == 1 for k in window.kernel) and all(s == 1 for s in window.stride)


def views(b: LinalgBuilder, x: ir.Value, window: Window, out: Sequence[int]) -> list[ir.Value]:
    """For each tap in row-major order what it reads of a fitted ``x``, strides not yet taken."""
    batch, channels = shape(x)[0], shape(x)[-1]
    spans = [(o - 1) * s + 1 for o, s in zip(out, window.stride, strict=True)]
    begins = [range(0, k * d, d) for k, d in zip(window.kernel, window.dilation, strict=True)]
    return [b.slice(x, [0, *at, 0], [batch, *spans, channels]) for at in itertools.product(*begins)]


def view_subscripts(window: Window) -> tuple[str, str]:
    """Subscripts of the spatial dimensions of a view and of the output."""
    o = letters("o", len(window.kernel))
    return " ".join(f"{name}*{s}" for name, s in zip(o, window.stride, strict=True)), " ".join(o)


def unpadded(window: Window) -> Window:
    """The window over an input that ``fit`` has padded."""
    return Window(window.kernel, window.stride, (0,) * len(window.kernel), window.dilation)


def fit(
    b: LinalgBuilder,
    x: ir.Value,
    window: Window,
    out: Sequence[int],
    fill: float = 0.0,
    spare: bool = False,
) -> ir.Value:
    """``x [N, *in, C]`` padded with ``fill``, or cropped, to what ``out`` windows cover.

    Exactly that: iree-compile drops dimensions of size 1, and then takes an input that is larger for a
    mistake. ``spare`` adds one element to a dimension that has several positions and several taps, if
    there is one.
    """
    high = [
        (o - 1) * s + d * (k - 1) + 1 - n - p
        for o, n, k, s, p, d in zip(
            out, shape(x)[1:-1], window.kernel, window.stride, window.padding, window.dilation, strict=True
        )
    ]
    if spare:
        several = [i for i, (o, k) in enumerate(zip(out, window.kernel, strict=True)) if min(o, k) > 1]
        high = [n + (i in several[:1]) for i, n in enumerate(high)]
    return b.pad(x, [0, *window.padding, 0], [0, *high, 0], fill)


def patches(b: LinalgBuilder, x: ir.Value, window: Window, out: Sequence[int]) -> ir.Value:
    """``[N, *out, taps · C]``: what each window of a fitted ``x`` reads, tap by tap (im2col).

    Taps and channels are one dimension: as several, iree-compile would fold the copy into the product with
    a filter and make a slow convolution of it.
    """
    batch, channels = shape(x)[0], shape(x)[-1]
    rank = len(out)
    at, over = " ".join(letters("o", rank)), " ".join(letters("k", rank))
    if math.prod(window.kernel) == 1:
        return x if is_pointwise(window) else _every(b, x, window, out)
    inputs = [x, b.empty(window.kernel, element(x))]
    init = b.empty([batch, *out, *window.kernel, channels], element(x))
    spec = f"n {taps(window)} c, {over} -> n {at} {over} c"
    copied = b.generic(spec, inputs, [init], lambda value, *_: value)
    return b.merge(copied, [1] * (1 + rank) + [rank + 1])


def patches_in_panels(b: LinalgBuilder, x: ir.Value, window: Window, out: Sequence[int]) -> ir.Value:
    """``[taps · C / panel, N · positions, panel]``: as ``patches``, in panels of columns (``b.panel``)."""
    batch, *size, channels = shape(x)
    rank, panels = len(out), channels // b.panel
    split = b.reshape(x, [[batch], *([n] for n in size), [panels, b.panel]])
    at, over = " ".join(letters("o", rank)), " ".join(letters("k", rank))
    init = b.empty([*window.kernel, panels, batch, *out, b.panel], element(x))
    spec = f"n {taps(window)} p l, {over} -> {over} p n {at} l"
    copied = b.generic(spec, [split, b.empty(window.kernel, element(x))], [init], lambda value, *_: value)
    return b.barrier(b.merge(copied, [rank + 1, 1 + rank, 1]))


def _every(b: LinalgBuilder, x: ir.Value, window: Window, out: Sequence[int]) -> ir.Value:
    """``[N, *out, C]``: what windows of one tap read, a copy."""
    read, at = view_subscripts(window)
    init = b.empty([shape(x)[0], *out, shape(x)[-1]], element(x))
    return b.barrier(b.generic(f"n {read} c -> n {at} c", [x], [init], lambda value, *_: value))
