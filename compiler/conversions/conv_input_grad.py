# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.conv_input_grad``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch_mlir import ir
from torch_mlir.dialects import arith, tensor

from pock.dialects.sparsebp.window import Window
from pock.dialects.types import shape_of

from .builder import (
    LinalgBuilder,
    at_least_zero,
    element,
    index,
    is_negative,
    loop_index,
    shape,
    to_index,
)
from .convolve import convolve
from .patches import letters
from .subpixel import Phases, pad_outputs, phases, tap_table

Table = np.ndarray[tuple[int, ...], np.dtype[np.int32]]


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """A convolution of stride 1 of the output gradient with the rearranged filter (see ``subpixel``)."""
    _, _, *size = shape_of(op.operation.results[0].type)
    grad, weight = b.operand(op, 0), b.operand(op, 1)
    window = Window.of(op, shape(weight)[2:])
    groups = ir.IntegerAttr(op.operation.attributes["groups"]).value
    dims = phases(window, size)
    unit, none = (1,) * len(size), (0,) * len(size)
    offsets = Window(tuple(dim.offsets for dim in dims), unit, none, unit)
    y = convolve(b, pad_outputs(b, grad, dims), _rearranged(b, weight, dims, groups), offsets, groups)
    return y if window.stride == unit else _interleaved(b, y, dims, size)


def _rearranged(b: LinalgBuilder, weight: ir.Value, dims: Sequence[Phases], groups: int) -> ir.Value:
    """``weight [F, C / groups, *k]`` as ``[C · active phases, F / groups, *offsets]``.

    Element ``((g, c, r), f, e)`` is ``weight[g · F / groups + f, c, k(r, e)]``, or 0 without such a tap.
    """
    filters, inner, *kernel = shape(weight)
    rank, width = len(kernel), filters // groups
    table = tap_table(dims, kernel)[np.ix_(*(dim.active for dim in dims))]
    flat = b.merge(weight, [1, 1, rank])
    zero = b.scalar(0.0, element(weight))

    def gather(tap: ir.Value, _: ir.Value) -> ir.Value:
        row = arith.addi(arith.muli(loop_index(0), index(width)), loop_index(2 + rank))
        value = tensor.extract(flat, [row, loop_index(1), to_index(at_least_zero(tap))])
        return arith.select(is_negative(tap), zero, value)

    r, e = letters("r", rank), letters("e", rank)
    out = [groups, inner, *table.shape[:rank], width, *table.shape[rank:]]
    spec = f"{' '.join(r + e)} -> g c {' '.join(r)} f {' '.join(e)}"
    gathered = b.generic(spec, [b.dense(table)], [b.empty(out, element(weight))], gather)
    return b.merge(gathered, [2 + rank, 1] + [1] * rank)


def _interleaved(b: LinalgBuilder, y: ir.Value, dims: Sequence[Phases], size: Sequence[int]) -> ir.Value:
    """``[N, C · active phases, *quotients]`` as ``[N, C, *size]``, zero where no phase is active.

    As a gather, because iree-compile folds a transposition into the product in front of it, which then
    takes many times as long.
    """
    batch, channels, *quotients = shape(y)
    counts = [len(dim.active) for dim in dims]
    count, rank = int(np.prod(counts)), len(size)
    split = b.reshape(y, [[batch], [channels // count, count], *([q] for q in quotients)])
    zero = b.scalar(0.0, element(y))
    tables = [_positions(n, dim) for n, dim in zip(size, dims, strict=True)]

    def gather(*tables: ir.Value) -> ir.Value:
        phases, quotients = tables[:rank], tables[rank:-1]
        slot, outside = arith.constant(b.i32, 0), arith.constant(b.i1, 0)
        for phase, n in zip(phases, counts, strict=True):
            slot = arith.addi(arith.muli(slot, arith.constant(b.i32, n)), at_least_zero(phase))
            outside = arith.ori(outside, is_negative(phase))
        at = [loop_index(0), loop_index(1), to_index(slot), *map(to_index, quotients)]
        return arith.select(outside, zero, tensor.extract(split, at))

    o = letters("o", rank)
    inputs = [b.dense(phase) for phase, _ in tables] + [b.dense(quotient) for _, quotient in tables]
    init = b.empty([batch, channels // count, *size], element(y))
    return b.generic(f"{', '.join(o + o)} -> n c {' '.join(o)}", inputs, [init], gather)


def _positions(size: int, dim: Phases) -> tuple[Table, Table]:
    """For each position the slot of its phase among the active ones, or -1, and its quotient."""
    slots = np.full(dim.stride, -1, np.int32)
    slots[list(dim.active)] = np.arange(len(dim.active))
    positions = np.arange(size, dtype=np.int32)
    return slots[positions % dim.stride], positions // dim.stride
