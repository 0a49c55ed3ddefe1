# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Some positions along a dimension of a tensor, as views of the tensor see them.

A view may merge the dimension with others: the first of 128 tokens, ``{0}`` along axis 1 of
``[8, 128, 384]``, is ``{0, 128, 256, …}`` along axis 0 of ``[1024, 384]``, and may split it again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class Positions:
    """Which elements of a tensor: those where the middle of ``[outer, size, inner]`` is one of ``chosen``.

    In its normal form, in which ``size`` is as small as it can be.
    """

    outer: int
    size: int
    chosen: tuple[int, ...]
    inner: int

    @staticmethod
    def of(shape: Sequence[int], axis: int, chosen: Collection[int]) -> "Positions":
        """The ``chosen`` positions, some but not all, along ``axis`` of a tensor of ``shape``."""
        outer, size, inner = prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])
        known = set(chosen)
        period = next(n for n in _divisors(size) if _repeats(known, n, size))
        first = {p for p in known if p < period}
        block = next(n for n in reversed(_divisors(period)) if _is_blocks(first, n))
        starts = tuple(sorted(p // block for p in first if p % block == 0))
        return Positions(outer * (size // period), period // block, starts, inner * block)

    def along(self, shape: Sequence[int]) -> tuple[int, tuple[int, ...]] | None:
        """Axis and positions along it that are the same elements of a view of ``shape``, or None."""
        if 0 in shape:
            return None
        for axis, size in enumerate(shape):
            outer, inner = prod(shape[:axis]), prod(shape[axis + 1 :])
            if self.outer % outer or self.inner % inner:
                continue
            repeats, block = self.outer // outer, self.inner // inner
            if repeats * self.size * block == size:
                return axis, tuple(
                    (r * self.size + p) * block + i
                    for r in range(repeats)
                    for p in self.chosen
                    for i in range(block)
                )
        return None


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def _repeats(chosen: set[int], period: int, size: int) -> bool:
    """Whether a set of positions below ``size`` repeats itself after every ``period``."""
    first = {p for p in chosen if p < period}
    return len(first) * (size // period) == len(chosen) and all(p % period in first for p in chosen)


def _is_blocks(chosen: set[int], block: int) -> bool:
    """Whether a set of positions consists of blocks of adjacent ones, each at a multiple of its length."""
    starts = {p // block for p in chosen}
    return len(starts) * block == len(chosen)
