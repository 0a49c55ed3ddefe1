# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.avg_pool_grad``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.dialects.sparsebp.avg_pool_grad import window

from .avg_pool import divisors
from .builder import LinalgBuilder, convert_scalar, shape
from .layout import in_layout, over_space, spatial_size
from .patches import letters
from .subpixel import by_offset, gather, pad_outputs, phases, tap_table


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """Each input position sums the shares of the windows that it is in (see ``subpixel``)."""
    size = spatial_size(op)
    dims = phases(window(op), size)
    inside = by_offset(b, (tap_table(dims, window(op).kernel) >= 0).astype(np.float32))
    shares, at = pad_outputs(b, _shares(op, b, size), dims), " ".join(letters("r", len(dims)))
    return in_layout(op, gather(b, [shares], dims, inside, at, arith.mulf, size), b)


def _shares(op: Any, b: LinalgBuilder, size: Sequence[int]) -> ir.Value:
    """The gradient over its window's divisor."""
    attributes = op.operation.attributes
    grad = over_space(op, 0, b)
    weights = 1 / divisors(
        window(op),
        size,
        shape(grad)[1:-1],
        ir.BoolAttr(attributes["count_include_pad"]).value,
        ir.IntegerAttr(attributes["divisor_override"]).value,
    )
    o = " ".join(letters("o", len(size)))
    return b.generic(
        f"n {o} c, {o} -> n {o} c",
        [grad, b.dense(weights.astype(np.float32))],
        [b.like(grad, b.f32)],
        lambda g, w, _: arith.mulf(convert_scalar(g, b.f32), w),
    )
