# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which parts and summands values have; ``test_split_batch`` checks that these are computed right."""

from collections.abc import Callable

import pytest
from torch_mlir import ir

from pock.compiler.analysis.shares import SUMMAND, WHOLE, Share, Shares, part
from pock.compiler.torch_ir import functions
from tests.python.compiler.passes.chains import CONTEXT, Chain

Build = Callable[[Chain], ir.Value]


def _shares(shape: list[int], build: Build) -> set[Share]:
    """What there is of a value, made of an argument of ``shape``, in two parts."""
    with CONTEXT, ir.Location.unknown():
        c = Chain(shape=shape)
        value = build(c)
        return set(Shares(functions(c.module)["step"], 2).needed[value])


def _view(*shape: int) -> Build:
    return lambda c: c.aten("view", c.value, list(shape), shape=shape)


def _stacked(c: Chain) -> ir.Value:
    """Three batches, one behind the other."""
    kind = c.builder.type("!torch.list<vtensor>")
    listed = c.builder.create("torch.prim.ListConstruct", [c.value] * 3, [kind])
    return c.aten("cat", listed, 0, shape=(12, 6))


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (_view(24), {part(0)}),  # the batch and what is behind it
        (_view(2, 2, 6), {part(0)}),
        (_view(1, 4, 6), {part(1)}),
        (lambda c: c.builder.permute(c.value, [1, 0]), {part(1)}),
        (lambda c: c.builder.sum(c.value, [1]), {part(0)}),
        (lambda c: c.builder.sum(c.value, [0]), {SUMMAND}),
        (lambda c: c.builder.sum(c.value, [0, 1]), {SUMMAND}),
        (lambda c: c.builder.mul(c.builder.sum(c.value, [0]), 2), {SUMMAND}),
        # Each part multiplies its summand by the sum over the whole batch, which is small.
        (lambda c: c.builder.mul(*[c.builder.sum(c.value, [0])] * 2), {SUMMAND}),
        (lambda c: c.aten("exp", c.builder.sum(c.value, [0]), shape=(6,)), set()),
        (lambda c: c.aten("_softmax", c.value, 0, False, shape=(4, 6)), set()),
        (lambda c: c.aten("_softmax", c.value, 1, False, shape=(4, 6)), {part(0)}),
        (_stacked, {part(0, 3)}),
        (lambda c: c.aten("view", _stacked(c), [3, 4, 6], shape=(3, 4, 6)), {part(1)}),
        (lambda c: c.aten("mm", c.builder.permute(c.value, [1, 0]), c.value, shape=(6, 6)), {SUMMAND}),
        # Rows of the one part, and columns of it.
        (
            lambda c: c.aten("mm", c.value, c.builder.permute(c.value, [1, 0]), shape=(4, 4)),
            {part(0), part(1)},
        ),
    ],
)
def test_shares_of_what_is_made_of_a_batch(build: Build, expected: set[Share]) -> None:
    """Besides the whole, which small values have unless they are products."""
    assert _shares([4, 6], build) - {WHOLE} == expected


def test_values_of_no_part_have_none() -> None:
    def scaled(c: Chain) -> ir.Value:
        return c.builder.mul(c.value, c.aten("full", [4, 6], 2.0, 7, None, None, None, shape=(4, 6)))

    # A fill has any part; an argument only those along its first dimension.
    assert part(0) in _shares([4, 6], scaled)
    assert _shares([3, 6], lambda c: c.builder.mul(c.value, 2)) == {WHOLE}


def test_what_is_large_is_not_computed_whole_by_each_part() -> None:
    doubled: Build = lambda c: c.builder.mul(c.value, 2)  # noqa: E731
    assert WHOLE in _shares([4, 1 << 14], doubled) and WHOLE not in _shares([4, 1 << 15], doubled)
