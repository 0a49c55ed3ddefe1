# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Positions along a dimension are the same elements in every view that has them along one."""

from itertools import pairwise
from math import prod

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pock.compiler.analysis.positions import Positions


def _marked(shape: tuple[int, ...], axis: int, chosen: tuple[int, ...]) -> np.ndarray:
    marks = np.zeros(shape, bool)
    marks[(slice(None),) * axis + (list(chosen),)] = True
    return marks


@given(data=st.data())
def test_views_have_the_same_elements(data: st.DataObject) -> None:
    factors = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))

    def grouped() -> tuple[int, ...]:
        cuts = [i for i in range(1, len(factors)) if data.draw(st.booleans())]
        return tuple(prod(factors[a:b]) for a, b in pairwise([0, *cuts, len(factors)]))

    shape, view = grouped(), grouped()
    assume(max(shape) > 1)
    axis = data.draw(st.sampled_from([i for i, size in enumerate(shape) if size > 1]))
    each = st.integers(0, shape[axis] - 1)
    chosen = tuple(sorted(data.draw(st.sets(each, min_size=1, max_size=shape[axis] - 1))))
    positions, marks = Positions.of(shape, axis, chosen), _marked(shape, axis, chosen)
    assert positions.along(shape) is not None
    found = positions.along(view)
    if found is not None:
        np.testing.assert_array_equal(_marked(view, *found), marks.reshape(view))
        assert Positions.of(view, *found) == positions
    else:
        # There is none: along no dimension are all of a position's elements marked, or none.
        for a in range(len(view)):
            rows = np.moveaxis(marks.reshape(view), a, 0).reshape(view[a], -1)
            assert not all(row.all() or not row.any() for row in rows)


@pytest.mark.parametrize(
    ("shape", "axis", "chosen", "view", "found"),
    [
        ((4, 8, 6), 1, (0,), (32, 6), (0, (0, 8, 16, 24))),
        ((32, 6), 0, (0, 8, 16, 24), (4, 8, 2, 3), (1, (0,))),
        ((4, 6), 1, (2, 3), (4, 3, 2), (1, (1,))),
        ((4, 6), 1, (1, 2), (4, 3, 2), None),
        ((4, 6), 1, (1,), (0, 6), None),
    ],
)
def test_dimensions_merge_and_split(
    shape: tuple[int, ...],
    axis: int,
    chosen: tuple[int, ...],
    view: tuple[int, ...],
    found: tuple[int, tuple[int, ...]] | None,
) -> None:
    assert Positions.of(shape, axis, chosen).along(view) == found
