# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tensors in the parts that ranks have of them."""

from collections.abc import Sequence

import numpy as np

from .device import Array
from .metadata import Division


def part_shape(shape: Sequence[int], division: Division | None, count: int) -> tuple[int, ...]:
    """The shape of what each of ``count`` ranks has of a tensor of ``shape``."""
    if division is None:
        return tuple(shape)
    axis = division.axis
    return (*shape[:axis], shape[axis] // count, *shape[axis + 1 :])


def part(array: Array, division: Division | None, count: int, rank: int) -> Array:
    """What ``rank`` of ``count`` has of ``array``."""
    if division is None:
        return array
    before, behind = array.shape[: division.axis], array.shape[division.axis + 1 :]
    blocks = array.reshape(*before, division.blocks, count, -1, *behind)
    own = blocks.take(rank, axis=division.axis + 1)
    return own.reshape(part_shape(array.shape, division, count))


def joined(parts: Sequence[Array], division: Division) -> Array:
    """The tensor of which ``parts`` are what the ranks have, in order."""
    axis, shape = division.axis, parts[0].shape
    blocks = [array.reshape(*shape[:axis], division.blocks, -1, *shape[axis + 1 :]) for array in parts]
    whole = (*shape[:axis], shape[axis] * len(parts), *shape[axis + 1 :])
    return np.stack(blocks, axis + 1).reshape(whole)
