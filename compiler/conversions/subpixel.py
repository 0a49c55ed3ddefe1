# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Gradients of strided windows, gathered instead of scattered.

Output position ``o`` of a window of stride ``s``, padding ``p`` and dilation ``d`` reads input position
``i = o·s - p + k·d`` with tap ``k``. Seen from the input, write ``i = q·s + r`` with the *phase*
``r < s``; then ``o = q + e`` for the few *offsets* ``e`` for which ``r + p - e·s`` is ``k·d`` of some tap
``k``. For one phase the gradient is thus a window of stride 1 over the output, whose tap at offset
``e`` is ``k(r, e)``; the input is the phases interleaved. This is the sub-pixel convolution of Shi et
al., "Real-time single image and video super-resolution" (CVPR 2016).
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.dialects.sparsebp.window import Window

from .builder import Body, LinalgBuilder, shape
from .patches import MOST_TAPS, letters


@dataclass(frozen=True)
class Phases:
    """How one spatial dimension is gathered from the output positions of a window.

    ``first`` is the least offset, ``offsets`` their number, ``quotients`` the number of positions
    ``q``, ``taps[r][j]`` the tap of phase ``r`` at offset ``first + j``, or -1 for none.
    """

    first: int
    offsets: int
    quotients: int
    taps: tuple[tuple[int, ...], ...]

    @staticmethod
    def of(size: int, kernel: int, stride: int, padding: int, dilation: int) -> "Phases":
        """The phases of a window over a dimension of ``size``."""
        # Tap k of output position o reads position (o + quotient) * stride + phase.
        reach = [divmod(k * dilation - padding, stride) for k in range(kernel)]
        first, last = -max(quotient for quotient, _ in reach), -min(quotient for quotient, _ in reach)
        taps = [[-1] * (last - first + 1) for _ in range(stride)]
        for tap, (quotient, phase) in enumerate(reach):
            taps[phase][-quotient - first] = tap
        return Phases(first, last - first + 1, -(-size // stride), tuple(map(tuple, taps)))

    @property
    def stride(self) -> int:
        """The number of phases."""
        return len(self.taps)

    @property
    def active(self) -> tuple[int, ...]:
        """The phases that some tap reaches; the gradient of the others is zero."""
        return tuple(phase for phase, at in enumerate(self.taps) if max(at) >= 0)

    def padding(self, out: int) -> tuple[int, int]:
        """Elements to add before and after ``out`` output positions (negative: to remove)."""
        return -self.first, self.quotients + self.offsets - 1 - out + self.first


def phases(window: Window, size: Sequence[int]) -> list[Phases]:
    """The phases of each spatial dimension."""
    return [
        Phases.of(n, k, s, p, d)
        for n, k, s, p, d in zip(
            size, window.kernel, window.stride, window.padding, window.dilation, strict=True
        )
    ]


def tap_table(
    dims: Sequence[Phases], kernel: Sequence[int]
) -> "np.ndarray[tuple[int, ...], np.dtype[np.int32]]":
    """``[*phase, *offset]``: the row-major tap of each phase and offset, or -1."""
    rank = len(dims)
    flat, valid = np.zeros((), np.int32), np.ones((), bool)
    for i, (dim, k) in enumerate(zip(dims, kernel, strict=True)):
        order = [1] * (2 * rank)
        table = np.array(dim.taps, np.int32)
        order[i], order[rank + i] = table.shape
        table = table.reshape(order)
        flat, valid = flat * k + table, valid & (table >= 0)
    return np.where(valid, flat, -1).astype(np.int32)


def pad_outputs(b: LinalgBuilder, value: ir.Value, dims: Sequence[Phases], fill: float = 0.0) -> ir.Value:
    """``value [N, *out, C]`` padded or cropped such that every offset of every quotient is in it."""
    pads = [dim.padding(n) for dim, n in zip(dims, shape(value)[1:-1], strict=True)]
    return b.pad(value, [0, *(low for low, _ in pads), 0], [0, *(high for _, high in pads), 0], fill)


def gather(
    b: LinalgBuilder,
    values: Sequence[ir.Value],
    dims: Sequence[Phases],
    tables: Sequence[ir.Value],
    table_subscripts: str,
    share: Callable[..., ir.Value],
    size: Sequence[int],
) -> ir.Value:
    """``[N, *size, C]`` in f32: for each input position the sum of ``share`` over the offsets.

    ``share`` is a function of the scalars of ``values`` (as ``pad_outputs`` leaves them) at an offset and
    of that offset's table: ``tables`` are in row-major order of offsets, ``table_subscripts`` are theirs,
    of phases ``r0``, … and of the channel ``c``. The offsets are unrolled.
    """
    rank = len(dims)
    batch, channels = shape(values[0])[0], shape(values[0])[-1]
    quotients = [dim.quotients for dim in dims]
    q, r = letters("q", rank), letters("r", rank)
    read = f"n {' '.join(q)} c"
    result = " ".join(f"{quotient} {phase}" for quotient, phase in zip(q, r, strict=True))
    offsets = list(itertools.product(*(range(dim.offsets) for dim in dims)))
    total = b.full([batch, *(n for dim in dims for n in (dim.quotients, dim.stride)), channels], 0.0, b.f32)
    for start in range(0, len(offsets), MOST_TAPS):
        chunk = offsets[start : start + MOST_TAPS]
        inputs = [b.slice(v, [0, *at, 0], [batch, *quotients, channels]) for at in chunk for v in values]
        entries = tables[start : start + MOST_TAPS]
        spec = ", ".join([read] * len(inputs) + [table_subscripts] * len(entries)) + f" -> n {result} c"
        total = b.generic(spec, [*inputs, *entries], [total], _sum_of_shares(share, len(values), len(chunk)))
    return assembled(b, total, size)


def assembled(b: LinalgBuilder, value: ir.Value, size: Sequence[int]) -> ir.Value:
    """``[N, *size, C]`` of ``value [N, quotients, phases, quotients, phases, …, C]``."""
    batch, *_, channels = shape(value)
    merged = b.merge(value, [1, *[2] * len(size), 1])
    return b.slice(merged, [0] * (len(size) + 2), [batch, *size, channels])


def by_offset(b: LinalgBuilder, table: "np.ndarray[Any, Any]") -> list[ir.Value]:
    """A table ``[*phase, *offset]`` as constants ``[*phase]``, in row-major order of offsets."""
    rank = table.ndim // 2
    flat = table.reshape(*table.shape[:rank], -1)
    return [b.dense(np.ascontiguousarray(flat[..., i])) for i in range(flat.shape[-1])]


def _sum_of_shares(share: Callable[..., ir.Value], width: int, count: int) -> Body:
    def body(*scalars: ir.Value) -> ir.Value:
        *inputs, total = scalars
        for i in range(count):
            entry = inputs[width * count + i]
            total = arith.addf(total, share(*inputs[width * i : width * (i + 1)], entry))
        return total

    return body
