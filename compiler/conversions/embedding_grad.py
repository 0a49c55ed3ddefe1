# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.embedding_grad``."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import arith, tensor

from pock.dialects.types import shape_of

from .builder import LinalgBuilder, loop_index, shape, to_index
from .embedding import narrow, rows_at

_FEW_ROWS = 256
"""Up to this many rows the product with a one-hot matrix is cheaper than following chains."""

_SORTED_ROWS = 1
"""From this many rows for each position on, searching the indices in order is cheaper than comparing all."""


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """Sums the gradients of equal indices without atomics and without a scatter.

    For a table of few rows, as the product with a one-hot matrix; else by following chains.
    """
    attributes = op.operation.attributes
    rows, width = shape_of(op.operation.results[0].type)
    grad = b.flatten(b.cast(b.operand(op, 0), b.f32), keep=1)
    indices = narrow(b, b.flatten(b.operand(op, 1)))
    first_row = ir.IntegerAttr(attributes["first_row"]).value
    padding = ir.IntegerAttr(attributes["padding_idx"]).value
    indices = _relative(b, indices, first_row, padding)
    if ir.BoolAttr(attributes["scale_grad_by_freq"]).value:
        grad = _scaled(b, grad, indices)
    if rows <= _FEW_ROWS:
        return b.contract("r n, n w -> r w", _one_hot(b, indices, rows), grad, [rows, width])
    return _first_of_chain(b, _sum_chains(b, grad, indices), indices, rows)


def _relative(b: LinalgBuilder, indices: ir.Value, first_row: int, padding: int) -> ir.Value:
    """``indices`` counted from ``first_row``, and -1 for the padding index."""

    def relate(index: ir.Value) -> ir.Value:
        row = arith.subi(index, arith.constant(b.i32, first_row))
        if padding < 0:
            return row
        is_padding = arith.cmpi(arith.CmpIPredicate.eq, index, arith.constant(b.i32, padding))
        return arith.select(is_padding, arith.constant(b.i32, -1), row)

    return b.elementwise(indices, b.i32, relate)


def _scaled(b: LinalgBuilder, grad: ir.Value, indices: ir.Value) -> ir.Value:
    """Each position's gradient over how often its index occurs."""

    def count(one: ir.Value, other: ir.Value, total: ir.Value) -> ir.Value:
        same = arith.cmpi(arith.CmpIPredicate.eq, one, other)
        return arith.addf(total, arith.uitofp(b.f32, same))

    zeros = b.full(shape(indices), 0.0, b.f32)
    frequency = b.generic("n, m -> n", [indices, indices], [zeros], count)
    return b.generic("n w, n -> n w", [grad, frequency], [b.like(grad)], lambda g, f, _: arith.divf(g, f))


def _one_hot(b: LinalgBuilder, indices: ir.Value, rows: int) -> ir.Value:
    """``[rows, positions]``: 1 where a position has the row's index."""

    def hit(index: ir.Value, _: ir.Value) -> ir.Value:
        row = arith.index_cast(b.i32, loop_index(0))
        return arith.uitofp(b.f32, arith.cmpi(arith.CmpIPredicate.eq, index, row))

    return b.generic("n -> r n", [indices], [b.empty([rows, *shape(indices)], b.f32)], hit)


def _sum_chains(b: LinalgBuilder, grad: ir.Value, indices: ir.Value) -> ir.Value:
    """``[positions + 1, width]``: each position's gradient with those of later positions of its index.

    Positions with the same index form a chain, in which each points to the next and the last to a row
    of zeros behind all. In each round a position adds the sum that it points to, and then points to
    where that one points: after ``log2(positions)`` rounds it has summed its chain to the end
    (pointer jumping; Wyllie, "The complexity of parallel computations", 1979).
    """
    count, _ = shape(grad)
    sums, following = b.pad(grad, [0, 0], [1, 0]), b.pad(_next(b, indices), [0], [1], count)
    for _ in range((count - 1).bit_length()):
        sums, following = _add_followed(b, sums, following), _follow(b, following)
    return sums


def _next(b: LinalgBuilder, indices: ir.Value) -> ir.Value:
    """The next position with the same index, or the number of positions."""

    def nearest(one: ir.Value, other: ir.Value, best: ir.Value) -> ir.Value:
        here, there = (arith.index_cast(b.i32, loop_index(i)) for i in range(2))
        later = arith.cmpi(arith.CmpIPredicate.sgt, there, here)
        same = arith.cmpi(arith.CmpIPredicate.eq, one, other)
        return arith.select(arith.andi(later, same), arith.minsi(there, best), best)

    none = b.full(shape(indices), shape(indices)[0], b.i32)
    return b.generic("n, m -> n", [indices, indices], [none], nearest)


def _add_followed(b: LinalgBuilder, sums: ir.Value, following: ir.Value) -> ir.Value:
    def add(value: ir.Value, target: ir.Value, _: ir.Value) -> ir.Value:
        row = to_index(target)
        return arith.addf(value, tensor.extract(sums, [row, loop_index(1)]))

    return b.generic("n w, n -> n w", [sums, following], [b.like(sums)], add)


def _follow(b: LinalgBuilder, following: ir.Value) -> ir.Value:
    def jump(target: ir.Value) -> ir.Value:
        return tensor.extract(following, [to_index(target)])

    return b.elementwise(following, b.i32, jump)


def _first_of_chain(b: LinalgBuilder, sums: ir.Value, indices: ir.Value, rows: int) -> ir.Value:
    """``[rows, width]``: the sum at the first position of each row, or the zeros behind all."""
    if rows < _SORTED_ROWS * shape(indices)[0]:
        first = _first_by_comparing(b, indices, rows)
    else:
        first = _first_by_search(b, indices, rows)
    return rows_at(b, sums, first)


def _first_by_comparing(b: LinalgBuilder, indices: ir.Value, rows: int) -> ir.Value:
    """``[rows]``: the first position with each index, or the number of positions."""

    def nearest(index: ir.Value, best: ir.Value) -> ir.Value:
        row, position = (arith.index_cast(b.i32, loop_index(i)) for i in range(2))
        same = arith.cmpi(arith.CmpIPredicate.eq, index, row)
        return arith.select(same, arith.minsi(position, best), best)

    return b.generic("n -> r", [indices], [b.full([rows], shape(indices)[0], b.i32)], nearest)


def _first_by_search(b: LinalgBuilder, indices: ir.Value, rows: int) -> ir.Value:
    """As ``_first_by_comparing``, by binary search in the indices in order."""
    count = shape(indices)[0]
    rank = _rank(b, indices)
    positions = _at_rank(b, rank)

    def sorted_index(position: ir.Value) -> ir.Value:
        return tensor.extract(indices, [to_index(position)])

    ordered = b.elementwise(positions, b.i32, sorted_index)

    def search(_: ir.Value) -> ir.Value:
        # How many indices are smaller than the row, one bit after the other.
        row, last = arith.index_cast(b.i32, loop_index(0)), arith.constant(b.i32, count - 1)
        below = arith.constant(b.i32, 0)
        for bit in reversed(range(count.bit_length())):
            more = arith.addi(below, arith.constant(b.i32, 1 << bit))
            inside = arith.cmpi(arith.CmpIPredicate.sle, more, arith.constant(b.i32, count))
            at = arith.minsi(arith.subi(more, arith.constant(b.i32, 1)), last)
            smaller = arith.cmpi(arith.CmpIPredicate.slt, tensor.extract(ordered, [to_index(at)]), row)
            below = arith.select(arith.andi(inside, smaller), more, below)
        at = to_index(arith.minsi(below, last))
        found = arith.cmpi(arith.CmpIPredicate.eq, tensor.extract(ordered, [at]), row)
        return arith.select(found, tensor.extract(positions, [at]), arith.constant(b.i32, count))

    # For each row, not for each of its elements.
    return b.barrier(b.generic("-> r", [], [b.empty([rows], b.i32)], search))


def _rank(b: LinalgBuilder, indices: ir.Value) -> ir.Value:
    """How many positions come before each one in the order of their indices, equal ones in their own."""

    def count(one: ir.Value, other: ir.Value, total: ir.Value) -> ir.Value:
        here, there = (arith.index_cast(b.i32, loop_index(i)) for i in range(2))
        smaller = arith.cmpi(arith.CmpIPredicate.slt, other, one)
        equal = arith.cmpi(arith.CmpIPredicate.eq, other, one)
        earlier = arith.cmpi(arith.CmpIPredicate.slt, there, here)
        before = arith.ori(smaller, arith.andi(equal, earlier))
        return arith.addi(total, arith.extui(b.i32, before))

    return b.generic("n, m -> n", [indices, indices], [b.full(shape(indices), 0, b.i32)], count)


def _at_rank(b: LinalgBuilder, rank: ir.Value) -> ir.Value:
    """The position of each rank: the inverse permutation."""

    def find(other: ir.Value, found: ir.Value) -> ir.Value:
        wanted, position = (arith.index_cast(b.i32, loop_index(i)) for i in range(2))
        return arith.select(arith.cmpi(arith.CmpIPredicate.eq, other, wanted), position, found)

    return b.generic("m -> n", [rank], [b.full(shape(rank), 0, b.i32)], find)
