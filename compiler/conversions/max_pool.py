# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.max_pool``."""

from functools import reduce
from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.dialects.sparsebp.window import Window

from .builder import LinalgBuilder, element, shape
from .layout import in_layout, over_space, spatial_size
from .max_pool_argmax import maxima_and_taps
from .patches import MOST_TAPS, fit, unpadded, view_subscripts, views


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """The maximum of what the taps read of the padded input; NaN wins, as in PyTorch.

    Where the positions of the maxima are wanted too, they are found in the same loop.
    """
    if _has_argmax(op):
        return in_layout(op, maxima_and_taps(op, b)[0], b)
    window, out = Window.of(op), spatial_size(op)
    x = fit(b, over_space(op, 0, b), window, out, float("-inf"))
    taps, (read, at) = views(b, x, unpadded(window), out), view_subscripts(window)
    top = b.full([shape(x)[0], *out, shape(x)[-1]], float("-inf"), element(x))
    for start in range(0, len(taps), MOST_TAPS):
        chunk = taps[start : start + MOST_TAPS]
        spec = ", ".join([f"n {read} c"] * len(chunk)) + f" -> n {at} c"
        top = b.generic(spec, chunk, [top], lambda *values: reduce(arith.maximumf, reversed(values)))
    return in_layout(op, top, b)


def _has_argmax(op: Any) -> bool:
    """Whether a ``max_pool_argmax`` looks at the same windows of the same input."""
    operation = op.operation
    users = (use.owner.operation for use in operation.operands[0].uses)
    return any(user.name == "sparsebp.max_pool_argmax" and Window.of(user) == Window.of(op) for user in users)
