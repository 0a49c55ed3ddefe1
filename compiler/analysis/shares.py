# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What of a training step can be computed from a part of the batch.

Cut into equal parts along a dimension, the batch among them, a value has as many *parts*; a sum over that
dimension has as many *summands*, which are sums over the parts. Each operation has its ways to get a part or
a summand of its result from parts and summands of its operands: nothing here knows a model, and an operation
without such a way is computed whole or not at all.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from itertools import product
from math import prod
from typing import Any

from torch_mlir import ir

from pock.compiler.torch_ir import PERMUTATIONS, NotConstant, body, constant, defining_op, permutation
from pock.dialects.sparsebp import Mask
from pock.dialects.types import is_vtensor, shape_of

from .elementwise import ELEMENTWISE, REDUCTIONS

SMALL = 1 << 16
"""Elements up to which something is computed of the whole batch once for each part."""


class Kind(Enum):
    """What of a value there is."""

    WHOLE = "whole"
    PART = "part"
    SUMMAND = "summand"


@dataclass(frozen=True)
class Share:
    """All of a value; one of its equal parts along ``axis``; or one of as many summands, which add up to it.

    Where ``axis`` is ``blocks`` batches one behind the other, a part is a part of each, one behind the other.
    """

    kind: Kind
    axis: int = 0
    blocks: int = 1


WHOLE = Share(Kind.WHOLE)
SUMMAND = Share(Kind.SUMMAND)


def part(axis: int, blocks: int = 1) -> Share:
    """One of the equal parts along ``axis``, or of each of the ``blocks`` that it is made of."""
    return Share(Kind.PART, axis, blocks)


Ways = Sequence[Share | None]
"""What an operation needs of its operands, None of those that are no tensors."""


class Shares:
    """For each value of a function the shares that can be computed in ``count`` parts, and from what.

    An argument of the function has parts along its first dimension.
    """

    def __init__(self, function: Any, count: int) -> None:
        self.count = count
        self.needed: dict[ir.Value, dict[Share, Ways]] = {}
        """For each value its shares, and what each needs of the operands of the operation that it is from."""
        self.given: set[ir.Value] = set()
        """The values that are or depend on an argument."""
        self._start(function)
        for op in body(function).operations:
            self._add(op.operation)

    def _start(self, function: Any) -> None:
        for argument in body(function).arguments:
            self.given.add(argument)
            self.needed[argument] = {WHOLE: ()}
            if self.divides(argument, 0):
                self.needed[argument][part(0)] = ()

    def has(self, value: ir.Value, share: Share) -> bool:
        """Whether ``share`` of ``value`` can be computed."""
        return share in self.needed.get(value, {})

    def divides(self, value: ir.Value, axis: int, blocks: int = 1) -> bool:
        """Whether a value has as many equal parts along ``axis``, in each of its ``blocks``."""
        shape = shape_of(value.type) if is_vtensor(value.type) else ()
        return axis < len(shape) and shape[axis] > 0 and shape[axis] % (blocks * self.count) == 0

    def _add(self, op: Any) -> None:
        if any(value in self.given for value in op.operands):
            self.given.update(op.results)
        for result in op.results:
            self.needed[result] = {}
            for share, ways in self._shares(op, result):
                for needed in ways:
                    if self._is_there(op, needed):
                        self.needed[result][share] = needed
                        break

    def _is_there(self, op: Any, needed: Ways) -> bool:
        pairs = zip(op.operands, needed, strict=True)
        return all(share is None or self.has(value, share) for value, share in pairs)

    def _shares(self, op: Any, result: ir.Value) -> Iterator[tuple[Share, Iterator[Ways]]]:
        """The shares that ``result`` may have, with the ways to each."""
        if not self._too_much(op):
            yield WHOLE, iter([tuple(WHOLE if _is_tensor(v) else None for v in op.operands)])
        step = _Step(op, result, self)
        if (parts := _PARTS.get(op.name)) is not None:
            for blocks, axis in product(self._blocks(op), range(len(step.shape))):
                if _is_list(result) or self.divides(result, axis, blocks):
                    yield part(axis, blocks), _known(partial(parts, replace(step, blocks=blocks), axis))
        if (summands := _SUMMANDS.get(op.name)) is not None:
            yield SUMMAND, _known(partial(summands, step))

    def _blocks(self, op: Any) -> list[int]:
        """How many batches one behind the other the result of an operation may be."""
        if op.name not in _OF_BLOCKS:
            return [1]
        found = {share.blocks for value in op.operands for share in self.needed.get(value, ())}
        if op.name == _CONCATENATION and (listed := defining_op(op.operands[0])) is not None:
            found.add(len(listed.operation.operands))
        return sorted(found | {1} if op.name not in _VIEWS else found | _factors(op))

    def _too_much(self, op: Any) -> bool:
        """Whether an operation is not to be computed whole by each."""
        if not any(value in self.given for value in op.operands):
            return op.name in _RANDOM
        sizes = [prod(shape_of(v.type)) for v in (*op.operands, *op.results) if is_vtensor(v.type)]
        return op.name not in _LIGHT or max(sizes, default=0) > SMALL


def _known(ways: Callable[[], Iterator[Ways]]) -> Iterator[Ways]:
    """``ways``, none if they depend on what is known at run time only."""
    try:
        yield from list(ways())
    except NotConstant:
        return


def _is_list(value: ir.Value) -> bool:
    return str(value.type) == "!torch.list<vtensor>"


def _is_tensor(value: ir.Value) -> bool:
    return is_vtensor(value.type) or _is_list(value)


def _factors(view: Any) -> set[int]:
    """The dimensions that a view may merge with the batch behind them."""
    shape = shape_of(view.operands[0].type)
    return {prod(shape[:i]) for i in range(len(shape))}


@dataclass(frozen=True)
class _Step:
    """An operation whose result is to be computed in parts, of each of its ``blocks``."""

    op: Any
    result: ir.Value
    shares: Shares
    blocks: int = 1

    def part(self, axis: int) -> Share:
        """The part of an operand along ``axis``."""
        return part(axis, self.blocks)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the result; of a list of tensors, that of what it is split from or made of."""
        if not _is_list(self.result):
            return shape_of(self.result.type) if is_vtensor(self.result.type) else ()
        return next((shape_of(v.type) for v in self.op.operands if is_vtensor(v.type)), ())

    def source(self, position: int) -> tuple[int, ...]:
        """The shape of an operand."""
        return shape_of(self.op.operands[position].type)

    def number(self, position: int) -> Any:
        """A constant operand. Raises ``NotConstant``."""
        return constant(self.op.operands[position])

    def axis(self, position: int, rank: int) -> int:
        """An operand that names a dimension."""
        return int(self.number(position)) % rank

    def axes(self, position: int, rank: int) -> set[int]:
        """An operand that lists dimensions; all of them where it lists none."""
        listed = self.number(position)
        return {d % rank for d in listed} if listed else set(range(rank))

    @property
    def groups(self) -> int:
        """The groups of a convolution that a gradient is of."""
        return int(ir.IntegerAttr(self.op.attributes["groups"]).value)

    def flag(self, name: str) -> bool:
        return bool(ir.BoolAttr(self.op.attributes[name]).value)

    def needs(self, *shares: Share | None) -> Ways:
        """``shares`` of the first operands, all of the tensors behind them, and nothing of numbers."""
        rest = self.op.operands[len(shares) :] if len(shares) < len(self.op.operands) else []
        return (*shares, *(WHOLE if _is_tensor(v) else None for v in rest))


# -- parts --------------------------------------------------------------------------------------


def _elementwise(step: _Step, axis: int) -> Iterator[Ways]:
    """An operand that is broadcast along the dimension is needed whole."""
    needed: list[Share | None] = []
    for i, operand in enumerate(step.op.operands):
        if not _is_tensor(operand):
            needed.append(None)
            continue
        own = axis - (len(step.shape) - len(step.source(i)))
        needed.append(step.part(own) if own >= 0 and step.source(i)[own] != 1 else WHOLE)
    yield needed


def _fill(step: _Step, axis: int) -> Iterator[Ways]:
    """Fills need nothing; those like another tensor take its shape."""
    yield [step.part(axis) if _is_tensor(v) else None for v in step.op.operands]


def _matmul(step: _Step, axis: int) -> Iterator[Ways]:
    last = len(step.shape) - 1
    yield part(axis) if axis != last else WHOLE, part(axis) if axis != last - 1 else WHOLE


def _permuted(step: _Step, axis: int) -> Iterator[Ways]:
    yield step.needs(step.part(permutation(step.result)[1][axis]))


def _viewed(step: _Step, axis: int) -> Iterator[Ways]:
    """The dimension of the same elements, which may be merged with those in front of it."""
    source = step.source(0)
    batches = prod(step.shape[:axis]) * step.blocks
    for own, size in enumerate(source):
        blocks, rest = divmod(batches, prod(source[:own]))
        if size > 1 and not rest and step.shares.divides(step.op.operands[0], own, blocks):
            yield step.needs(part(own, blocks))


def _expanded(step: _Step, axis: int) -> Iterator[Ways]:
    own = axis - (len(step.shape) - len(step.source(0)))
    yield step.needs(part(own) if own >= 0 and step.source(0)[own] != 1 else WHOLE)


def _unsqueezed(step: _Step, axis: int) -> Iterator[Ways]:
    yield step.needs(part(axis - (axis > step.axis(1, len(step.shape)))))


def _squeezed(step: _Step, axis: int) -> Iterator[Ways]:
    source, named = step.source(0), step.number(1)
    dropped = {d % len(source) for d in (named if isinstance(named, list) else [named])}
    own = [i for i, n in enumerate(source) if n != 1 or i not in dropped][axis]
    # A part of size 1 would be dropped where the whole is not.
    if own not in dropped:
        yield step.needs(part(own))


def _sliced(step: _Step, axis: int) -> Iterator[Ways]:
    if axis != step.axis(1, len(step.source(0))):
        yield step.needs(part(axis))


def _slice_put_back(step: _Step, axis: int) -> Iterator[Ways]:
    if axis != step.axis(2, len(step.source(0))):
        yield step.needs(part(axis), part(axis))


def _one_taken(step: _Step, axis: int) -> Iterator[Ways]:
    yield step.needs(part(axis + (axis >= step.axis(1, len(step.source(0))))))


def _selected(step: _Step, axis: int) -> Iterator[Ways]:
    """Along the dimension that it selects from, the same positions of each part."""
    if axis != ir.IntegerAttr(step.op.attributes["axis"]).value or same_positions(step.op, step.shares.count):
        yield step.needs(part(axis))


def same_positions(op: Any, count: int) -> tuple[int, ...] | None:
    """The positions that a selection takes of each of ``count`` equal parts of its operand, if the same."""
    size = shape_of(op.operands[0].type)[ir.IntegerAttr(op.attributes["axis"]).value]
    chosen = Mask.from_attr(op.attributes["mask"]).positions()
    if size % count or len(chosen) % count:
        return None
    each, taken = size // count, len(chosen) // count
    first = chosen[:taken]
    repeated = tuple(i * each + position for i in range(count) for position in first)
    return first if repeated == tuple(chosen) and max(first, default=each) < each else None


def _listed(step: _Step, axis: int) -> Iterator[Ways]:
    """A list of tensors, or one of a list."""
    yield [step.part(axis) if _is_tensor(v) else None for v in step.op.operands]


def _concatenated(step: _Step, axis: int) -> Iterator[Ways]:
    """Parts of batches one behind the other are what they are made of."""
    if axis != step.axis(1, len(step.shape)):
        yield step.needs(step.part(axis))
    elif (listed := defining_op(step.op.operands[0])) is not None:
        tensors = list(listed.operation.operands)
        if len(tensors) == step.blocks and len({shape_of(v.type) for v in tensors}) == 1:
            yield step.needs(part(axis))


def _split(step: _Step, axis: int) -> Iterator[Ways]:
    if axis != step.axis(2, len(step.shape)) and step.shares.divides(step.op.operands[0], axis):
        yield step.needs(part(axis))


def _padded(step: _Step, axis: int) -> Iterator[Ways]:
    first = 2 * (len(step.shape) - 1 - axis)
    if not any(step.number(1)[first : first + 2]):
        yield step.needs(part(axis))


def _reduced(step: _Step, axis: int) -> Iterator[Ways]:
    """Over dimensions of a list."""
    rank = len(step.source(0))
    over = step.axes(1, rank)
    own = axis if step.number(2) else [d for d in range(rank) if d not in over][axis]
    if own not in over:
        yield step.needs(part(own))


def _reduced_along_one(step: _Step, axis: int) -> Iterator[Ways]:
    rank = len(step.source(0))
    over = step.axis(1, rank)
    own = axis if step.number(2) else [d for d in range(rank) if d != over][axis]
    if own != over:
        yield step.needs(part(own))


def _along_one(step: _Step, axis: int) -> Iterator[Ways]:
    """What is computed along one dimension, as a softmax is."""
    if axis != step.axis(1, len(step.shape)):
        yield step.needs(part(axis))


def _looked_up(step: _Step, axis: int) -> Iterator[Ways]:
    """Rows of a table (0) by their numbers (1)."""
    if axis < len(step.shape) - 1:
        yield step.needs(WHOLE, part(axis))


def _convolved(step: _Step, axis: int) -> Iterator[Ways]:
    """Samples from samples, with all of the weight; output channels with theirs of weight and bias."""
    if axis == 0:
        yield step.needs(part(0))
    elif axis == 1 and not step.number(6):
        bias = part(0) if _is_tensor(step.op.operands[2]) else None
        if (groups := step.number(8)) == 1:
            yield WHOLE, part(0), bias, *[None] * 6
        elif groups % step.shares.count == 0:
            yield part(1), part(0), bias, *[None] * 6


def _convolution_input(step: _Step, axis: int) -> Iterator[Ways]:
    """The gradient of a convolution's input: samples; input channels with theirs of the weight."""
    if axis == 0:
        yield step.needs(part(0))
    elif axis == 1:
        if step.groups == 1:
            yield WHOLE, part(1)
        elif step.groups % step.shares.count == 0:
            yield part(1), part(0)


def _convolution_weight_part(step: _Step, axis: int) -> Iterator[Ways]:
    """The gradient of a convolution's weight: its output channels, or its input channels."""
    if axis == 0:
        if step.groups == 1:
            yield part(1), WHOLE
        elif step.groups % step.shares.count == 0:
            yield part(1), part(1)
    elif axis == 1 and step.groups == 1:
        yield WHOLE, part(1)


def _pooled(step: _Step, axis: int) -> Iterator[Ways]:
    """Samples, and channels of them, are pooled one by one."""
    name = step.op.name
    spatial = int(name[-2]) if name.endswith(("1d", "2d", "3d")) else 0
    if axis == 0 or (axis == 1 and len(step.shape) > spatial + 1):
        yield [part(axis) if _is_tensor(v) else None for v in step.op.operands]


# -- summands -----------------------------------------------------------------------------------


def _sum(step: _Step) -> Iterator[Ways]:
    for axis in sorted(step.axes(1, len(step.source(0)))):
        if step.shares.divides(step.op.operands[0], axis):
            yield step.needs(part(axis))
    yield step.needs(SUMMAND)


def _sum_of_all(step: _Step) -> Iterator[Ways]:
    for axis in range(len(step.source(0))):
        if step.shares.divides(step.op.operands[0], axis):
            yield step.needs(part(axis))
    yield step.needs(SUMMAND)


def _product(step: _Step) -> Iterator[Ways]:
    """Of what is added up along the parts; else linear in each operand."""
    last = len(step.shape) - 1
    if step.shares.divides(step.op.operands[0], last):
        yield part(last), part(last - 1)
    yield SUMMAND, WHOLE
    yield WHOLE, SUMMAND


def _convolution_weight(step: _Step) -> Iterator[Ways]:
    if step.shares.divides(step.op.operands[0], 0):
        yield part(0), part(0)


def _convolution(step: _Step) -> Iterator[Ways]:
    """Of parts of the input channels."""
    if not _is_tensor(step.op.operands[2]) and not step.number(6) and step.number(8) == 1:
        yield part(1), part(1), *[None] * 7


def _convolution_input_summand(step: _Step) -> Iterator[Ways]:
    """Of parts of the output channels."""
    if step.groups == 1:
        yield part(1), part(0)


def _table(step: _Step) -> Iterator[Ways]:
    """Not if rows are divided by how often they occur."""
    if not step.flag("scale_grad_by_freq"):
        for axis in range(len(step.source(1))):
            if step.shares.divides(step.op.operands[1], axis):
                yield part(axis), part(axis)


def _linear(step: _Step) -> Iterator[Ways]:
    yield step.needs(SUMMAND)


def _linear_in_all(step: _Step) -> Iterator[Ways]:
    yield step.needs(SUMMAND, SUMMAND)


def _bilinear(step: _Step) -> Iterator[Ways]:
    yield SUMMAND, WHOLE
    yield WHOLE, SUMMAND


def _quotient(step: _Step) -> Iterator[Ways]:
    if len(step.op.operands) == 2:
        yield SUMMAND, WHOLE


def _converted(step: _Step) -> Iterator[Ways]:
    """To a floating-point type: rounding to whole numbers, or to truth values, is not linear."""
    if str(step.result.type).endswith(("f32>", "f64>")):
        yield step.needs(SUMMAND)


_CONCATENATION = "torch.aten.cat"
_VIEWS = ("torch.aten.view", "torch.aten._unsafe_view", "torch.aten.reshape")
_FILLS = ("full", "zeros", "ones", "empty.memory_format")
_LIKE = ("full_like", "zeros_like", "ones_like", "empty_like")
_POOLS = tuple(f"torch.aten.{kind}_pool{rank}d" for kind in ("avg", "max") for rank in (1, 2, 3))
_RANDOM = ("sparsebp.random_mask", "sparsebp.random_uniform", "sparsebp.random_draw")

_PARTS: dict[str, Callable[[_Step, int], Iterator[Ways]]] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys((f"torch.aten.{name}" for name in (*_FILLS, *_LIKE)), _fill),
    **dict.fromkeys(REDUCTIONS, _reduced),
    **dict.fromkeys(PERMUTATIONS, _permuted),
    **dict.fromkeys(_VIEWS, _viewed),
    **dict.fromkeys(_POOLS, _pooled),
    "sparsebp.avg_pool": _pooled,
    "sparsebp.avg_pool_grad": _pooled,
    "sparsebp.conv_input_grad": _convolution_input,
    "sparsebp.conv_weight_grad": _convolution_weight_part,
    "sparsebp.max_pool": _pooled,
    "sparsebp.max_pool_argmax": _pooled,
    "sparsebp.max_pool_grad": _pooled,
    "sparsebp.select_channels": _selected,
    "torch.aten._log_softmax": _along_one,
    "torch.aten._softmax": _along_one,
    "torch.aten.all.dim": _reduced_along_one,
    "torch.aten.any.dim": _reduced_along_one,
    "torch.aten.bmm": _matmul,
    _CONCATENATION: _concatenated,
    "torch.aten.constant_pad_nd": _padded,
    "torch.aten.convolution": _convolved,
    "torch.aten.embedding": _looked_up,
    "torch.aten.expand": _expanded,
    "torch.aten.mm": _matmul,
    "torch.aten.select.int": _one_taken,
    "torch.aten.slice.Tensor": _sliced,
    "torch.aten.slice_scatter": _slice_put_back,
    "torch.aten.split_with_sizes": _split,
    "torch.aten.squeeze.dim": _squeezed,
    "torch.aten.unsqueeze": _unsqueezed,
    "torch.prim.ListConstruct": _listed,
    "torch.prim.ListUnpack": _listed,
    "torch.prims.squeeze": _squeezed,
}

_SUMMANDS: dict[str, Callable[[_Step], Iterator[Ways]]] = {
    **dict.fromkeys(PERMUTATIONS, _linear),
    **dict.fromkeys(_VIEWS, _linear),
    "sparsebp.conv_input_grad": _convolution_input_summand,
    "sparsebp.conv_weight_grad": _convolution_weight,
    "sparsebp.embedding_grad": _table,
    "sparsebp.select_channels": _linear,
    "torch.aten.add.Tensor": _linear_in_all,
    "torch.aten.bmm": _product,
    "torch.aten.convolution": _convolution,
    "torch.aten.div.Scalar": _linear,
    "torch.aten.div.Tensor": _quotient,
    "torch.aten.expand": _linear,
    "torch.aten.mm": _product,
    "torch.aten.mul.Scalar": _linear,
    "torch.aten.mul.Tensor": _bilinear,
    "torch.aten.neg": _linear,
    "torch.aten.select.int": _linear,
    "torch.aten.slice.Tensor": _linear,
    "torch.aten.squeeze.dim": _linear,
    "torch.aten.sub.Tensor": _linear_in_all,
    "torch.aten.sum": _sum_of_all,
    "torch.aten.sum.dim_IntList": _sum,
    "torch.aten.unsqueeze": _linear,
    "torch.prims.convert_element_type": _converted,
}

_OF_BLOCKS = frozenset(
    (
        *ELEMENTWISE,
        *PERMUTATIONS,
        *_VIEWS,
        _CONCATENATION,
        "torch.prim.ListConstruct",
        "torch.prim.ListUnpack",
    )
)
"""Operations that give parts of batches one behind the other."""

HEAVY = frozenset(
    (
        *("torch.aten.mm", "torch.aten.bmm", "torch.aten.convolution", "sparsebp.conv_input_grad"),
        *("sparsebp.conv_weight_grad", "sparsebp.embedding_grad"),
    )
)
"""Operations that compute much of what they read."""

_LIGHT = frozenset((*_PARTS, *_SUMMANDS)) - HEAVY
"""Operations that may be computed of the whole batch for each part."""
