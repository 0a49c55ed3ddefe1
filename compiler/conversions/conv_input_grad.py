# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.conv_input_grad``."""

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
from .subpixel import Phases, by_offset, gather, pad_outputs, phases, tap_table

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
    if groups == 1 and math.prod(window.kernel) == 1:
        y = by_matrix(b, padded, b.merge(weight, [1, 1 + len(size)]))
    else:
        offsets = Window(tuple(dim.offsets for dim in dims), unit, none, unit)
        y = convolve(b, padded, _rearranged(b, weight, dims, groups), offsets, groups)
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


def _rearranged(b: LinalgBuilder, weight: ir.Value, dims: Sequence[Phases], groups: int) -> ir.Value:
    """``weight [F, C / groups, *k]`` as ``[groups · active phases · C / groups, F / groups, *offsets]``.

    Element ``((g, r, c), f, e)`` is ``weight[g · F / groups + f, c, k(r, e)]``, or 0 without such a tap.
    """
    filters, inner, *kernel = shape(weight)
    rank, width = len(kernel), filters // groups
    table = tap_table(dims, kernel)[np.ix_(*(dim.active for dim in dims))]
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
