# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.max_pool``."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.dialects.sparsebp.window import Window
from pock.dialects.types import shape_of

from .builder import LinalgBuilder, element
from .patches import fit, letters, taps


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """A maximum over the taps of the padded input; NaN wins, as in PyTorch."""
    window, out = Window.of(op), shape_of(op.operation.results[0].type)
    x = fit(b, b.operand(op, 0), window, out[2:], float("-inf"))
    init = b.full(out, float("-inf"), element(x))
    taps_only = b.empty(window.kernel, element(x))
    return b.generic(pooling(window), [x, taps_only], [init], lambda v, _, top: arith.maximumf(v, top))


def pooling(window: Window) -> str:
    """Subscripts of the input, of the taps and of the result of pooling."""
    o, k = letters("o", len(window.kernel)), letters("k", len(window.kernel))
    return f"n c {taps(window)}, {' '.join(k)} -> n c {' '.join(o)}"
