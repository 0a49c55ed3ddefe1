# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.random_mask``: Philox4x32-10 in 32-bit arithmetic."""

import math
from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.dialects.types import shape_of

from .builder import LinalgBuilder, loop_index

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """Blocks of four words each, compared with the probability, cut to the result's shape."""
    attributes = op.operation.attributes
    result = list(shape_of(op.operation.results[0].type))
    count = math.prod(result)
    stream = ir.IntegerAttr(attributes["stream"]).value
    threshold = math.ceil(ir.FloatAttr(attributes["probability"]).value * 2**32)

    def bit(seed: ir.Value, step: ir.Value, _: ir.Value) -> ir.Value:
        counter = [arith.index_cast(b.i32, loop_index(0)), word(b, stream), *halves(b, step)]
        chosen = select_lane(b, philox(b, counter, halves(b, seed)), loop_index(1))
        if threshold == 2**32:
            return arith.constant(b.i1, 1)
        return arith.cmpi(arith.CmpIPredicate.ult, chosen, word(b, threshold))

    blocks = [-(-count // 4), 4]
    bits = b.generic(", -> d0 d1", [b.operand(op, 0), b.operand(op, 1)], [b.empty(blocks, b.i1)], bit)
    return b.unflatten(b.slice(b.merge(bits, [2]), [0], [count]), result)


def word(b: LinalgBuilder, value: int) -> ir.Value:
    """The low 32 bits of ``value`` as a constant."""
    value %= 2**32
    return arith.constant(b.i32, value - 2**32 if value >= 2**31 else value)


def halves(b: LinalgBuilder, value: ir.Value) -> list[ir.Value]:
    """The low and the high word of an i64."""
    high = arith.shrui(value, arith.constant(value.type, 32))
    return [arith.trunci(b.i32, value), arith.trunci(b.i32, high)]


def philox(b: LinalgBuilder, counter: list[ir.Value], key: list[ir.Value]) -> list[ir.Value]:
    """Four random words; ``counter`` has four words, ``key`` two."""
    for turn in range(_ROUNDS):
        low_0, high_0 = arith.mului_extended(counter[0], word(b, _MULTIPLIERS[0]))
        low_1, high_1 = arith.mului_extended(counter[2], word(b, _MULTIPLIERS[1]))
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
