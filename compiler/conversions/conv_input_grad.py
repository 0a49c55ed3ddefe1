# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.conv_input_grad``."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch_mlir import ir
from torch_mlir.dialects import arith, tensor

from pock.dialects.sparsebp.window import Window

from .builder import (
    LinalgBuilder,
    at_least_zero,
    convert_scalar,
    element,
    index,
    is_negative,
    loop_index,
    shape,
    to_index,
)
from .convolve import convolve
from .layout import in_layout, over_space, spatial_size
from .patches import letters
from .products import by_matrix
from .subpixel import Phases, assembled, by_offset, gather, pad_outputs, phases, tap_table
from .winograd import is_faster, winograd_convolve

Table = np.ndarray[tuple[int, ...], np.dtype[np.int32]]


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """A convolution of stride 1 of the output gradient with the rearranged filter (see ``subpixel``)."""
    size = spatial_size(op)
    grad, weight = over_space(op, 0, b), b.operand(op, 1)
    window = Window.of(op, shape(weight)[2:])
    groups = ir.IntegerAttr(op.operation.attributes["groups"]).value
    dims = phases(window, size)
    padded, unit, none = pad_outputs(b, grad, dims), (1,) * len(size), (0,) * len(size)
    if window.stride != unit and shape(weight)[:2] == [groups, 1] and groups > 1:
        at = f"{' '.join(letters('r', len(size)))} c"
        tables = _tap_weights(b, weight, dims)
        return in_layout(op, gather(b, [padded], dims, tables, at, _product(b), size), b)
    offsets = Window(tuple(dim.offsets for dim in dims), unit, none, unit)
    if window.stride == window.dilation == unit and is_faster(b, padded, weight, offsets, groups, size):
        return in_layout(op, winograd_convolve(b, padded, weight, offsets, size, backward=True), b)
    if groups == 1 and math.prod(window.kernel) == 1:
        y = by_matrix(b, padded, b.merge(weight, [1, 1 + len(size)]))
    elif groups == 1 and window.stride != unit and (runs := _runs(dims)) is not None:
        return in_layout(op, _phase_by_phase(b, padded, weight, dims, runs, size), b)
    else:
        table = tap_table(dims, window.kernel)[np.ix_(*(dim.active for dim in dims))]
        y = convolve(b, padded, _rearranged(b, weight, table, groups), offsets, groups)
    if window.stride != unit:
        y = _interleaved(b, y, dims, size, groups)
    return in_layout(op, y, b)


def _product(b: LinalgBuilder) -> Callable[..., ir.Value]:
    return lambda x, y: arith.mulf(convert_scalar(x, b.f32), convert_scalar(y, b.f32))


def _tap_weights(b: LinalgBuilder, weight: ir.Value, dims: Sequence[Phases]) -> list[ir.Value]:
    """``[*phase, C]`` for each offset in row-major order: depthwise weights ``[C, 1, *k]``, or 0."""
    channels, _, *kernel = shape(weight)
    rank = len(kernel)
    flat, zero = b.merge(weight, [1, 1 + rank]), b.scalar(0.0, element(weight))

    def read(tap: ir.Value, _: ir.Value) -> ir.Value:
        value = tensor.extract(flat, [loop_index(rank), to_index(at_least_zero(tap))])
        return arith.select(is_negative(tap), zero, value)

    r = " ".join(letters("r", rank))
    sizes = [*(dim.stride for dim in dims), channels]
    tables = by_offset(b, tap_table(dims, kernel))
    # Not to be read tap by tap at each position.
    return [
        b.barrier(b.generic(f"{r} -> {r} c", [t], [b.empty(sizes, element(weight))], read)) for t in tables
    ]


def _runs(dims: Sequence[Phases]) -> list[list[range]] | None:
    """For each dimension and phase the offsets that have taps.

    None if a phase has none or some that are not adjacent, and if all have as many, so that no zeros stand
    beside them.
    """
    runs = []
    for dim in dims:
        offsets = [[offset for offset, tap in enumerate(taps) if tap >= 0] for taps in dim.taps]
        if any(not at or at[-1] - at[0] >= len(at) for at in offsets):
            return None
        runs.append([range(at[0], at[-1] + 1) for at in offsets])
    return runs if len({len(run) for each in runs for run in each}) > 1 else None


def _phase_by_phase(
    b: LinalgBuilder,
    padded: ir.Value,
    weight: ir.Value,
    dims: Sequence[Phases],
    runs: Sequence[Sequence[range]],
    size: Sequence[int],
) -> ir.Value:
    """``[N, *size, C]``, each phase a convolution with its own taps, at the offsets in ``runs``.

    One convolution for all would multiply by zeros where a phase has no tap: with 3 x 3 taps and stride 2 by
    16 for 9.
    """
    (batch, *_, filters), channels, rank = shape(padded), shape(weight)[1], len(dims)
    unit, none = (1,) * rank, (0,) * rank
    quotients, table = [dim.quotients for dim in dims], tap_table(dims, shape(weight)[2:])
    parts = []
    for phase in itertools.product(*(range(dim.stride) for dim in dims)):
        offsets = [each[r] for each, r in zip(runs, phase, strict=True)]
        kernel = tuple(map(len, offsets))
        read = [q + n - 1 for q, n in zip(quotients, kernel, strict=True)]
        x = b.slice(padded, [0, *(run.start for run in offsets), 0], [batch, *read, filters])
        taps = _rearranged(b, weight, table[np.ix_(*([r] for r in phase), *offsets)], groups=1)
        parts.append(convolve(b, x, taps, Window(kernel, unit, none, unit), groups=1))

    def pick(*scalars: ir.Value) -> ir.Value:
        slot = index(0)
        for i, dim in enumerate(dims):
            slot = arith.addi(arith.muli(slot, index(dim.stride)), loop_index(2 * i + 2))
        picked, *others = scalars[:-1]
        for i, other in enumerate(others, 1):
            is_it = arith.cmpi(arith.CmpIPredicate.eq, slot, index(i))
            picked = arith.select(is_it, other, picked)
        return picked

    q, r = letters("q", rank), letters("r", rank)
    read_at = f"n {' '.join(q)} c"
    at = f"n {' '.join(f'{i} {j}' for i, j in zip(q, r, strict=True))} c"
    init = b.empty([batch, *(n for dim in dims for n in (dim.quotients, dim.stride)), channels], b.f32)
    return assembled(b, b.generic(f"{', '.join([read_at] * len(parts))} -> {at}", parts, [init], pick), size)


def _rearranged(b: LinalgBuilder, weight: ir.Value, table: Table, groups: int) -> ir.Value:
    """``weight [F, C / groups, *k]`` as ``[groups · phases · C / groups, F / groups, *offsets]``.

    Element ``((g, r, c), f, e)`` is ``weight[g · F / groups + f, c]`` at the tap ``table[r, e]``, or 0 where
    that is -1.
    """
    filters, inner, *kernel = shape(weight)
    rank, width = len(kernel), filters // groups
    flat = b.merge(weight, [1, 1, rank])
    zero = b.scalar(0.0, element(weight))

    def read(tap: ir.Value, _: ir.Value) -> ir.Value:
        row = arith.addi(arith.muli(loop_index(0), index(width)), loop_index(2 + rank))
        value = tensor.extract(flat, [row, loop_index(1 + rank), to_index(at_least_zero(tap))])
        return arith.select(is_negative(tap), zero, value)

    r, e = letters("r", rank), letters("e", rank)
    out = [groups, *table.shape[:rank], inner, width, *table.shape[rank:]]
    spec = f"{' '.join(r + e)} -> g {' '.join(r)} c f {' '.join(e)}"
    gathered = b.generic(spec, [b.dense(table)], [b.empty(out, element(weight))], read)
    return b.merge(gathered, [2 + rank, 1] + [1] * rank)


def _interleaved(
    b: LinalgBuilder, y: ir.Value, dims: Sequence[Phases], size: Sequence[int], groups: int
) -> ir.Value:
    """``[N, *quotients, groups · active phases · C / groups]`` as ``[N, *size, C]``.

    Zero where no phase is active. As a gather, because iree-compile folds a transposition into the product
    in front of it, which then takes many times as long.
    """
    batch, *quotients, channels = shape(y)
    counts = [len(dim.active) for dim in dims]
    count, rank = int(np.prod(counts)), len(size)
    inner = channels // count // groups
    split = b.reshape(y, [[batch], *([q] for q in quotients), [groups, count, inner]])
    if groups == 1:
        split = b.merge(split, [1] * (1 + rank) + [2, 1])
    zero = b.scalar(0.0, element(y))
    tables = [_positions(n, dim) for n, dim in zip(size, dims, strict=True)]

    def read(*tables: ir.Value) -> ir.Value:
        phases, quotients = tables[:rank], tables[rank:-1]
        slot, outside = arith.constant(b.i32, 0), arith.constant(b.i1, 0)
        for phase, n in zip(phases, counts, strict=True):
            slot = arith.addi(arith.muli(slot, arith.constant(b.i32, n)), at_least_zero(phase))
            outside = arith.ori(outside, is_negative(phase))
        group = [loop_index(1 + rank)] if groups > 1 else []
        channel = loop_index(1 + rank + len(group))
        at = [loop_index(0), *map(to_index, quotients), *group, to_index(slot), channel]
        return arith.select(outside, zero, tensor.extract(split, at))

    o, c = letters("o", rank), "g c" if groups > 1 else "c"
    inputs = [b.dense(phase) for phase, _ in tables] + [b.dense(quotient) for _, quotient in tables]
    sizes = [batch, *size, groups, inner] if groups > 1 else [batch, *size, inner]
    spec = f"{', '.join(o + o)} -> n {' '.join(o)} {c}"
    gathered = b.generic(spec, inputs, [b.empty(sizes, element(y))], read)
    return b.merge(gathered, [1] * (1 + rank) + [2]) if groups > 1 else gathered


def _positions(size: int, dim: Phases) -> tuple[Table, Table]:
    """For each position the slot of its phase among the active ones, or -1, and its quotient."""
    slots = np.full(dim.stride, -1, np.int32)
    slots[list(dim.active)] = np.arange(len(dim.active))
    positions = np.arange(size, dtype=np.int32)
    return slots[positions % dim.stride], positions // dim.stride
