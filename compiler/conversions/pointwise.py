# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Elementwise operations of floats, with broadcasting: what their conversions share."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from torch_mlir import ir
from torch_mlir.dialects import arith, math

from pock.compiler.torch_ir import NotConstant, constant
from pock.dialects.types import builtin_tensor, is_vtensor

from .builder import Body, LinalgBuilder, convert_scalar, shape

Operand: TypeAlias = ir.Value | float | None
"""A builtin tensor, a number, or nothing."""


def result_type(op: Any) -> ir.RankedTensorType:
    """The builtin type of the only result of ``op``."""
    return builtin_tensor(op.operation.results[0].type)


def is_float(type_: ir.Type, most: int = 64) -> bool:
    """Whether an element type is a float of at most ``most`` bits."""
    return isinstance(type_, ir.F16Type | ir.BF16Type | ir.F32Type | ir.F64Type) and type_.width <= most


def operands(op: Any, b: LinalgBuilder, indices: Sequence[int]) -> list[Operand] | None:
    """Those operands of ``op``: tensors, numbers and None; None instead if one is not known."""
    found: list[Operand] = []
    for i in indices:
        value = op.operation.operands[i]
        if is_vtensor(value.type):
            found.append(b.operand(op, i))
            continue
        try:
            number = constant(value)
        except NotConstant:
            return None
        found.append(None if number is None else float(number))
    return found


def pointwise(
    op: Any, b: LinalgBuilder, given: Sequence[ir.Value | float], computed: ir.Type, body: Body
) -> ir.Value:
    """``body`` of the scalars of ``given``, tensors and numbers, as ``computed``, in the result's shape."""
    sizes = list(result_type(op).shape)
    tensors = [value for value in given if isinstance(value, ir.Value)]
    dims = " ".join(f"d{i}" for i in range(len(sizes)))
    spec = ", ".join(_subscripts(value, sizes) for value in tensors)

    def scalars(*values: ir.Value) -> ir.Value:
        read = iter(values)
        made: ir.Value = body(
            *(
                to_scalar(next(read), computed) if isinstance(v, ir.Value) else number(v, computed)
                for v in given
            )
        )
        return made

    return b.generic(f"{spec} -> {dims}", tensors, [b.empty(sizes, computed)], scalars)


def _subscripts(value: ir.Value, sizes: Sequence[int]) -> str:
    """The subscripts of a tensor that is broadcast to ``sizes``."""
    own = shape(value)
    first = len(sizes) - len(own)
    return " ".join(f"d{first + i}" if n == sizes[first + i] else "0" for i, n in enumerate(own))


# Scalars in the body of a generic.


def number(value: float, type_: ir.Type) -> ir.Value:
    """A constant of a float or integer type."""
    return arith.constant(type_, int(value) if isinstance(type_, ir.IntegerType) else float(value))


def to_scalar(value: ir.Value, type_: ir.Type) -> ir.Value:
    """A scalar as another type: bits and integers as floats or wider integers, floats as floats."""
    if isinstance(type_, ir.IntegerType) and value.type == ir.IntegerType.get_signless(1):
        return arith.extui(type_, value)
    if isinstance(value.type, ir.IntegerType) and not isinstance(type_, ir.IntegerType):
        return arith.uitofp(type_, value) if value.type.width == 1 else arith.sitofp(type_, value)
    return convert_scalar(value, type_)


def compare(predicate: str, a: ir.Value, b: ir.Value | float) -> ir.Value:
    """``a`` against ``b`` by one of arith's predicates, such as ``olt``: false for NaN, unless ``une``."""
    other = b if isinstance(b, ir.Value) else number(b, a.type)
    return arith.cmpf(getattr(arith.CmpFPredicate, predicate.upper()), a, other)


def choose(condition: ir.Value, a: ir.Value, b: ir.Value) -> ir.Value:
    """``a`` where the condition holds, else ``b``."""
    return arith.select(condition, a, b)


def add(a: ir.Value, b: ir.Value | float) -> ir.Value:
    return arith.addf(a, b if isinstance(b, ir.Value) else number(b, a.type))


def sub(a: ir.Value, b: ir.Value | float) -> ir.Value:
    return arith.subf(a, b if isinstance(b, ir.Value) else number(b, a.type))


def mul(a: ir.Value, b: ir.Value | float) -> ir.Value:
    return arith.mulf(a, b if isinstance(b, ir.Value) else number(b, a.type))


def polynomial(x: ir.Value, coefficients: Sequence[float]) -> ir.Value:
    """The sum of ``coefficients[i] * x**i``, by Horner's rule."""
    total = number(coefficients[-1], x.type)
    for coefficient in reversed(coefficients[:-1]):
        total = add(mul(total, x), coefficient)
    return total


def magnitude(x: ir.Value) -> ir.Value:
    return math.absf(x)


def bits(x: ir.Value) -> ir.Value:
    """The bits of an f32 as an i32."""
    return arith.bitcast(ir.IntegerType.get_signless(32), x)


def from_bits(x: ir.Value) -> ir.Value:
    """The f32 of an i32's bits."""
    return arith.bitcast(ir.F32Type.get(), x)


def integer(value: int, like: ir.Value) -> ir.Value:
    """A constant of an integer type, from its bits."""
    width = like.type.width
    return arith.constant(like.type, value - (1 << width) if value >= 1 << (width - 1) else value)
