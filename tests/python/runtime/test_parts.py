# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tensors in the parts that ranks have of them."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pock.runtime.metadata import Division
from pock.runtime.parts import joined, part, part_shape

DTYPES = [np.dtype(t) for t in ("float32", "int64", "bool", ml_dtypes.bfloat16)]


@st.composite
def divided(draw: st.DrawFn) -> tuple[np.ndarray, Division, int]:
    """An array, how it is divided, and among how many."""
    axis, blocks, count = (draw(st.integers(low, high)) for low, high in ((0, 3), (1, 3), (2, 4)))
    shape = draw(st.lists(st.integers(1, 3), min_size=axis + 1, max_size=4))
    shape[axis] *= blocks * count
    array = np.arange(np.prod(shape)).reshape(shape).astype(draw(st.sampled_from(DTYPES)))
    if draw(st.booleans()):
        array = np.asfortranarray(array)
    return array, Division(axis, blocks), count


@given(divided())
def test_parts_are_slices_of_each_block_and_make_up_the_whole(
    case: tuple[np.ndarray, Division, int],
) -> None:
    array, division, count = case
    parts = [part(array, division, count, rank) for rank in range(count)]
    for rank, own in enumerate(parts):
        blocks = np.split(array, division.blocks, division.axis)
        wanted = [np.split(block, count, division.axis)[rank] for block in blocks]
        assert np.array_equal(own, np.concatenate(wanted, division.axis))
        assert own.shape == part_shape(array.shape, division, count)
        assert own.dtype == array.dtype
    whole = joined(parts, division)
    assert whole.dtype == array.dtype
    assert np.array_equal(whole, array)


@pytest.mark.parametrize(
    ("blocks", "wanted"), [(1, [[0, 1, 2, 3], [4, 5, 6, 7]]), (2, [[0, 1, 4, 5], [2, 3, 6, 7]])]
)
def test_a_part_of_each_block(blocks: int, wanted: list[list[int]]) -> None:
    assert [part(np.arange(8), Division(0, blocks), 2, rank).tolist() for rank in (0, 1)] == wanted


def test_what_is_not_divided_is_whole_for_each() -> None:
    array = np.arange(3)
    assert part(array, None, 2, 1) is array
    assert part_shape((3, 4), None, 2) == (3, 4)
