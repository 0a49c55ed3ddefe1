# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Philox4x32-10: what the conversions of random operations share.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
"""

import math
from collections.abc import Callable
from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.dialects.types import shape_of

from .builder import LinalgBuilder, loop_index

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def draw(op: Any, b: LinalgBuilder, element: ir.Type, of_word: Callable[[ir.Value], ir.Value]) -> ir.Value:
    """``of_word`` of a random i32 for each element of the result of ``op``, a tensor of ``element``.

    ``op`` has the operands ``seed`` and ``step`` and the attribute ``stream``. Words are made in blocks
    of four and cut to the result's shape.
    """
    result = list(shape_of(op.operation.results[0].type))
    count = math.prod(result)
    stream = ir.IntegerAttr(op.operation.attributes["stream"]).value

    def lane(seed: ir.Value, step: ir.Value, _: ir.Value) -> ir.Value:
        counter = [arith.index_cast(b.i32, loop_index(0)), word(b, stream), *halves(b, step)]
        return of_word(select_lane(b, philox(b, counter, halves(b, seed)), loop_index(1)))

    blocks = [-(-count // 4), 4]
    drawn = b.generic(", -> d0 d1", [b.operand(op, 0), b.operand(op, 1)], [b.empty(blocks, element)], lane)
    return b.unflatten(b.slice(b.merge(drawn, [2]), [0], [count]), result)


def word(b: LinalgBuilder, value: int) -> ir.Value:
    """The low 32 bits of ``value`` as a constant."""
    value %= 2**32
    return arith.constant(b.i32, value - 2**32 if value >= 2**31 else value)


def halves(b: LinalgBuilder, value: ir.Value) -> list[ir.Value]:
    """The low and the high word of an i64."""
    high = arith.shrui(value, arith.constant(value.type, 32))
    return [arith.trunci(b.i32, value), arith.trunci(b.i32, high)]


def multiply(value: ir.Value, factor: int) -> ir.Value:
    """The i64 product of an i32 with an unsigned ``factor`` below 2³².

    ``arith.mului_extended`` gives it without i64, but has no lowering for vectors of two dimensions, which
    IREE makes of it in a dispatch with consumers.
    """
    i64 = ir.IntegerType.get_signless(64)
    return arith.muli(arith.extui(i64, value), arith.constant(i64, factor))


def philox(b: LinalgBuilder, counter: list[ir.Value], key: list[ir.Value]) -> list[ir.Value]:
    """Four random words; ``counter`` has four words, ``key`` two."""
    for turn in range(_ROUNDS):
        low_0, high_0 = halves(b, multiply(counter[0], _MULTIPLIERS[0]))
        low_1, high_1 = halves(b, multiply(counter[2], _MULTIPLIERS[1]))
        keys = [arith.addi(k, word(b, turn * w)) for k, w in zip(key, _WEYL, strict=True)]
        counter = [
            arith.xori(arith.xori(high_1, counter[1]), keys[0]),
            low_1,
            arith.xori(arith.xori(high_0, counter[3]), keys[1]),
            low_0,
        ]
    return counter


def select_lane(b: LinalgBuilder, words: list[ir.Value], lane: ir.Value) -> ir.Value:
    """``words[lane]``."""
    chosen, number = words[0], arith.index_cast(b.i32, lane)
    for i, candidate in enumerate(words[1:], start=1):
        chosen = arith.select(arith.cmpi(arith.CmpIPredicate.eq, number, word(b, i)), candidate, chosen)
    return chosen
