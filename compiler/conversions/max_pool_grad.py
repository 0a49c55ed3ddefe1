# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.max_pool_grad``."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.dialects.sparsebp.window import Window

from .builder import LinalgBuilder, convert_scalar
from .layout import in_layout, over_space, spatial_size
from .patches import letters
from .subpixel import by_offset, gather, pad_outputs, phases, tap_table


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """Each input position sums the gradients of the windows whose maximum it is (see ``subpixel``)."""
    size = spatial_size(op)
    window = Window.of(op)
    dims = phases(window, size)
    grad = pad_outputs(b, over_space(op, 0, b), dims)
    # Neither a tap nor the table's -1.
    argmax = pad_outputs(b, over_space(op, 1, b), dims, -2)

    def if_maximum(value: ir.Value, at: ir.Value, tap: ir.Value) -> ir.Value:
        chosen = arith.cmpi(arith.CmpIPredicate.eq, at, tap)
        return arith.select(chosen, convert_scalar(value, b.f32), arith.constant(b.f32, 0.0))

    taps, at = by_offset(b, tap_table(dims, window.kernel)), " ".join(letters("r", len(dims)))
    return in_layout(op, gather(b, [grad, argmax], dims, taps, at, if_maximum, size), b)
