# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``torch.aten.pow`` and ``torch.aten.exp2`` of floats.

IREE expands powers to exp(y log x), which is NaN for every negative x, garbage where x is a negative
constant, and 30 units in the last place off for large results.
"""

from typing import Any

import numpy as np
from torch_mlir import ir
from torch_mlir.dialects import arith, math

from .builder import LinalgBuilder
from .pointwise import (
    Operand,
    add,
    bits,
    choose,
    compare,
    from_bits,
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

#: 2/(k ln 2) for k = 3, 5, ...: the series of log2((1 + s)/(1 - s)) behind its first term.
_LOG2_SERIES = [2 / (k * np.log(2)) for k in (3, 5, 7, 9, 11)]

#: ln(2)**k / k!: the series of 2**r behind its first term.
_EXP2_SERIES = [0.6931471805599453, 0.2402265069591007, 0.05550410866482158, 0.009618129107628477,
                0.0013333558146428443, 0.00015403530393381608, 1.5252733804059841e-05]  # fmt: skip

#: The mantissa of an f32 less its last 12 bits: products of two such numbers are exact.
_COARSE = 0xFFFFF000

#: Exponents beyond it overflow, or underflow.
_LARGEST = 252.0


def convert(op: Any, b: LinalgBuilder) -> ir.Value | None:
    """A power as C has it, within 2 units in the last place of f32; powers in f64 are left to torch-mlir."""
    name = op.operation.name
    both: list[Operand] | None = (
        operands(op, b, [0, 1]) if name != "torch.aten.exp2" else [2.0, b.operand(op, 0)]
    )
    element = result_type(op).element_type
    if both is None:
        return None
    base, exponent = both
    assert base is not None and exponent is not None
    if isinstance(element, ir.IntegerType):
        return pointwise(op, b, [base, exponent], element, _integer_power)
    if not is_float(element, 32):
        return None
    if not isinstance(exponent, ir.Value):
        # What PyTorch computes otherwise: these round differently, and a root of minus infinity is NaN.
        simple = _SIMPLE.get(exponent)
        if simple is not None:
            return pointwise(op, b, [base], b.f32, simple)
        # PyTorch's has the precision of f64.
        exact, exponent = exponent, float(np.float32(exponent))
        return pointwise(op, b, [base, exponent], b.f32, lambda x, y: power(x, y, exact))
    return pointwise(op, b, [base, exponent], b.f32, power)


def _inverse(x: ir.Value) -> ir.Value:
    return arith.divf(number(1.0, x.type), x)


_SIMPLE = {
    0.0: lambda x: number(1.0, x.type),
    1.0: lambda x: x,
    2.0: lambda x: mul(x, x),
    3.0: lambda x: mul(mul(x, x), x),
    0.5: lambda x: math.sqrt(x),
    -0.5: lambda x: _inverse(math.sqrt(x)),
    -1.0: _inverse,
    -2.0: lambda x: _inverse(mul(x, x)),
}


def power(x: ir.Value, y: ir.Value, exact: float | None = None) -> ir.Value:
    """``x`` to the power of ``y``, f32, with the special values of C's ``pow``.

    ``exact`` is ``y`` before it was rounded, if that is known.
    """
    size = magnitude(x)
    infinite = choose(compare("oeq", size, 0.0), number(float("-inf"), x.type), size)
    at_an_end = arith.ori(_is_end(size), compare("oeq", magnitude(y), float("inf")))
    log, rest = _log2(size)
    lost = 0.0 if exact is None or np.isinf(exact) else exact - float(np.float32(exact))
    high, low = _product(y, lost, log, rest)
    # The logarithm of 0 or infinity, or an infinite exponent: only signs matter.
    sign = choose(_is_end(size), infinite, log)
    high = choose(at_an_end, mul(y, sign), high)
    low = choose(at_an_end, number(0.0, x.type), low)
    odd = _is_odd(y) if exact is None else arith.constant(ir.IntegerType.get_signless(1), exact % 2 == 1)
    result = _negated(_exp2(high, low), arith.andi(odd, _is_negative(x)))
    undefined = arith.andi(
        arith.andi(compare("olt", x, 0.0), compare("one", size, float("inf"))), compare("une", y, _floor(y))
    )
    unknown = compare("uno", x, y)
    result = choose(arith.ori(undefined, unknown), number(float("nan"), x.type), result)
    one = arith.ori(compare("oeq", x, 1.0), compare("oeq", y, 0.0))
    # (-1) to an infinite power.
    one = arith.ori(
        one,
        arith.andi(compare("oeq", size, 1.0), compare("oeq", magnitude(y), float("inf"))),
    )
    return choose(one, number(1.0, x.type), result)


def _integer_power(x: ir.Value, y: ir.Value) -> ir.Value:
    """By squaring, with the bits that fit; the rounded inverse where ``y`` is negative, as in PyTorch."""
    zero, one = integer(0, x), integer(1, x)
    result, square = one, x
    for i in range(x.type.width - 1):
        bit = arith.andi(arith.shrui(y, integer(i, y)), one)
        used = arith.cmpi(arith.CmpIPredicate.ne, bit, zero)
        result = arith.select(used, arith.muli(result, square), result)
        square = arith.muli(square, square)
    odd = arith.cmpi(arith.CmpIPredicate.ne, arith.andi(y, one), zero)
    minus = integer(-1 % (1 << x.type.width), x)
    inverse = arith.select(arith.cmpi(arith.CmpIPredicate.eq, x, one), one, zero)
    turned = arith.select(odd, minus, one)
    inverse = arith.select(arith.cmpi(arith.CmpIPredicate.eq, x, minus), turned, inverse)
    negative = arith.cmpi(arith.CmpIPredicate.slt, y, zero)
    return arith.select(negative, inverse, result)


def _is_end(size: ir.Value) -> ir.Value:
    return arith.ori(compare("oeq", size, 0.0), compare("oeq", size, float("inf")))


def _floor(y: ir.Value) -> ir.Value:
    return math.floor(y)


def _is_odd(y: ir.Value) -> ir.Value:
    half = mul(y, 0.5)
    return arith.andi(compare("oeq", y, _floor(y)), compare("one", half, _floor(half)))


def _is_negative(x: ir.Value) -> ir.Value:
    """Whether the sign is minus, that of zero too."""
    word = bits(x)
    return arith.cmpi(arith.CmpIPredicate.slt, word, integer(0, word))


def _negated(value: ir.Value, condition: ir.Value) -> ir.Value:
    """``value``, with the other sign where the condition holds."""
    return choose(condition, arith.negf(value), value)


def _coarse(x: ir.Value) -> ir.Value:
    word = bits(x)
    return from_bits(arith.andi(word, integer(_COARSE, word)))


def _split(value: float) -> tuple[float, float]:
    """A constant as a coarse f32 and what is left of it."""
    high = (np.float32(value).view(np.uint32) & np.uint32(_COARSE)).view(np.float32)
    return float(high), value - float(high)


def _log2(x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The logarithm of a positive finite number as a coarse number and a rest.

    x = 2**e m with m around 1; log2 m is a series in s = (m - 1)/(m + 1), whose first two terms are
    computed in two numbers each.
    """
    small = compare("olt", x, float(np.finfo(np.float32).tiny))
    word = bits(choose(small, mul(x, 2.0**24), x))
    # The bits of sqrt(1/2): m is between it and its double.
    pivot = integer(0x3F3504F3, word)
    exponent = arith.shrsi(arith.subi(word, pivot), integer(23, word))
    m = from_bits(arith.subi(word, arith.shli(exponent, integer(23, word))))
    e = arith.sitofp(x.type, exponent)
    e = choose(small, sub(e, 24.0), e)

    f = sub(m, 1.0)
    d = add(f, 2.0)
    s = arith.divf(f, d)
    s_high, d_high = _coarse(s), _coarse(d)
    d_low = sub(f, sub(d_high, 2.0))
    left = sub(sub(f, mul(s_high, d_high)), mul(s_high, d_low))
    s_low = arith.divf(left, d)

    z = mul(s, s)
    first, first_rest = _split(2 / np.log(2))
    # s (first + z (third + ...)): the bracket's second term is a hundredth of the first.
    tail = mul(mul(s, z), polynomial(z, [float(c) for c in _LOG2_SERIES]))
    high = mul(s_high, first)
    low = add(add(mul(s, first_rest), mul(s_low, first)), tail)

    total = add(e, high)
    lost = add(sub(high, sub(total, e)), low)
    log = _coarse(add(total, lost))
    return log, add(sub(total, log), lost)


def _product(y: ir.Value, lost: float, log: ir.Value, rest: ir.Value) -> tuple[ir.Value, ir.Value]:
    """``(y + lost) (log + rest)`` in two numbers; ``log`` is coarse."""
    coarse = _coarse(y)
    high = mul(coarse, log)
    low = add(mul(add(sub(y, coarse), lost), log), mul(y, rest))
    return high, choose(compare("olt", magnitude(high), 2 * _LARGEST), low, number(0.0, y.type))


def _exp2(high: ir.Value, low: ir.Value) -> ir.Value:
    """2 to the power of ``high + low``."""
    top, bottom = number(_LARGEST, high.type), number(-_LARGEST, high.type)
    high = choose(compare("ogt", high, _LARGEST), top, high)
    high = choose(compare("olt", high, -_LARGEST), bottom, high)
    whole = math.roundeven(add(high, low))
    whole = choose(compare("uno", whole, whole), number(0.0, high.type), whole)
    r = add(sub(high, whole), low)
    value = add(mul(r, polynomial(r, _EXP2_SERIES)), 1.0)
    n = arith.fptosi(ir.IntegerType.get_signless(32), whole)
    half = arith.shrsi(n, integer(1, n))
    return mul(mul(value, _two_to(half)), _two_to(arith.subi(n, half)))


def _two_to(n: ir.Value) -> ir.Value:
    """2 to the power of an i32 from -126 to 127."""
    return from_bits(arith.shli(arith.addi(n, integer(127, n)), integer(23, n)))
