# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.max_pool_argmax``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.dialects.sparsebp.window import Window
from pock.dialects.types import shape_of

from .builder import LinalgBuilder, element
from .max_pool import pooling
from .patches import fit, letters


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """A reduction that carries the maximum and its tap.

    Where nothing exceeds minus infinity the first tap that is not padding wins, as in PyTorch.
    """
    window, out = Window.of(op), shape_of(op.operation.results[0].type)
    x = fit(b, b.operand(op, 0), window, out[2:], float("-inf"))
    numbers = np.arange(np.prod(window.kernel), dtype=np.int32).reshape(window.kernel)

    def later(value: ir.Value, tap: ir.Value, top: ir.Value, at: ir.Value) -> list[ir.Value]:
        wins = arith.ori(
            arith.cmpf(arith.CmpFPredicate.OGT, value, top), arith.cmpf(arith.CmpFPredicate.UNO, value, value)
        )
        return [arith.select(wins, value, top), arith.select(wins, tap, at)]

    inits = [b.full(out, float("-inf"), element(x)), b.full(out, -1, b.i32)]
    spec = pooling(window)
    result = spec.split("->")[1]
    _, argmax = b.generic(f"{spec},{result}", [x, b.dense(numbers)], inits, later)
    return _or_first(b, argmax, window, out[2:])


def _or_first(b: LinalgBuilder, argmax: ir.Value, window: Window, out: Sequence[int]) -> ir.Value:
    """``argmax``, with the first tap inside the input where it is -1."""
    first = np.zeros([1] * len(out), np.int32)
    for axis, (n, k, s, p, d) in enumerate(
        zip(out, window.kernel, window.stride, window.padding, window.dilation, strict=True)
    ):
        tap = -(-np.maximum(p - np.arange(n) * s, 0) // d)
        first = first * k + tap.reshape([-1 if i == axis else 1 for i in range(len(out))]).astype(np.int32)
    o = " ".join(letters("o", len(out)))

    def choose(tap: ir.Value, fallback: ir.Value, _: ir.Value) -> ir.Value:
        found = arith.cmpi(arith.CmpIPredicate.sge, tap, arith.constant(b.i32, 0))
        return arith.select(found, tap, fallback)

    return b.generic(f"n c {o}, {o} -> n c {o}", [argmax, b.dense(first)], [b.like(argmax)], choose)
