# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Windows over ``[N, C, *spatial]``: padding to fit, subscripts, and patches."""

import itertools
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


def views(b: LinalgBuilder, x: ir.Value, window: Window) -> list[ir.Value]:
    """For each tap in row-major order what it reads of a fitted ``x``, strides not yet taken."""
    batch, channels, *size = shape(x)
    spans = [(o - 1) * s + 1 for o, s in zip(window.output_size(size), window.stride, strict=True)]
    begins = [range(0, k * d, d) for k, d in zip(window.kernel, window.dilation, strict=True)]
    return [b.slice(x, [0, 0, *at], [batch, channels, *spans]) for at in itertools.product(*begins)]


def view_subscripts(window: Window) -> tuple[str, str]:
    """Subscripts of the spatial dimensions of a view and of the output."""
    o = letters("o", len(window.kernel))
    return " ".join(f"{name}*{s}" for name, s in zip(o, window.stride, strict=True)), " ".join(o)


def unpadded(window: Window) -> Window:
    """The window over an input that ``fit`` has padded."""
    return Window(window.kernel, window.stride, (0,) * len(window.kernel), window.dilation)


def fit(b: LinalgBuilder, x: ir.Value, window: Window, out: Sequence[int], fill: float = 0.0) -> ir.Value:
    """``x [N, C, *in]`` padded with ``fill``, or cropped, to what ``out`` windows cover.

    Exactly that: iree-compile drops dimensions of size 1, and then takes an input that is larger for a
    mistake.
    """
    high = [
        (o - 1) * s + d * (k - 1) + 1 - n - p
        for o, n, k, s, p, d in zip(
            out, shape(x)[2:], window.kernel, window.stride, window.padding, window.dilation, strict=True
        )
    ]
    return b.pad(x, [0, 0, *window.padding], [0, 0, *high], fill)


def patches(
    b: LinalgBuilder, x: ir.Value, window: Window, groups: int = 1, positions_first: bool = False
) -> ir.Value:
    """``[N, groups, C / groups · taps, positions]``: what each window of a fitted ``x`` reads (im2col).

    ``positions_first`` puts the last dimension behind the first: ``[N, positions, groups, …]``.
    """
    batch, channels, *size = shape(x)
    rank, out = len(size), window.output_size(size)
    grouped = b.reshape(x, [[batch], [groups, channels // groups], *([n] for n in size)])
    if is_pointwise(window) and not positions_first:
        return b.merge(grouped, [1, 1, 1, rank])
    o, k = letters("o", rank), letters("k", rank)
    read, at, over = taps(window), " ".join(o), " ".join(k)
    order = f"n {at} g c {over}" if positions_first else f"n g c {over} {at}"
    sizes = [groups, channels // groups, *window.kernel]
    sizes = [batch, *out, *sizes] if positions_first else [batch, *sizes, *out]
    init = b.empty(sizes, element(x))
    over_taps = b.empty(window.kernel, element(x))
    copied = b.generic(f"n g c {read}, {over} -> {order}", [grouped, over_taps], [init], lambda v, *_: v)
    return b.merge(copied, [1, rank, 1, 1 + rank] if positions_first else [1, 1, 1 + rank, rank])
