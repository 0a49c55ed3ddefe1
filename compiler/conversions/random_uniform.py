# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.random_uniform``: the high 24 bits of random words as multiples of 2⁻²⁴."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import arith

from .builder import LinalgBuilder
from .philox import draw, word


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """Exact: 24 bits are what the significand of an f32 holds."""

    def unit(random: ir.Value) -> ir.Value:
        high = arith.shrui(random, word(b, 8))
        # Below 2²⁴ the sign does not matter, and every target has the signed conversion.
        return arith.mulf(arith.sitofp(b.f32, high), arith.constant(b.f32, 2.0**-24))

    return draw(op, b, b.f32, unit)
