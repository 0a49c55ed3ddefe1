# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tile sizes for loops on CPUs: which loops get which, and that no size makes bad ones."""

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pock.targets import get_target
from pock.targets.cpu_tiling import _imbalance, _longest, tiling
from pock.targets.loops import LoopNest, Subscript, Tiling, plain

VECTOR_LIMIT = 32 * 1024
"""Bytes of the largest vector that IREE takes."""


def nest(spec: str, multiplies: bool = True, **sizes: int) -> LoopNest:
    """Loops from an einsum: those that the result lacks are reductions, ``"m k, k n -> m n"``.

    A term ``m*2+k`` is a composite subscript. Of several results the first counts.
    """
    left, rights = spec.split("->")
    right, *more = rights.split(",")
    names = list(sizes)

    def subscript(text: str) -> Subscript:
        terms = (term.partition("*") for term in text.split("+"))
        return tuple((names.index(name), int(times or 1)) for name, _, times in terms)

    inputs = tuple(tuple(map(subscript, operand.split())) for operand in left.split(","))
    output = tuple(map(subscript, right.split()))
    return LoopNest(
        sizes=tuple(sizes.values()),
        parallel=tuple(name in right.split() for name in names),
        inputs=inputs,
        output=output,
        multiplies=multiplies,
        more=tuple(tuple(map(subscript, operand.split())) for operand in more),
    )


def levels(found: Tiling) -> dict[str, list[int]]:
    """The tile sizes of each level, one a loop."""
    return {
        name: [int(n) for n in sizes.split(", ")]
        for name, sizes in re.findall(r"(\w+) = \[([\d, ]+)\]", found.lowering_config)
    }


def tiles(loops: LoopNest, vector_bytes: int = 64) -> dict[str, list[int]] | None:
    found = tiling(loops, vector_bytes)
    return None if found is None else levels(found)


# -- which loops get which ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "vector_bytes", "tile"),
    [(256, 64, [6, 64, 0]), (224, 64, [8, 32, 0]), (256, 32, [8, 16, 0])],
    ids=["24 of 32 registers", "columns that those do not divide", "16 registers"],
)
def test_a_product_keeps_as_much_of_the_result_as_there_are_registers(
    columns: int, vector_bytes: int, tile: list[int]
) -> None:
    assert tiles(nest("m k, k n -> m n", m=1024, n=columns, k=64), vector_bytes) == {
        "distribution": [128, columns, 0],
        "vector_common_parallel": tile,
        "vector_reduction": [0, 0, 4],
    }


@pytest.mark.parametrize(("rows", "peeled"), [(192, False), (128, True)])
def test_rows_that_the_widest_tile_leaves_over_are_peeled(rows: int, peeled: bool) -> None:
    found = tiling(nest("m k, k n -> m n", m=rows, n=256, k=64), 64, alone=True)
    assert found is not None and levels(found)["vector_common_parallel"] == [6, 64, 0]
    assert (levels(found)["distribution"][0] % 6 > 0) == found.peeled == peeled


@pytest.mark.parametrize("rows", [16, 8 * 197])
def test_few_rows_and_those_that_no_workgroup_divides_have_no_widest_tile(rows: int) -> None:
    found = tiles(nest("m k, k n -> m n", m=rows, n=256, k=64))
    assert found is not None and found["vector_common_parallel"] == [8, 32, 0]


def test_a_reduction_over_a_large_operand_is_blocked_and_the_workgroups_tile_bounded() -> None:
    assert tiles(nest("m k, k n -> m n", m=1024, n=1536, k=1024)) == {
        "distribution": [64, 64, 0],
        "cache_reduction": [0, 0, 256],
        "vector_common_parallel": [8, 32, 0],
        "vector_reduction": [0, 0, 4],
    }


def test_a_long_reduction_of_what_stays_in_the_cache_is_not_blocked() -> None:
    found = tiles(nest("m k, k n -> m n", m=1024, n=384, k=1536))
    assert found is not None and "cache_reduction" not in found
    assert found["distribution"] == [64, 64, 0]


def test_two_panels_are_read_from_beginning_to_end() -> None:
    assert tiles(nest("m k, p k l -> m p l", m=1024, p=48, l=32, k=1024)) == {
        "distribution": [128, 2, 32, 0],
        "vector_common_parallel": [6, 2, 32, 0],
        "vector_reduction": [0, 0, 0, 4],
    }


@pytest.mark.parametrize(("depth", "block"), [(3068, None), (4608, 768), (4000, 1000), (3074, None)])
def test_panels_larger_than_a_cache_are_read_block_by_block(depth: int, block: int | None) -> None:
    found = tiles(nest("m k, p k l -> m p l", m=1024, p=16, l=32, k=depth))
    assert found is not None and found["vector_common_parallel"] == [6, 2, 32, 0]
    assert found.get("cache_reduction") == (None if block is None else [0, 0, 0, block])


def test_panels_of_which_there_is_an_odd_number_are_read_one_by_one() -> None:
    assert tiles(nest("m k, p k l -> m p l", m=1024, p=125, l=32, k=512)) == {
        "distribution": [128, 1, 32, 0],
        "vector_common_parallel": [8, 1, 32, 0],
        "vector_reduction": [0, 0, 0, 4],
    }


@pytest.mark.parametrize(("panels", "span", "tile"), [(18, 2, [6, 2, 32, 0]), (15, 1, [8, 1, 32, 0])])
def test_panels_are_read_block_by_block_where_rows_on_the_left_are_far(
    panels: int, span: int, tile: list[int]
) -> None:
    assert tiles(nest("k m, p k l -> m p l", m=64, p=panels, l=32, k=8192)) == {
        "distribution": [64, span, 32, 0],
        "cache_reduction": [0, 0, 0, 64],
        "vector_common_parallel": tile,
        "vector_reduction": [0, 0, 0, 4],
    }


def test_far_rows_are_blocked_in_smaller_steps() -> None:
    found = tiles(nest("k m, k n -> m n", m=96, n=16, k=32768))
    assert found is not None and found["cache_reduction"] == [0, 0, 64]
    assert found["vector_common_parallel"] == [16, 16, 0]


@pytest.mark.parametrize(
    ("columns", "span", "tile"),
    [
        (24, 24, 16),  # one vector, and half a one
        (40, 40, 32),
        (56, 56, 16),  # 32 and 24 would be taken apart
        (112, 112, 32),
        (144, 144, 32),
        (336, 112, 32),
        (10, 10, 8),
        (12, 12, 8),
    ],
)
def test_columns_that_vectors_leave_over_are_peeled(columns: int, span: int, tile: int) -> None:
    found = tiling(nest("m k, k n -> m n", m=16, n=columns, k=64), 64)
    assert found is not None and found.peeled
    assert levels(found)["distribution"] == [16, span, 0]
    assert levels(found)["vector_common_parallel"] == [16 if tile < 32 else 8, tile, 0]


def test_whole_vectors_are_not_peeled() -> None:
    for columns in (8, 16, 32, 64, 96):
        found = tiling(nest("m k, k n -> m n", m=16, n=columns, k=64), 64)
        assert found is not None and not found.peeled


def test_a_few_rows_read_whole_rows_of_a_large_operand_block_by_block() -> None:
    found = tiling(nest("m k, k n -> m n", m=16, n=112, k=512), 64)
    assert found is not None and found.peeled
    assert levels(found) == {
        "distribution": [16, 112, 0],
        "cache_reduction": [0, 0, 64],
        "vector_common_parallel": [8, 32, 0],
        "vector_reduction": [0, 0, 4],
    }


def test_what_takes_less_time_than_telling_a_worker_is_not_cut_for_balance() -> None:
    assert workgroups(nest("m k, k n -> m n", m=64, n=256, k=63)) == 1
    assert workgroups(nest("m k, k n -> m n", m=64, n=256, k=64)) == 4


def test_a_batch_is_tiled_by_one() -> None:
    found = tiles(nest("b m k, b k n -> b m n", b=6, m=64, n=32, k=48))
    assert found is not None
    assert found["distribution"] == [1, 64, 32, 0] and found["vector_common_parallel"] == [1, 8, 32, 0]


def test_the_operands_of_a_product_may_be_exchanged() -> None:
    sizes = {"m": 64, "n": 96, "k": 40}
    assert tiles(nest("k n, m k -> m n", **sizes)) == tiles(nest("m k, k n -> m n", **sizes)) is not None


@pytest.mark.parametrize(("vector_bytes", "width"), [(16, 8), (32, 16), (64, 32)])
def test_tiles_are_as_wide_as_two_vectors(vector_bytes: int, width: int) -> None:
    found = tiles(nest("m k, k n -> m n", m=64, n=96, k=32), vector_bytes)
    assert found is not None and found["vector_common_parallel"] == [8, width, 0]


def test_a_row_times_a_matrix_keeps_eight_vectors_of_the_result() -> None:
    wanted = {
        "distribution": [1, 256, 0],
        "vector_common_parallel": [1, 128, 0],
        "vector_reduction": [0, 0, 4],
    }
    assert tiles(nest("m k, k n -> m n", m=1, n=1280, k=1000)) == wanted
    found = tiles(nest("m k, k n -> m n", m=3, n=1280, k=1000))
    assert found is not None and found["vector_common_parallel"] == [3, 32, 0]


@pytest.mark.parametrize(("rows", "tile"), [(3, 3), (7, 7), (8, 8), (12, 6), (16, 8)])
def test_a_few_rows_times_a_transposed_matrix_are_multiplied_by_squares_of_it(rows: int, tile: int) -> None:
    assert tiles(nest("m k, n k -> m n", m=rows, n=1024, k=1280)) == {
        "distribution": [tile, 64, 0],
        "vector_common_parallel": [tile, 8, 0],
        "vector_reduction": [0, 0, 8],
    }


@pytest.mark.parametrize(("depth", "part"), [(1280, 128), (960, 64), (96, 32), (600, 0)])
@pytest.mark.parametrize("rows", [1, 2])
def test_one_or_two_rows_times_a_transposed_matrix_are_dot_products(rows: int, depth: int, part: int) -> None:
    # Rows that are not made of vectors are multiplied by squares.
    tile, unrolled = ([1, 1, 0], part) if part else ([rows, 8, 0], 8)
    assert tiles(nest("m k, n k -> m n", m=rows, n=1024, k=depth)) == {
        "distribution": [rows, 64, 0],
        "vector_common_parallel": tile,
        "vector_reduction": [0, 0, unrolled],
    }


@pytest.mark.parametrize(
    "loops",
    [
        nest("m k, n k -> m n", m=64, n=64, k=64),  # rows of the right operand are not adjacent
        nest("m k, n k -> m n", m=8, n=50, k=64),  # not made of squares
        nest("m k, n k -> m n", m=8, n=64, k=50),
        nest("a b k, n k -> a b n", a=2, b=2, n=64, k=64),
        nest("b k, b k n -> b n", b=3, n=64, k=64),  # a matrix for each row
        nest("m k, k n -> n m", m=64, n=64, k=64, multiplies=False),
        nest("m k, k n -> m n", m=37, n=64, k=64),  # what no tile divides
        nest("m k, k n -> m n", m=64, n=5, k=64),  # less than half a vector
        nest("m k l, k l n -> m n", m=64, n=64, k=8, l=8),
        nest("m*2+k, k n -> m n", m=64, n=64, k=64),  # a convolution
        nest("m n -> m", multiplies=False, m=64, n=60),  # sums of rows of odd vectors
        nest("m n -> m", multiplies=False, m=64, n=2048),  # too long, and a power of two
        nest("m p l -> p m l", multiplies=False, m=64, p=4, l=48),  # panels of another width
        nest("m n -> m n", multiplies=False, m=64, n=64),
        nest("m n, k -> n", multiplies=False, m=64, n=64, k=3),
        nest("m n -> n", multiplies=False, m=64, n=53),
        nest("g m n -> g n", multiplies=False, g=3, m=64, n=64),
    ],
)
def test_other_loops_are_left_to_iree(loops: LoopNest) -> None:
    assert tiling(loops, 64) is None


@pytest.mark.parametrize(("columns", "part"), [(512, 512), (48, 48), (4000, 160), (1536, 96)])
def test_sums_of_rows_take_whole_rows_or_parts_that_are_no_power_of_two(columns: int, part: int) -> None:
    for inputs in ("m n", "m n, m n", "m n, m"):
        assert tiles(nest(f"{inputs} -> m", multiplies=False, m=1024, n=columns)) == {
            "distribution": [32, 0],
            "vector_common_parallel": [1, 0],
            "vector_reduction": [0, part],
        }


def test_copies_into_panels_take_a_few_rows_of_a_panel_at_once() -> None:
    assert tiles(nest("m p l -> p m l", multiplies=False, m=1024, p=44, l=32)) == {
        "distribution": [256, 1, 32],
        "vector_common_parallel": [4, 1, 32],
    }


def test_sums_of_columns_keep_eight_vectors() -> None:
    assert tiles(nest("m n -> n", multiplies=False, m=64, n=256)) == {
        "distribution": [0, 128],
        "vector_common_parallel": [0, 128],
        "vector_reduction": [1, 0],
    }
    # Of several dimensions at once, with a vector that each row is multiplied by, and of few columns.
    found = tiles(nest("b m n, n -> n", multiplies=False, b=3, m=9, n=16))
    assert found is not None and found["vector_reduction"] == [1, 1, 0]


@pytest.mark.parametrize(
    ("height", "width", "channels", "kernel", "stride", "tile", "taps"),
    [
        (56, 56, 144, 3, 1, [1, 1, 8, 16], 3),
        (28, 28, 240, 5, 1, [1, 1, 7, 16], 5),
        (7, 7, 1152, 5, 1, [1, 1, 7, 16], 5),
        (16, 16, 96, 3, 2, [1, 1, 8, 16], 3),
        (14, 14, 72, 3, 1, [1, 1, 7, 8], 3),  # vectors of half the size
        (3, 3, 96, 56, 1, [1, 1, 3, 16], 8),  # weight gradients: the image is the filter
        (5, 5, 96, 14, 1, [1, 1, 5, 16], 7),
        (3, 3, 96, 7, 1, [1, 1, 3, 16], 7),
    ],
)
def test_a_depthwise_convolution_takes_several_taps_at_once(
    height: int, width: int, channels: int, kernel: int, stride: int, tile: list[int], taps: int
) -> None:
    sizes = {"n": 2, "h": height, "w": width, "c": channels, "a": kernel, "b": kernel}
    found = tiles(nest(f"n h*{stride}+a w*{stride}+b c, a b c -> n h w c", **sizes))
    assert found is not None
    assert found["vector_common_parallel"] == [*tile, 0, 0] and found["vector_reduction"] == [0] * 4 + [
        1,
        taps,
    ]
    n, h, w, c, *rest = found["distribution"]
    assert (n, w, rest) == (1, width, [0, 0]) and height % h == 0 and channels % c == 0 and c <= 96


@pytest.mark.parametrize(
    "loops",
    [
        nest("n h+a w+b c, a b c -> n h w c", n=2, h=16, w=16, c=12, a=3, b=3),  # less than half a vector
        nest("n h+a w+b c, a b c -> n h w c", n=2, h=11, w=11, c=32, a=3, b=3),  # what nothing divides
        nest("n h+a w+b c, a b c -> n h w c", n=2, h=3, w=3, c=32, a=11, b=11),
        nest("n h+a w+b c, a b c -> n h w c", n=2, h=3, w=3, c=32, a=7, b=1),
        nest("n h+a w+b c, b a c -> n h w c", n=2, h=16, w=16, c=32, a=3, b=3),
        nest("n h+a w+b c, a b c -> n h w c", False, n=2, h=16, w=16, c=32, a=3, b=3),
        nest("n c h+a w+b, c a b -> n c h w", n=2, c=32, h=16, w=16, a=3, b=3),  # channels first
    ],
)
def test_other_depthwise_convolutions_are_left_to_iree(loops: LoopNest) -> None:
    assert tiling(loops, 64) is None


def test_an_update_beside_sums_over_rows_reads_wide_tiles() -> None:
    """Of one row, tiles of four vectors and four rows; of more, some rows at a time across the workgroup."""
    assert tiles(nest("n k, n, k -> k, n k", k=1280, n=1000)) == {
        "distribution": [256, 0],
        "vector_common_parallel": [64, 0],
        "vector_reduction": [0, 4],
    }
    assert tiles(nest("n k, n, n, k, k -> k, k, n k", k=1280, n=1000)) == {
        "distribution": [640, 0],
        "cache_reduction": [0, 20],
        "vector_common_parallel": [64, 0],
        "vector_reduction": [0, 1],
    }
    eight = tiles(nest(f"n k, n -> {'k, ' * 8}n k", k=1280, n=1001))
    assert (
        eight is not None and eight["vector_common_parallel"] == [32, 0] and eight["cache_reduction"][1] == 13
    )


@pytest.mark.parametrize(
    "loops",
    [
        nest("n k -> k, n k", k=1279, n=1000),
        nest("n k -> k, k n", k=64, n=64),
        nest("n k -> k, n", k=64, n=64),
        nest("m n k -> m k, m n k", m=2, k=64, n=64),
        nest("n k -> n k, n k", k=64, n=64),
    ],
)
def test_other_loops_with_several_results_are_left_to_iree(loops: LoopNest) -> None:
    assert tiling(loops, 64) is None


def test_arithmetic_on_a_transposed_tensor_is_done_by_squares() -> None:
    squares = {"distribution": [56, 56], "vector_common_parallel": [8, 8]}
    assert tiles(nest("m n, n m -> m n", m=336, n=56)) == squares
    assert tiles(nest("m n, n m, m n -> m n, m n", m=336, n=56)) == squares
    assert tiles(nest("m n, n m -> m n", m=336, n=56), 16) == {**squares, "vector_common_parallel": [4, 4]}
    assert tiles(nest("b m n, n b m -> b m n", b=3, m=16, n=16)) == {
        "distribution": [1, 16, 16],
        "vector_common_parallel": [1, 8, 8],
    }


def test_a_transposition_reads_far_along_rows() -> None:
    copied = nest("n m -> m n", m=1408, n=1024)
    assert tiles(copied) == {"distribution": [352, 64], "vector_common_parallel": [16, 16]}
    assert tiles(nest("p l k -> p k l", p=44, k=512, l=32)) == {
        "distribution": [1, 512, 32],
        "vector_common_parallel": [1, 16, 16],
    }
    assert tiles(copied, vector_bytes=32) is None


@pytest.mark.parametrize(
    "loops",
    [
        nest("n m -> m n", m=64, n=24),  # a transposition alone, of odd squares, and of few elements
        nest("n m -> m n", m=32, n=32),
        nest("m n, m n -> m n", m=64, n=64),
        nest("m n, n -> m n", m=64, n=64),
        nest("m n, n m -> m n", m=64, n=9),
        nest("a m n, m n a, n a m -> a m n", a=8, m=8, n=8),
    ],
)
def test_other_arithmetic_is_left_to_iree(loops: LoopNest) -> None:
    assert tiling(loops, 64) is None


# -- how many workgroups there are -------------------------------------------------------------


@given(st.integers(1, 300), st.integers(1, 9))
def test_workers_take_eight_workgroups_where_there_are_eight_for_each_and_else_one(
    workgroups: int, workers: int
) -> None:
    taken = 1 if workgroups < 8 * workers else 8
    done, left = [0] * workers, workgroups
    while left:
        done[done.index(min(done))] += min(taken, left)
        left -= min(taken, left)
    assert _longest(workgroups, workers) == max(done)


@pytest.mark.parametrize(
    ("workgroups", "two", "four"),
    [
        (1, 2, 4),
        (3, 4 / 3, 4 / 3),
        (4, 1, 1),
        (24, 4 / 3, 1),
        (48, 1, 4 / 3),
        (64, 1, 1),
        (72, 10 / 9, 4 / 3),
    ],
)
def test_the_imbalance_is_the_mean_of_one_two_and_four_workers(
    workgroups: int, two: float, four: float
) -> None:
    assert _imbalance(workgroups, (1, 2, 4)) == pytest.approx((1 + two + four) / 3)


def workgroups(loops: LoopNest) -> int:
    found = tiles(loops)
    assert found is not None
    spans = zip(loops.sizes, found["distribution"], strict=True)
    return math.prod(-(-size // span) for size, span in spans if span)


@pytest.mark.parametrize(
    ("loops", "count"),
    [
        (nest("m k, k n -> m n", m=1536, n=384, k=1024), 32),  # not 24, as with 128 rows
        (nest("m k, p k l -> m p l", m=384, p=48, l=32, k=1024), 96),  # not 72
        (nest("m k, p k l -> m p l", m=1408, p=16, l=32, k=1024), 64),  # not 88
        (nest("m k, k n -> m n", m=128, n=160, k=960), 4),  # not 1
        (nest("k m, k n -> m n", m=96, n=16, k=32768), 2),  # not 1; of 4, rows were too short
        (nest("m k, n k -> m n", m=8, n=1000, k=1280), 125),  # not 25
        (nest("n h+a w+b c, a b c f -> n h w f", n=1, h=28, w=28, f=64, a=3, b=3, c=64), 4),
        (nest("n h+a w+b c, a b c f -> n h w f", n=3, h=8, w=8, f=64, a=3, b=3, c=64), 12),  # not 3
        # Workgroups that are large enough for all to be busy are not made smaller.
        (nest("m k, k n -> m n", m=1024, n=512, k=512), 16),
        (nest("b m k, b k n -> b m n", b=64, m=128, n=128, k=64), 64),
        # Two panels that are read once more cost as much as they gain.
        (nest("m k, p k l -> m p l", m=512, p=44, l=32, k=1024), 88),
    ],
)
def test_there_are_as_many_workgroups_as_keep_workers_busy(loops: LoopNest, count: int) -> None:
    assert workgroups(loops) == count


def test_a_worker_alone_is_not_given_more_workgroups_for_balance() -> None:
    loops = nest("k m, k n -> m n", m=96, n=16, k=32768)
    shared, alone = tiling(loops, 64), tiling(loops, 64, alone=True)
    assert shared is not None and levels(shared)["distribution"] == [48, 16, 0]
    assert alone is not None and levels(alone)["distribution"] == [96, 16, 0]
    convolution = nest("n h+a w+b c, a b c f -> n h w f", n=1, h=8, w=8, f=64, a=3, b=3, c=64)
    found = [tiling(convolution, 64, alone) for alone in (False, True)]
    assert [levels(each)["distribution"][1] for each in found if each] == [2, 8]


def test_more_rows_than_enough_are_taken_for_the_sake_of_balance_only() -> None:
    for m, rows in ((1024, 128), (1408, 176), (4224, 132), (640, 160)):
        found = tiles(nest("m k, p k l -> m p l", m=m, p=16, l=32, k=256))
        assert found is not None and found["distribution"] == [rows, 2, 32, 0], m


def test_the_attribute_is_one_that_iree_reads() -> None:
    from iree.compiler import ir

    found = tiling(nest("m k, k n -> m n", m=64, n=1024, k=1024), 64)
    peeled = tiling(nest("m k, k n -> m n", m=16, n=24, k=64), 64)
    assert found is not None and peeled is not None
    with ir.Context():
        assert "cache_reduction = [0, 0, 256]" in str(ir.Attribute.parse(found.compilation_info))
        assert "enable_loop_peeling" in str(ir.Attribute.parse(peeled.compilation_info))


def test_only_cpus_choose() -> None:
    loops = nest("m k, k n -> m n", m=64, n=64, k=64)
    assert get_target("cpu").tiling(loops, 64) == tiling(loops, 64) is not None
    for name in ("vulkan:adreno", "cuda:sm_87", "metal"):
        assert get_target(name).tiling(loops, 64) is None


# -- whatever the sizes ------------------------------------------------------------------------


@st.composite
def sizes(draw: Any) -> int:
    """From single elements to large ones, many divisible by what vectors have."""
    return draw(st.integers(1, 9)) * draw(st.sampled_from([1, 1, 2, 4, 8, 16, 48, 64, 512, 1000]))


@st.composite
def nests(draw: Any) -> LoopNest:
    """Products and sums with any order of subscripts and any number of dimensions that are shared."""
    panels = ["p"] if draw(st.booleans()) else []
    roles = {name: draw(sizes()) for name in ["m", "n", "k", *panels]}
    batch = [f"b{i}" for i in range(draw(st.integers(0, 2)))]
    for name in batch:
        roles[name] = draw(st.integers(1, 4))
    order = draw(st.permutations(list(roles)))

    def subscripts(names: list[str]) -> str:
        return " ".join(draw(st.permutations(names)) if draw(st.booleans()) else names)

    inputs = [subscripts([*batch, "m", "k"]), subscripts([*batch, *panels, "k", "n"])]
    if draw(st.booleans()):
        inputs = draw(st.permutations(inputs))
    output = [*batch, "m", *panels, "n"]
    multiplies = draw(st.booleans())
    if not multiplies:
        inputs, output = [subscripts(["m", "k", "n"])], ["n"]
        order = [name for name in order if name in ("m", "k", "n")]
    spec = f"{', '.join(inputs)} -> {' '.join(output)}"
    return nest(spec, multiplies, **{name: roles[name] for name in order})


@given(nests(), st.sampled_from([4, 8, 16]))
def test_tiles_divide_the_loops_and_each_other(loops: LoopNest, lanes: int) -> None:
    tiled = tiling(loops, 4 * lanes)
    if tiled is None:
        return
    found = levels(tiled)
    across = found["vector_common_parallel"]
    # Columns of a product may end within a tile, and rows of one within the widest.
    column = loops.output[-1][0][0]
    cut = {d for d, tile in enumerate(across) if d == column or tile == 6} if loops.multiplies else set()
    for level in found.values():
        assert len(level) == len(loops.sizes)
        pairs = enumerate(zip(loops.sizes, level, strict=True))
        assert all(size % tile == 0 for d, (size, tile) in pairs if tile and d not in cut)
    for d, (whole, part) in enumerate(zip(found["distribution"], across, strict=True)):
        parallel = loops.parallel[d]
        assert (whole > 0) == (part > 0) == parallel
        if parallel and whole % part:
            # What is left over has code of its own; of columns it is one vector.
            assert tiled.peeled and (d != column or (whole % part).bit_count() == 1)
    blocks = found.get("cache_reduction", list(loops.sizes))
    for block, step, parallel in zip(blocks, found["vector_reduction"], loops.parallel, strict=True):
        assert (step > 0) == (not parallel)
        assert parallel or block % step == 0


@given(nests(), st.sampled_from([4, 8, 16]))
def test_what_is_accumulated_fits_vectors(loops: LoopNest, lanes: int) -> None:
    """Also the tile that a workgroup keeps between the blocks of a reduction."""
    found = tiles(loops, 4 * lanes)
    if found is None:
        return
    kept = found["distribution" if "cache_reduction" in found else "vector_common_parallel"]
    output = plain(loops.output)
    assert output is not None and 4 * math.prod(kept[d] for d in output) <= VECTOR_LIMIT


@given(nests(), st.data())
def test_composite_subscripts_are_left_to_iree(loops: LoopNest, data: Any) -> None:
    which = data.draw(st.integers(0, len(loops.inputs) - 1))
    place = data.draw(st.integers(0, len(loops.inputs[which]) - 1))
    terms = loops.inputs[which][place]
    changed = data.draw(st.sampled_from([((terms[0][0], 2),), (*terms, (loops.reductions[0], 1))]))
    operand = (*loops.inputs[which][:place], changed, *loops.inputs[which][place + 1 :])
    inputs = (*loops.inputs[:which], operand, *loops.inputs[which + 1 :])
    strided = LoopNest(loops.sizes, loops.parallel, inputs, loops.output, loops.multiplies)
    assert tiling(strided, 64) is None
