# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Limits of floats: ``clamp``, ``hardtanh``, ``maximum`` and ``minimum``.

torch-mlir takes the limit where the value is NaN, which hides that training has diverged.
"""

from typing import Any

from torch_mlir import ir

from .builder import LinalgBuilder
from .pointwise import Operand, choose, compare, is_float, operands, pointwise, result_type


def convert(op: Any, b: LinalgBuilder) -> ir.Value | None:
    """The first operand, at least the second and at most the third; NaN wins."""
    count = len(op.operation.operands)
    given = operands(op, b, list(range(min(count, 3))))
    if given is None:
        return None
    return _limited(op, b, [*given, None][:3])


def convert_max(op: Any, b: LinalgBuilder) -> ir.Value | None:
    """The first operand, at most the second; NaN wins."""
    given = operands(op, b, [0, 1])
    return None if given is None else _limited(op, b, [given[0], None, given[1]])


def _limited(op: Any, b: LinalgBuilder, given: list[Operand]) -> ir.Value | None:
    element = result_type(op).element_type
    if not is_float(element):
        return None
    kinds = ["ogt" if i == 1 else "olt" for i, value in enumerate(given) if i and value is not None]

    def limited(x: ir.Value, *limits: ir.Value) -> ir.Value:
        for kind, limit in zip(kinds, limits, strict=True):
            # One instruction of most processors: the comparison is false where x is NaN.
            x = choose(compare(kind, limit, x), limit, x)
            if isinstance(limit.owner, ir.Block) or limit.owner.name != "arith.constant":
                x = choose(compare("uno", limit, limit), limit, x)
        return x

    return pointwise(op, b, [value for value in given if value is not None], element, limited)
