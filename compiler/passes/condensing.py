# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Computing with tensors that are zero but at some positions of a dimension, one rule an operation.

The gradient of one token of a sequence is zero at all others. A rule computes what an operation makes of such
a tensor from its other positions alone: either all of the result, as of a sum over the dimension, or what is
not zero of it. Zeros are taken to stay zeros when they are multiplied, by infinity and NaN too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch_mlir import ir

from pock.compiler.analysis.positions import Positions
from pock.compiler.torch_ir import (
    DTYPE_CODE,
    PERMUTATIONS,
    NotConstant,
    TorchBuilder,
    constant,
    defining_op,
    is_constant,
    permutation,
)
from pock.dialects.sparsebp import Mask
from pock.dialects.types import NotAStaticTensor, element_of, is_vtensor, shape_of

from .sinking import rebuilt, select

POSITIONS = "positions"
"""The name of the dimension in masks, which is none of a parameter's."""

PRODUCTS = ("torch.aten.mm", "torch.aten.bmm")
"""Operations of which a part takes less time in proportion."""


@dataclass(frozen=True)
class Condensed:
    """A tensor that is zero but at the positions ``chosen`` of ``axis``: what is there is ``value``."""

    value: ir.Value
    axis: int
    chosen: tuple[int, ...]

    def at(self, axis: int, value: ir.Value) -> "Condensed":
        """Another value, along another axis, at the same positions."""
        return Condensed(value, axis, self.chosen)

    def matches(self, axis: int, chosen: Sequence[int]) -> bool:
        return (self.axis, self.chosen) == (axis, tuple(chosen))


def seed(op: Any) -> Condensed | None:
    """``op``'s result if it puts a tensor among zeros, as the gradient of a slice or of one position does."""
    name = op.operation.name
    try:
        if name == "torch.aten.slice_scatter":
            return _scattered(op)
        if name == "torch.aten.where.self":
            return _put(op)
    except (NotConstant, NotAStaticTensor):
        pass  # a shape or an argument is not known before run time
    return None


def condense(op: Any, known: Mapping[ir.Value, Condensed]) -> Condensed | ir.Value | None:
    """``op``'s result, or what is not zero of it, from what is ``known`` of its operands.

    The new operations stand in front of ``op``, which stays. None if all of the operands are needed.
    """
    rule = _RULES.get(op.operation.name)
    if rule is None:
        return None
    try:
        return rule(_Op(op, known, TorchBuilder(op)))
    except (NotConstant, NotAStaticTensor):
        return None


def spread(builder: TorchBuilder, condensed: Condensed, shape: Sequence[int]) -> ir.Value:
    """The whole tensor of ``shape``. In a view of it, the positions are adjacent as they were at first."""
    at = Positions.of(shape, condensed.axis, condensed.chosen)
    first, count = at.chosen[0], len(at.chosen)
    whole, element = [at.outer, at.size, at.inner], element_of(condensed.value.type)
    parts = builder.view(condensed.value, [at.outer, count, at.inner])
    zeros = builder.aten(
        "full", whole, 0, DTYPE_CODE[element], None, None, None, shape=whole, element=element
    )
    put = builder.aten(
        "slice_scatter", zeros, parts, 1, first, first + count, 1, shape=whole, element=element
    )
    return builder.view(put, shape)


# -- gradients of parts -------------------------------------------------------------------------


def _scattered(op: Any) -> Condensed | None:
    """slice_scatter into zeros."""
    into, source, axis, start, end, step = op.operation.operands
    if not _is_zeros(into):
        return None
    shape = shape_of(into.type)
    d = constant(axis) % len(shape)
    chosen = range(shape[d])[slice(constant(start), constant(end), constant(step))]
    if not 0 < len(chosen) < shape[d] or chosen.step != 1:
        return None
    return Condensed(source, d, tuple(chosen))


def _put(op: Any) -> Condensed | None:
    """``where(arange == position, x, zeros)``, which ``x`` is broadcast to."""
    condition, x, otherwise = op.operation.operands
    shape, at = shape_of(op.operation.results[0].type), shape_of(condition.type)
    compared = defining_op(condition)
    if not _is_zeros(otherwise) or compared is None or compared.operation.name != "torch.aten.eq.Scalar":
        return None
    wide = [d for d, size in enumerate(at) if size > 1]
    if len(wide) != 1 or not _counts(compared.operation.operands[0]):
        return None
    axis = wide[0] + len(shape) - len(at)
    position = constant(compared.operation.operands[1])
    source = _unexpanded(x, axis - (len(shape) - len(shape_of(x.type))))
    if source is None or position not in range(shape[axis]) or shape[axis] != at[wide[0]]:
        return None
    return Condensed(source, axis, (int(position),))


def _counts(value: ir.Value) -> bool:
    """Whether a tensor is 0, 1, 2, … in order."""
    op = defining_op(value)
    while op is not None and op.operation.name in _VIEWS:
        op = defining_op(op.operation.operands[0])
    if op is None or not op.operation.name.startswith("torch.aten.arange"):
        return False
    if op.operation.name == "torch.aten.arange":
        return True
    start, _, *rest = op.operation.operands
    return constant(start) == 0 and (op.operation.name == "torch.aten.arange.start" or constant(rest[0]) == 1)


def _unexpanded(value: ir.Value, axis: int) -> ir.Value | None:
    """What ``value`` repeats along ``axis``: a tensor of its shape, but with one position there."""
    op = defining_op(value)
    if op is None or op.operation.name != "torch.aten.expand" or axis < 0:
        return None
    source, shape = op.operation.operands[0], list(shape_of(value.type))
    shape[axis] = 1
    return source if list(shape_of(source.type)) == shape else None


def _is_zeros(value: ir.Value) -> bool:
    op = defining_op(value)
    if op is None:
        return False
    operands, name = op.operation.operands, op.operation.name
    if name in ("torch.aten.full_like", "torch.aten.full"):
        return is_constant(operands[1], 0)
    if name in _VIEWS or name == "torch.aten.expand":
        return _is_zeros(operands[0])
    return name in ("torch.aten.zeros", "torch.aten.zeros_like", "torch.aten.new_zeros")


# -- rules --------------------------------------------------------------------------------------


@dataclass
class _Op:
    """An operation, with what is known of its operands."""

    op: Any
    known: Mapping[ir.Value, Condensed]
    builder: TorchBuilder

    @property
    def operands(self) -> list[ir.Value]:
        return list(self.op.operation.operands)

    @property
    def shape(self) -> tuple[int, ...]:
        """The result's shape."""
        return shape_of(self.op.operation.results[0].type)

    def condensed(self, position: int) -> Condensed | None:
        """What is known of an operand."""
        return self.known.get(self.operands[position])

    def part(self, value: ir.Value, axis: int, chosen: Sequence[int]) -> ir.Value:
        """The ``chosen`` positions of ``axis`` of a value; all of it where it is broadcast along that."""
        if axis < 0 or shape_of(value.type)[axis] == 1:
            return value
        known = self.known.get(value)
        if known is not None and known.matches(axis, chosen):
            return known.value
        mask = Mask.channels(POSITIONS, chosen, shape_of(value.type)[axis])
        return select(self.builder, value, axis, mask)

    def rebuild(self, operands: Sequence[ir.Value], shape: Sequence[int]) -> ir.Value:
        """The operation again, on other operands, with a result of ``shape``."""
        return rebuilt(self.builder, self.op, operands, shape)

    def shrunk(self, axis: int, chosen: Sequence[int]) -> list[int]:
        """The result's shape with only the ``chosen`` positions of ``axis``."""
        shape = list(self.shape)
        shape[axis] = len(chosen)
        return shape


def _of_first(o: _Op) -> Condensed | None:
    """Of a tensor first, and of numbers: a zero stays a zero."""
    c = o.condensed(0)
    if c is None:
        return None
    return c.at(c.axis, o.rebuild([c.value, *o.operands[1:]], o.shrunk(c.axis, c.chosen)))


def _aligned(o: _Op, position: int) -> Condensed | None:
    """An operand of an elementwise operation, its axis counted in the result's dimensions."""
    c = o.condensed(position)
    if c is None:
        return None
    axis = c.axis + len(o.shape) - len(shape_of(o.operands[position].type))
    return c.at(axis, c.value)


def _at_positions(o: _Op, c: Condensed) -> Condensed:
    """An elementwise operation at the positions of ``c`` only, whose axis is one of the result's."""
    operands = [
        o.part(v, c.axis - (len(o.shape) - len(shape_of(v.type))), c.chosen) if is_vtensor(v.type) else v
        for v in o.operands
    ]
    return c.at(c.axis, o.rebuild(operands, o.shrunk(c.axis, c.chosen)))


def _mul(o: _Op) -> Condensed | None:
    c = _aligned(o, 0) or _aligned(o, 1)
    return None if c is None else _at_positions(o, c)


def _div(o: _Op) -> Condensed | None:
    c = _aligned(o, 0)
    return None if c is None else _at_positions(o, c)


def _add(o: _Op) -> Condensed | None:
    """Sums and differences of two tensors that are zero at the same positions."""
    first, second = _aligned(o, 0), _aligned(o, 1)
    if first is None or second is None or not first.matches(second.axis, second.chosen):
        return None
    return _at_positions(o, first)


def _where(o: _Op) -> Condensed | None:
    """A choice between such a tensor and zeros, or two of them that are zero at the same positions."""
    found = [_aligned(o, i) for i in (1, 2)]
    c = found[0] or found[1]
    if c is None:
        return None
    for value, other in zip(o.operands[1:], found, strict=True):
        if not _is_zeros(value) and (other is None or not other.matches(c.axis, c.chosen)):
            return None
    return _at_positions(o, c)


def _sum(o: _Op) -> Condensed | ir.Value | None:
    c = o.condensed(0)
    if c is None:
        return None
    rank = len(shape_of(o.operands[0].type))
    listed = constant(o.operands[1])
    summed = {d % rank for d in listed} if listed else set(range(rank))
    operands = [c.value, *o.operands[1:]]
    if c.axis in summed:
        return o.rebuild(operands, o.shape)
    axis = c.axis if constant(o.operands[2]) else c.axis - sum(d < c.axis for d in summed)
    return c.at(axis, o.rebuild(operands, o.shrunk(axis, c.chosen)))


def _view(o: _Op) -> Condensed | None:
    c = o.condensed(0)
    if c is None:
        return None
    found = Positions.of(shape_of(o.operands[0].type), c.axis, c.chosen).along(o.shape)
    if found is None:
        return None
    axis, chosen = found
    return Condensed(o.builder.view(c.value, o.shrunk(axis, chosen)), axis, chosen)


def _permute(o: _Op) -> Condensed | None:
    c, result = o.condensed(0), o.op.operation.results[0]
    source, order = permutation(result)
    if c is None or source == result:
        return None
    axis = order.index(c.axis)
    return c.at(axis, o.rebuild([c.value, *o.operands[1:]], o.shrunk(axis, c.chosen)))


def _expand(o: _Op) -> Condensed | None:
    c = o.condensed(0)
    if c is None:
        return None
    axis = c.axis + len(o.shape) - len(shape_of(o.operands[0].type))
    shape = o.shrunk(axis, c.chosen)
    return c.at(axis, o.rebuild([c.value, o.builder.int_list(shape), *o.operands[2:]], shape))


def _product(o: _Op) -> Condensed | ir.Value | None:
    """mm and bmm: rows of the left operand, columns of the right one, batches, or what is summed over."""
    last = len(o.shape) - 1
    left, right = o.operands
    a, b = o.condensed(0), o.condensed(1)
    if a is not None and a.axis == last:
        return o.rebuild([a.value, o.part(right, last - 1, a.chosen)], o.shape)
    if b is not None and b.axis == last - 1:
        return o.rebuild([o.part(left, last, b.chosen), b.value], o.shape)
    if a is not None:
        other = right if a.axis == last - 1 else o.part(right, a.axis, a.chosen)
        return a.at(a.axis, o.rebuild([a.value, other], o.shrunk(a.axis, a.chosen)))
    if b is not None:
        other = left if b.axis == last else o.part(left, b.axis, b.chosen)
        return b.at(b.axis, o.rebuild([other, b.value], o.shrunk(b.axis, b.chosen)))
    return None


_VIEWS = ("torch.aten._unsafe_view", "torch.aten.reshape", "torch.aten.unsqueeze", "torch.aten.view")

_RULES: dict[str, Callable[[_Op], Condensed | ir.Value | None]] = {
    "torch.aten.add.Tensor": _add,
    "torch.aten.clone": _of_first,
    "torch.aten.div.Scalar": _of_first,
    "torch.aten.div.Tensor": _div,
    "torch.aten.expand": _expand,
    "torch.aten.mul.Scalar": _of_first,
    "torch.aten.mul.Tensor": _mul,
    "torch.aten.neg": _of_first,
    "torch.aten.squeeze.dim": _view,
    "torch.aten.sub.Tensor": _add,
    "torch.aten.sum.dim_IntList": _sum,
    "torch.aten.where.self": _where,
    "torch.prims.convert_element_type": _of_first,
    **dict.fromkeys(PERMUTATIONS, _permute),
    **dict.fromkeys(PRODUCTS, _product),
    **dict.fromkeys(_VIEWS, _view),
}
