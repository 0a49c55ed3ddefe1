# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``torch.aten.atan2``."""

from typing import Any

import numpy as np
from torch_mlir import ir
from torch_mlir.dialects import arith, math

from .builder import LinalgBuilder
from .pointwise import (
    bits,
    choose,
    compare,
    from_bits,
    integer,
    is_float,
    magnitude,
    number,
    operands,
    pointwise,
    result_type,
    sub,
)  # fmt: skip


def convert(op: Any, b: LinalgBuilder) -> ir.Value | None:
    """The angle of the point (second operand, first operand), f32; f64 is left to torch-mlir.

    IREE's expansion is NaN at the origin and knows neither the sign of zero nor infinite points.
    """
    given = operands(op, b, [0, 1])
    if given is None or not is_float(result_type(op).element_type, 32):
        return None
    return pointwise(op, b, [v for v in given if v is not None], b.f32, angle)


def angle(y: ir.Value, x: ir.Value) -> ir.Value:
    """C's ``atan2`` of two f32."""
    rise, run = magnitude(y), magnitude(x)
    steep = compare("ogt", rise, run)
    small, large = choose(steep, run, rise), choose(steep, rise, run)
    ratio = arith.divf(small, large)
    ratio = choose(compare("oeq", small, large), number(1.0, x.type), ratio)
    ratio = choose(compare("oeq", large, 0.0), number(0.0, x.type), ratio)
    value = math.atan(ratio)
    value = choose(steep, sub(number(np.pi / 2, x.type), value), value)
    word = bits(x)
    behind = arith.cmpi(arith.CmpIPredicate.slt, word, integer(0, word))
    value = choose(behind, sub(number(np.pi, x.type), value), value)
    value = _signed_like(value, y)
    return choose(compare("uno", x, y), number(float("nan"), x.type), value)


def _signed_like(value: ir.Value, sign: ir.Value) -> ir.Value:
    """A number that is not negative with the sign of another."""
    word = bits(sign)
    return from_bits(arith.ori(bits(value), arith.andi(word, integer(0x80000000, word))))
