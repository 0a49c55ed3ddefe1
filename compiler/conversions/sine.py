# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``torch.aten.sin``, ``cos`` and ``tan`` of floats.

IREE subtracts multiples of a rounded pi: its sine of 20 is 76 units in the last place off, and that of
1e10 has 21 digits.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from torch_mlir import ir
from torch_mlir.dialects import arith, math

from .builder import LinalgBuilder
from .pointwise import (
    add,
    bits,
    choose,
    compare,
    integer,
    is_float,
    magnitude,
    mul,
    number,
    operands,
    pointwise,
    polynomial,
    result_type,
    sub,
)  # fmt: skip

#: Numbers above it are reduced in integers.
_LARGE = 8192.0

#: pi/2 in parts: multiples of the first two below 2**13 are exact.
_PARTS = (1.5703125, 4.837512969970703e-04, 7.549789948768648e-08)

#: (sin(r) - r)/r**3 and cos(r), in powers of r**2, for r up to pi/4 (Cephes).
_SINE = (-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4)
_COSINE = (1.0, -0.5, 4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5)

Combine = Callable[[ir.Value, ir.Value, ir.Value], ir.Value]
"""The value of a function from the quadrant (i32), and sine and cosine of the angle in it."""


def sine(op: Any, b: LinalgBuilder) -> ir.Value | None:
    """The sine, within 2 units in the last place of f32; f64 is left to torch-mlir."""
    return _convert(op, b, _sine)


def cosine(op: Any, b: LinalgBuilder) -> ir.Value | None:
    """The cosine, as ``sine``."""
    return _convert(op, b, lambda n, s, c: _sine(arith.addi(n, integer(1, n)), s, c))


def tangent(op: Any, b: LinalgBuilder) -> ir.Value | None:
    """The tangent, within 4 units in the last place."""
    return _convert(
        op, b, lambda n, s, c: arith.divf(choose(_bit(n, 1), arith.negf(c), s), choose(_bit(n, 1), s, c))
    )


def _convert(op: Any, b: LinalgBuilder, combine: Combine) -> ir.Value | None:
    given = operands(op, b, [0])
    if given is None or not is_float(result_type(op).element_type, 32):
        return None
    return pointwise(op, b, [v for v in given if v is not None], b.f32, lambda x: _periodic(x, combine))


def _periodic(x: ir.Value, combine: Combine) -> ir.Value:
    size = magnitude(x)
    near = compare("olt", size, _LARGE)
    n, r = _reduced(choose(near, x, number(0.0, x.type)))
    far_n, far_r = _reduced_in_integers(size)
    negative = compare("olt", x, 0.0)
    far_r = choose(negative, arith.negf(far_r), far_r)
    far_n = choose(negative, arith.subi(integer(0, far_n), far_n), far_n)
    n, r = choose(near, n, far_n), choose(near, r, far_r)
    z = mul(r, r)
    sine_of_r = add(r, mul(mul(r, z), polynomial(z, _SINE)))
    value = combine(n, sine_of_r, polynomial(z, _COSINE))
    # NaN of infinities and NaN; tiny numbers keep the sign of zero.
    return choose(compare("olt", size, float("inf")), value, sub(x, x))


def _sine(n: ir.Value, sine_of_r: ir.Value, cosine_of_r: ir.Value) -> ir.Value:
    value = choose(_bit(n, 1), cosine_of_r, sine_of_r)
    return choose(_bit(n, 2), arith.negf(value), value)


def _bit(n: ir.Value, which: int) -> ir.Value:
    return arith.cmpi(arith.CmpIPredicate.ne, arith.andi(n, integer(which, n)), integer(0, n))


def _reduced(x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The nearest multiple of pi/2 and what is left, for a number that is not large."""
    n = math.roundeven(mul(x, 2 / np.pi))
    r = x
    for part in _PARTS:
        r = sub(r, mul(n, part))
    return arith.fptosi(ir.IntegerType.get_signless(32), n), r


@cache
def _two_over_pi() -> tuple[int, ...]:
    """32 zeros and then 224 bits of 2/pi behind the point, in words of 32."""
    # Machin's formula, in integers.
    scale = 1 << 320

    def arctangent_of_inverse(n: int) -> int:
        total, term, k = 0, scale // n, 1
        while term:
            total += term // k if k % 4 == 1 else -(term // k)
            term //= n * n
            k += 2
        return total

    pi = Fraction(4 * (4 * arctangent_of_inverse(5) - arctangent_of_inverse(239)), scale)
    digits = int(Fraction(2) / pi * (1 << 224))
    return tuple((digits >> (32 * (7 - i))) & 0xFFFFFFFF for i in range(8))


def _reduced_in_integers(x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """As ``_reduced``, for a finite number above ``_LARGE``.

    Payne and Hanek, "Radian reduction for trigonometric functions" (1983): of 2/pi only those 96 bits
    matter whose product with the mantissa is neither a multiple of 4 nor too small to be seen.
    """
    i64 = ir.IntegerType.get_signless(64)
    word = bits(x)
    exponent = arith.shrui(word, integer(23, word))
    # The mantissa's last bit counts 2**(exponent - 150); two bits stay in front of the point,
    # behind 32 zeros.
    offset = arith.subi(exponent, integer(120, word))
    first, shift = arith.shrui(offset, integer(5, word)), arith.andi(offset, integer(31, word))
    mantissa = arith.ori(arith.andi(word, integer(0x7FFFFF, word)), integer(0x800000, word))
    wide = arith.extui(i64, mantissa)
    table = _two_over_pi()
    words = [_chosen(first, table[i : i + 5], i64) for i in range(4)]
    up = arith.extui(i64, shift)
    thirty_two = integer(32, wide)
    parts = []
    for high, low in pairwise(words):
        both = arith.ori(arith.shli(high, thirty_two), low)
        parts.append(arith.shrui(arith.shli(both, up), thirty_two))
    products = [arith.muli(wide, part) for part in parts]
    product = arith.addi(
        arith.addi(arith.shli(products[0], thirty_two), products[1]), arith.shrui(products[2], thirty_two)
    )
    n = arith.shrui(arith.addi(product, integer(1 << 61, product)), integer(62, product))
    left = arith.subi(product, arith.shli(n, integer(62, n)))
    r = mul(arith.sitofp(x.type, left), float(np.pi / 2 * 2.0**-62))
    return arith.trunci(ir.IntegerType.get_signless(32), n), r


def _chosen(index: ir.Value, values: tuple[int, ...], type_: ir.Type) -> ir.Value:
    """The constant at a position, of those given."""
    found = arith.constant(type_, values[0])
    for i, value in enumerate(values[1:], 1):
        here = arith.cmpi(arith.CmpIPredicate.eq, index, integer(i, index))
        found = arith.select(here, arith.constant(type_, value), found)
    return found
