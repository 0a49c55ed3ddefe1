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

from .builder import LinalgBuilder, element, index, loop_index, shape
from .convolve import convolve, letters
from .subpixel import Phases, interleave, pad_outputs, phases, tap_table


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """A convolution of stride 1 of the output gradient with the rearranged filter (see ``subpixel``)."""
    _, _, *size = shape_of(op.operation.results[0].type)
    grad, weight = b.operand(op, 0), b.operand(op, 1)
    window = Window.of(op, shape(weight)[2:])
    groups = ir.IntegerAttr(op.operation.attributes["groups"]).value
    dims = phases(window, size)
    filter_ = rearranged(b, weight, dims, groups)
    rank = len(size)
    y = convolve(b, pad_outputs(b, grad, dims), filter_, [1] * rank, [1] * rank, groups)
    if all(s == 1 for s in window.stride):
        return y
    batch, channels, *quotients = shape(y)
    split = b.reshape(
        y, [[batch], [channels // int(np.prod(window.stride)), *window.stride], *([q] for q in quotients)]
    )
    order = [0, 1]
    for i in range(rank):
        order += [2 + rank + i, 2 + i]
    return interleave(b, b.transpose(split, order), size)


def rearranged(b: LinalgBuilder, weight: ir.Value, dims: Sequence[Phases], groups: int) -> ir.Value:
    """``weight [F, C/groups, *k]`` as ``[C · phases, F / groups, *offsets]``.

    Element ``((g, c, r), f, e)`` is ``weight[g · F/groups + f, c, k(r, e)]``, or 0 where there is no tap.
    """
    filters, inner, *kernel = shape(weight)
    rank, width = len(kernel), filters // groups
    table = tap_table(dims, kernel)
    flat = b.merge(weight, [1, 1, rank])
    zero = b.scalar(0.0, element(weight))
    r, e = letters("r", rank), letters("e", rank)

    def gather(tap: ir.Value, _: ir.Value) -> ir.Value:
        group, channel = loop_index(0), loop_index(1)
        row = arith.addi(arith.muli(group, index(width)), loop_index(2 + rank))
        position = arith.index_cast(ir.IndexType.get(), arith.maxsi(tap, arith.constant(b.i32, 0)))
        value = tensor.extract(flat, [row, channel, position])
        return arith.select(arith.cmpi(arith.CmpIPredicate.sge, tap, arith.constant(b.i32, 0)), value, zero)

    out = [groups, inner, *(table.shape[:rank]), width, *(table.shape[rank:])]
    spec = f"{' '.join(r + e)} -> g c {' '.join(r)} f {' '.join(e)}"
    gathered = b.generic(spec, [b.dense(table)], [b.empty(out, element(weight))], gather)
    return b.merge(gathered, [2 + rank, 1] + [1] * rank)
