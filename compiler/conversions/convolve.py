# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Convolution of builtin tensors, which forward convolutions and input gradients share."""

from collections.abc import Sequence

from torch_mlir import ir

from pock.dialects.sparsebp.window import Window

from .builder import LinalgBuilder, shape


def letters(prefix: str, rank: int) -> list[str]:
    """Names of ``rank`` spatial dimensions for subscripts: ``["o0", "o1"]``."""
    return [f"{prefix}{i}" for i in range(rank)]


def taps(
    outputs: Sequence[str], kernel: Sequence[str], stride: Sequence[int], dilation: Sequence[int]
) -> str:
    """The subscripts of the input of a convolution: ``o0*2+k0*1 o1*2+k1*1``."""
    return " ".join(f"{o}*{s}+{k}*{d}" for o, k, s, d in zip(outputs, kernel, stride, dilation, strict=True))


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


def convolve(
    b: LinalgBuilder,
    x: ir.Value,
    weight: ir.Value,
    stride: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> ir.Value:
    """The convolution of ``x [N, C, *in]``, as ``fit`` leaves it, with ``weight [F, C / groups, *kernel]``.

    Returns ``[N, F, *out]`` in f32.
    """
    batch, channels, *size = shape(x)
    filters, _, *kernel = shape(weight)
    rank = len(kernel)
    out = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(size, kernel, stride, dilation, strict=True)]
    if groups == 1 and all(k == 1 for k in kernel) and all(s == 1 for s in stride):
        return _pointwise(b, x, weight)
    o, k = letters("o", rank), letters("k", rank)
    read, at, over = taps(o, k, stride, dilation), " ".join(o), " ".join(k)
    if groups == 1:
        return b.contract(f"n c {read}, f c {over} -> n f {at}", x, weight, [batch, filters, *out])
    if groups == channels == filters:
        filter_ = b.merge(weight, [2] + [1] * rank)
        return b.contract(f"n c {read}, c {over} -> n c {at}", x, filter_, [batch, filters, *out])
    inner, width = channels // groups, filters // groups
    x = b.reshape(x, [[batch], [groups, inner], *([n] for n in size)])
    weight = b.reshape(weight, [[groups, width], [inner], *([n] for n in kernel)])
    y = b.contract(f"n g c {read}, g f c {over} -> n g f {at}", x, weight, [batch, groups, width, *out])
    return b.merge(y, [1, 2] + [1] * rank)


def _pointwise(b: LinalgBuilder, x: ir.Value, weight: ir.Value) -> ir.Value:
    """A 1x1 convolution as one matmul per image over collapsed positions."""
    batch, _, *size = shape(x)
    filters, rank = shape(weight)[0], len(size)
    flat = b.merge(x, [1, 1, rank])
    matrix = b.merge(weight, [1, rank + 1])
    y = b.contract("n c p, f c -> n f p", flat, matrix, [batch, filters, shape(flat)[2]])
    return b.reshape(y, [[batch], [filters], size])
