# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The arithmetic of the tables."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        low, median, high = np.percentile(values, [25, 50, 75])
        return Spread(float(median), float(low), float(high))


def ratios(peer: Sequence[Sequence[float]], own: Sequence[Sequence[float]]) -> list[float]:
    """Round by round, how many times longer the peer's median step took.

    Both are the times of each round; what slows the machine for a while slows both of a round.
    """
    return [float(np.median(p) / np.median(o)) for p, o in zip(peer, own, strict=True)]


def geometric_mean(values: Sequence[float]) -> float:
    """Of positive numbers; not a number if there are none."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def difference(losses: Sequence[float], reference: Sequence[float]) -> float:
    """The largest relative difference of two sequences of losses; infinite where one is not finite."""
    pairs = list(zip(losses, reference, strict=True))
    if not all(math.isfinite(value) for pair in pairs for value in pair):
        return math.inf
    return max(abs(a - b) / max(abs(b), 1e-6) for a, b in pairs)
