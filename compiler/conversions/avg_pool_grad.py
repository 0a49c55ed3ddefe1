# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.avg_pool_grad``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.dialects.sparsebp.avg_pool_grad import window
from pock.dialects.types import shape_of

from .avg_pool import divisors
from .builder import LinalgBuilder, convert_scalar, shape
from .patches import letters
from .subpixel import gather, pad_outputs, phases, tap_table


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """Each input position sums the shares of the windows that it is in (see ``subpixel``)."""
    size = shape_of(op.operation.results[0].type)[2:]
    dims = phases(window(op), size)
    inside = (tap_table(dims, window(op).kernel) >= 0).astype(np.float32)
    return gather(b, [pad_outputs(b, _shares(op, b, size), dims)], dims, inside, arith.mulf, size)


def _shares(op: Any, b: LinalgBuilder, size: Sequence[int]) -> ir.Value:
    """The gradient over its window's divisor."""
    attributes = op.operation.attributes
    grad = b.operand(op, 0)
    weights = 1 / divisors(
        window(op),
        size,
        shape(grad)[2:],
        ir.BoolAttr(attributes["count_include_pad"]).value,
        ir.IntegerAttr(attributes["divisor_override"]).value,
    )
    o = " ".join(letters("o", len(size)))
    return b.generic(
        f"n c {o}, {o} -> n c {o}",
        [grad, b.dense(weights.astype(np.float32))],
        [b.like(grad, b.f32)],
        lambda g, w, _: arith.mulf(convert_scalar(g, b.f32), w),
    )
