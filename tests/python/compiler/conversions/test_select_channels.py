# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``select_channels`` along every dimension, as a range and as a list."""

from collections.abc import Sequence
from pathlib import Path

import torch

from .harness import Case, check, vtensor


def select_case(
    size: Sequence[int], axis: int, kind: str, indices: Sequence[int], dtype: torch.dtype
) -> Case:
    x = torch.randn(tuple(size), generator=torch.Generator().manual_seed(0)).to(dtype)
    chosen = list(range(*indices)) if kind == "range" else list(indices)
    expected = x.index_select(axis, torch.tensor(chosen))
    built = Case([x], note=f"select {kind} {indices} of dimension {axis} of {size}")
    mask = f'#sparsebp.mask<"{kind}", "c", array<i64: {", ".join(map(str, indices))}>>'
    built.returns(
        built.value(
            f'"sparsebp.select_channels"(%a0) {{axis = {axis} : i64, mask = {mask}}} : '
            f"({vtensor(x)}) -> {vtensor(expected)}"
        ),
        expected,
        torch.zeros_like(expected),
    )
    return built


def test_select_channels(tmp_path: Path) -> None:
    masks = [("range", (1, 3)), ("list", (0, 2)), ("list", (3,)), ("list", (0, 1, 3))]
    cases = [
        select_case((4, 5, 6, 7), axis, kind, indices, dtype)
        for axis in range(4)
        for kind, indices in masks
        for dtype in (torch.float32, torch.float16)
    ]
    check(cases, tmp_path)
