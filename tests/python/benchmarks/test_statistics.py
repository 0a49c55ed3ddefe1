# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The arithmetic of the tables."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pock.benchmarks.statistics import Spread, difference, geometric_mean, ratios

POSITIVE = st.lists(st.floats(1e-3, 1e3), min_size=1)


def test_a_spread_is_median_and_quartiles() -> None:
    assert Spread.of([1, 2, 3, 4, 100]) == Spread(3, 2, 4)


def test_ratios_are_taken_round_by_round() -> None:
    # In the second round everything took ten times as long, which is no difference between the two.
    assert ratios([[2.0, 2.0, 9.0], [20.0]], [[1.0], [10.0, 10.0, 90.0]]) == [2.0, 2.0]


def test_a_geometric_mean_takes_a_ratio_and_its_inverse_to_one() -> None:
    assert geometric_mean([4.0, 0.25]) == pytest.approx(1.0)
    assert math.isnan(geometric_mean([]))


@given(POSITIVE)
def test_a_geometric_mean_lies_within(values: list[float]) -> None:
    assert min(values) * 0.999 <= geometric_mean(values) <= max(values) * 1.001


def test_a_difference_is_relative_and_the_largest() -> None:
    assert difference([2.0, 1.1], [2.0, 1.0]) == pytest.approx(0.1)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_losses_that_are_not_finite_agree_with_nothing(wrong: float) -> None:
    assert difference([1.0, wrong], [1.0, wrong]) == math.inf
