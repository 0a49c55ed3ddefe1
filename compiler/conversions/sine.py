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
from torch_mlir.dialects import arith

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
    operands,
    pointwise,
    polynomial,
    result_type,
    sub,
)  # fmt: skip

#: Numbers below it are in the first quadrant as they are.
_SMALL = 0.5

#: (sin(r) - r)/r**3 and cos(r), in powers of r**2, for r up to pi/4 (Cephes).
_SINE = (-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4)
_COSINE = (1.0, -0.5, 4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5)

Combine = Callable[[ir.Value, ir.Value, ir.Value], ir.Value]
"""The value of a function from the quadrant (i32), and sine and cosine of the angle in it."""


def sine(op: Any, b: LinalgBuilder) -> ir.Value | None:
    """The sine, within 3 units in the last place of f32; f64 is left to torch-mlir."""
    return _convert(op, b, _sine)


def cosine(op: Any, b: LinalgBuilder) -> ir.Value | None:
    """The cosine, as ``sine``."""
    return _convert(op, b, lambda n, s, c: _sine(arith.addi(n, integer(1, n)), s, c))


def tangent(op: Any, b: LinalgBuilder) -> ir.Value | None:
    """The tangent, within 5 units in the last place."""
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
    n, r = _reduced(size)
    negative = compare("olt", x, 0.0)
    r = choose(negative, arith.negf(r), r)
    n = choose(negative, arith.subi(integer(0, n), n), n)
    small = compare("olt", size, _SMALL)
    n, r = choose(small, integer(0, n), n), choose(small, x, r)
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


def _reduced(x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The nearest multiple of pi/2 (an i32) and what is left, for a finite number from ``_SMALL``.

    Payne and Hanek, "Radian reduction for trigonometric functions" (1983): of 2/pi only those 96 bits
    matter whose product with the mantissa is neither a multiple of 4 nor too small to be seen.
    """
    word = bits(x)
    exponent = arith.shrui(word, integer(23, word))
    # The mantissa's last bit counts 2**(exponent - 150); two bits stay in front of the point,
    # behind 32 zeros.
    offset = arith.subi(exponent, integer(120, word))
    first, up = arith.shrui(offset, integer(5, word)), arith.andi(offset, integer(31, word))
    mantissa = arith.ori(arith.andi(word, integer(0x7FFFFF, word)), integer(0x800000, word))
    table = _two_over_pi()
    words = [_chosen(first, table[i : i + 5]) for i in range(4)]
    down = arith.subi(integer(31, word), up)
    parts = [
        arith.ori(arith.shli(left, up), arith.shrui(arith.shrui(right, integer(1, word)), down))
        for left, right in pairwise(words)
    ]
    # Two words of the product: IREE has no vectors of i64 on all targets.
    middle = arith.muli(mantissa, parts[1])
    low = arith.addi(middle, _upper_word(mantissa, parts[2]))
    carry = arith.extui(word.type, arith.cmpi(arith.CmpIPredicate.ult, low, middle))
    high = arith.addi(arith.addi(arith.muli(mantissa, parts[0]), _upper_word(mantissa, parts[1])), carry)
    n = arith.shrui(arith.addi(high, integer(1 << 29, word)), integer(30, word))
    high = arith.subi(high, arith.shli(n, integer(30, word)))
    return n, mul(_as_float(high, low, x.type), float(np.pi / 2 * 2.0**-62))


def _upper_word(a: ir.Value, b: ir.Value) -> ir.Value:
    """The upper half of the product of two unsigned i32 (Warren, "Hacker's Delight", 8-2)."""
    sixteen, mask = integer(16, a), integer(0xFFFF, a)
    a_low, a_high = arith.andi(a, mask), arith.shrui(a, sixteen)
    b_low, b_high = arith.andi(b, mask), arith.shrui(b, sixteen)
    middle = arith.addi(arith.muli(a_high, b_low), arith.shrui(arith.muli(a_low, b_low), sixteen))
    other = arith.addi(arith.muli(a_low, b_high), arith.andi(middle, mask))
    carried = arith.addi(arith.shrui(middle, sixteen), arith.shrui(other, sixteen))
    return arith.addi(arith.muli(a_high, b_high), carried)


def _as_float(high: ir.Value, low: ir.Value, type_: ir.Type) -> ir.Value:
    """The signed integer of two words, below 2**61 in magnitude, as a float, within a unit in the last place.

    The last byte of ``low`` is dropped.
    """
    zero = integer(0, high)
    negative = arith.cmpi(arith.CmpIPredicate.slt, high, zero)
    borrow = arith.extui(high.type, arith.cmpi(arith.CmpIPredicate.ne, low, zero))
    high = choose(negative, arith.subi(arith.subi(zero, high), borrow), high)
    low = choose(negative, arith.subi(zero, low), low)
    # Of 22 bits, so exact, and of 31.
    top = arith.shrui(high, integer(7, high))
    rest = arith.ori(
        arith.shli(arith.andi(high, integer(127, high)), integer(24, high)),
        arith.shrui(low, integer(8, low)),
    )
    value = add(mul(arith.sitofp(type_, top), 2.0**39), mul(arith.sitofp(type_, rest), 2.0**8))
    return choose(negative, arith.negf(value), value)


def _chosen(index: ir.Value, values: tuple[int, ...]) -> ir.Value:
    """The constant at a position, of those given."""
    found = integer(values[0], index)
    for i, value in enumerate(values[1:], 1):
        here = arith.cmpi(arith.CmpIPredicate.eq, index, integer(i, index))
        found = choose(here, integer(value, index), found)
    return found
