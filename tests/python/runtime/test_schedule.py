# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Learning rates over a run."""

import math

import pytest

from pock.runtime.schedule import Schedule


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (Schedule(0.5), {0: 0.5, 10**6: 0.5}),
        (Schedule(0.5, warmup=4), {0: 0.125, 1: 0.25, 3: 0.5, 4: 0.5}),
        (Schedule(1.0, "linear", total=10), {0: 1.0, 5: 0.5, 9: 0.1, 10: 0.0, 11: 0.0}),
        (Schedule(1.0, "cosine", total=10), {0: 1.0, 5: 0.5, 10: 0.0, 11: 0.0}),
        (Schedule(1.0, "cosine", 2, 10), {0: 0.5, 1: 1.0, 2: 1.0, 6: 0.5, 10: 0.0}),
        (Schedule(1.0, "linear", 10, 10), {9: 1.0, 10: 1.0, 11: 0.0}),
    ],
)
def test_rates(schedule: Schedule, rates: dict[int, float]) -> None:
    for step, rate in rates.items():
        assert math.isclose(schedule.rate(step), rate, abs_tol=1e-12), step
