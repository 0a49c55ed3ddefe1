# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``torch.aten._softmax``, with attention's zeros for rows in which everything is masked.

``linalg.softmax``, to which torch-mlir lowers it, takes iree-compile's kernels four passes over each row, and
the test for masked rows one more over all of them. Here it is two kernels: a row's maximum tells whether the
row is masked, too.
"""

import math
from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import arith
from torch_mlir.dialects import math as math_dialect

from pock.compiler.torch_ir import defining_op, is_constant
from pock.dialects.types import shape_of

from .builder import LinalgBuilder, element, shape
from .pointwise import choose, compare, is_float, number, to_scalar


def convert(op: Any, b: LinalgBuilder) -> ir.Value | None:
    """Exponentials over their sum along the last dimension, in f32; the rest is left to torch-mlir."""
    source, result = op.operation.operands[0], op.operation.results[0]
    rank = len(shape_of(source.type))
    if rank == 0 or not is_constant(op.operation.operands[1], -1, rank - 1):
        return None
    x = b.operand(op, 0)
    if not is_float(element(x), most=32):
        return None
    # A product that takes its rows' maxima along keeps what follows from being fused.
    x = b.barrier(x)
    masked = _masked(source, result, rank)
    for where in masked or ():
        where.results[0].replace_all_uses_with(result)
    return _softmax(b, x, zeros=masked is not None)


def _softmax(b: LinalgBuilder, x: ir.Value, zeros: bool) -> ir.Value:
    """``x``'s softmax along its last dimension; with ``zeros``, that of rows of -inf is zero and not NaN."""
    *rows, _ = shape(x)
    names = [f"d{i}" for i in range(len(rows))]
    row, whole = " ".join(names), " ".join([*names, "n"])

    def largest(value: ir.Value, most: ir.Value) -> ir.Value:
        return arith.maximumf(to_scalar(value, b.f32), most)

    def exponential(value: ir.Value, most: ir.Value) -> ir.Value:
        if zeros:
            most = choose(compare("oeq", most, -math.inf), number(0.0, b.f32), most)
        return math_dialect.exp(arith.subf(to_scalar(value, b.f32), most))

    def summed(value: ir.Value, most: ir.Value, total: ir.Value) -> ir.Value:
        return arith.addf(exponential(value, most), total)

    def normal(value: ir.Value, most: ir.Value, total: ir.Value, _: ir.Value) -> ir.Value:
        # The largest element's exponential is one, so that only the sums of rows of -inf are less.
        divisor = arith.maximumf(total, number(1.0, b.f32)) if zeros else total
        return arith.divf(exponential(value, most), divisor)

    # Exponentials are computed twice: iree-compile would store them between kernels otherwise.
    most = b.generic(f"{whole} -> {row}", [x], [b.full(rows, -math.inf, b.f32)], largest)
    total = b.generic(f"{whole}, {row} -> {row}", [x, most], [b.full(rows, 0.0, b.f32)], summed)
    return b.generic(f"{whole}, {row}, {row} -> {whole}", [x, most, total], [b.like(x, b.f32)], normal)


def _masked(source: ir.Value, result: ir.Value, rank: int) -> list[Any] | None:
    """The operations that put zeros into rows of -inf, if nothing else takes the result; None otherwise."""
    users = [use.owner.operation for use in result.uses]
    wheres = [user for user in users if user.name == "torch.aten.where.self"]
    shapes = [user for user in users if user.name in ("torch.aten.full_like", "torch.aten.zeros_like")]
    if not wheres or len(wheres) + len(shapes) < len(users):
        return None
    return wheres if all(_is_for_masked_rows(where, source, result, rank) for where in wheres) else None


def _is_for_masked_rows(where: Any, source: ir.Value, result: ir.Value, rank: int) -> bool:
    """Whether ``where`` takes ``result`` but for rows of ``source`` that are all -inf, zeros for those."""
    condition, zeros, value = where.operands
    every, fill = defining_op(condition), defining_op(zeros)
    if value != result or every is None or every.operation.name != "torch.aten.all.dim":
        return False
    bits, dim, kept = every.operation.operands
    is_low = defining_op(bits)
    if is_low is None or is_low.operation.name != "torch.aten.eq.Scalar":
        return False
    low = is_low.operation.operands
    is_last = is_constant(dim, -1, rank - 1) and is_constant(kept, True)
    return is_last and low[0] == source and is_constant(low[1], -math.inf) and _is_zero(fill)


def _is_zero(fill: Any) -> bool:
    if fill is None:
        return False
    name, operands = fill.operation.name, fill.operation.operands
    filled = name == "torch.aten.full_like" and is_constant(operands[1], 0)
    return filled or bool(name == "torch.aten.zeros_like")
