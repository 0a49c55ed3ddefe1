# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``save`` changes no value, of whatever type."""

from pathlib import Path

import torch

from .harness import Case, check, vtensor


def save_case(x: torch.Tensor) -> Case:
    built = Case([x], note=f"save {vtensor(x)}")
    saved = built.value(f'"sparsebp.save"(%a0) : ({vtensor(x)}) -> {vtensor(x)}')
    built.returns(saved, x, torch.zeros(x.shape))
    return built


def test_save(tmp_path: Path) -> None:
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    check([save_case(value) for value in (x, x.half(), x > 0, x.mul(9).long(), x.sum())], tmp_path)
