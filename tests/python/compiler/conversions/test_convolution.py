# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Convolutions, their input gradients and their weight gradients, compiled and run."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pock.compiler.passes.convert_to_linalg import ConvertToLinalg

from .convolutions import Shape, case, shapes, with_channels_last
from .harness import TO_LINALG, check

DRAWN = settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
"""Each example is a module of many cases; shrinking one would take minutes."""

PLAIN = Shape(2, 8, 12, 1, (9, 8), (3, 3), (1, 1), (1, 1), (1, 1))


def drawn(transposed: bool) -> st.SearchStrategy[list[Shape]]:
    """Half of them with channels last."""
    return st.lists(shapes(transposed).filter(Shape.valid), min_size=10, max_size=10).map(
        lambda drawn: [with_channels_last(shape) if i % 2 else shape for i, shape in enumerate(drawn)]
    )


def check_shapes(cases: list[Shape]) -> None:
    with TemporaryDirectory() as folder:
        check([case(shape, seed) for seed, shape in enumerate(cases)], Path(folder))


def test_named_kinds(tmp_path: Path) -> None:
    """What networks are made of, and what iree-compile has failed on."""
    pointwise = replace(PLAIN, kernel=(1, 1), padding=(0, 0))
    depthwise = replace(PLAIN, channels=12, groups=12)
    short = replace(PLAIN, channels=32, filters=32, groups=32, padding=(0, 1))
    kinds = [
        PLAIN,
        replace(PLAIN, stride=(2, 2)),
        # A phase with fewer taps starts at another offset.
        replace(PLAIN, stride=(2, 2), padding=(0, 0)),
        replace(PLAIN, kernel=(5, 4), stride=(2, 3), padding=(2, 1)),
        replace(PLAIN, size=(14, 14), kernel=(7, 7), stride=(2, 2), padding=(3, 3), channels=3),
        # Taps times channels is no multiple of a vector, filters are.
        replace(PLAIN, size=(14, 14), kernel=(7, 7), stride=(2, 2), padding=(3, 3), channels=3, filters=64),
        replace(PLAIN, dilation=(2, 2), padding=(2, 2)),
        replace(PLAIN, groups=4),
        replace(PLAIN, groups=2, stride=(2, 1)),
        pointwise,
        replace(pointwise, stride=(2, 2)),
        replace(pointwise, groups=4),
        depthwise,
        replace(depthwise, stride=(2, 2)),
        replace(depthwise, filters=24),
        # Down to one position, from two: what is left of a dimension of size 1 confuses compilers.
        replace(depthwise, size=(2, 2), stride=(2, 2)),
        replace(PLAIN, size=(2, 2), stride=(2, 2)),
        replace(PLAIN, size=(1, 1)),
        replace(PLAIN, batch=1, size=(3, 3), padding=(0, 0)),
        # More images than have a weight gradient of their own.
        replace(depthwise, batch=33, channels=4, filters=4, groups=4, size=(4, 3)),
        # More taps than one loop has.
        replace(depthwise, filters=24, kernel=(6, 5)),
        # Short rows of which only the ends are padded: iree-compile did not end.
        replace(short, size=(9, 7)),
        replace(short, size=(9, 16), stride=(2, 2)),
    ]
    cases = [*(with_channels_last(shape) for shape in kinds), PLAIN, pointwise, depthwise]
    check([case(shape, seed) for seed, shape in enumerate(cases)], tmp_path)


def test_panels(tmp_path: Path) -> None:
    """Filters and patches that fill panels, and filters that do not."""
    wide = replace(PLAIN, channels=64, filters=96)
    pointwise = replace(wide, kernel=(1, 1), padding=(0, 0), channels=576)
    kinds = [
        wide,
        replace(wide, stride=(2, 2)),
        replace(wide, filters=72),
        replace(wide, size=(38, 31), batch=2),  # more positions than are copied the other way round
        replace(wide, groups=2),
        pointwise,
        replace(pointwise, stride=(2, 2)),
        replace(pointwise, filters=1024, batch=3),
    ]
    stages = [ConvertToLinalg(32) if isinstance(stage, ConvertToLinalg) else stage for stage in TO_LINALG]
    check(
        [case(with_channels_last(shape), seed) for seed, shape in enumerate(kinds)], tmp_path, stages=stages
    )


def test_half_precision(tmp_path: Path) -> None:
    """Sums of f16 and bf16 accumulate in f32: only the result is rounded."""
    wide = replace(PLAIN, batch=4, channels=64, size=(12, 12), bias=False)
    for dtype, tolerance in ((torch.float16, 2e-3), (torch.bfloat16, 1e-2)):
        kinds = [with_channels_last(wide), replace(wide, stride=(2, 2))]
        check([case(shape, dtype=dtype) for shape in kinds], tmp_path, tolerance)


@DRAWN
@given(drawn(transposed=False))
def test_drawn_convolutions(cases: list[Shape]) -> None:
    check_shapes(cases)


@DRAWN
@given(drawn(transposed=True))
def test_drawn_transposed_convolutions(cases: list[Shape]) -> None:
    check_shapes(cases)
