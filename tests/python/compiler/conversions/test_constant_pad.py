# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``constant_pad_nd`` with amounts of either sign: a crop is the gradient of a padding."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import functional as F

from .harness import Case, check, vtensor


def pad_case(size: Sequence[int], amounts: Sequence[int], value: float) -> Case:
    x = torch.randn(tuple(size), generator=torch.Generator().manual_seed(0))
    expected = F.pad(x, list(amounts), value=value)
    built = Case([x], note=f"pad {size} by {amounts} with {value}")
    fill = built.value(f"torch.constant.float {value:e}")
    operands = f"%a0, {built.ints(amounts)}, {fill}"
    built.returns(
        built.value(
            f"torch.aten.constant_pad_nd {operands} : {vtensor(x)}, !torch.list<int>, !torch.float -> "
            f"{vtensor(expected)}"
        ),
        expected,
    )
    return built


def test_constant_pad(tmp_path: Path) -> None:
    amounts = [(1, 2), (-1, -1), (-1, 2, 3, -2), (0, 1, 0, 1), (0, -1, 0, -1), (1, 0, -1, 0, 2, 1)]
    check([pad_case((2, 3, 5, 6), given, value) for given in amounts for value in (0.0, -1.5)], tmp_path)
