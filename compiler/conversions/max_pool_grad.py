# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.max_pool_grad``."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.dialects.sparsebp.window import Window
from pock.dialects.types import shape_of

from .builder import LinalgBuilder, convert_scalar
from .subpixel import gather_spec, interleave, pad_outputs, phases, tap_table


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """Each input position sums the gradients of the windows whose maximum it is (see ``subpixel``)."""
    batch, channels, *size = shape_of(op.operation.results[0].type)
    window = Window.of(op)
    dims = phases(window, size)
    grad = pad_outputs(b, b.operand(op, 0), dims)
    # Neither a tap nor the table's -1.
    argmax = pad_outputs(b, b.operand(op, 1), dims, -2)

    def add_if_maximum(value: ir.Value, at: ir.Value, tap: ir.Value, total: ir.Value) -> ir.Value:
        chosen = arith.cmpi(arith.CmpIPredicate.eq, at, tap)
        value = arith.select(chosen, convert_scalar(value, b.f32), arith.constant(b.f32, 0.0))
        return arith.addf(total, value)

    read, table, result = gather_spec(len(size))
    split = [n for dim in dims for n in (dim.quotients, dim.stride)]
    gathered = b.generic(
        f"{read}, {read}, {table} -> {result}",
        [grad, argmax, b.dense(tap_table(dims, window.kernel))],
        [b.full([batch, channels, *split], 0.0, b.f32)],
        add_if_maximum,
    )
    return interleave(b, gathered, size)
