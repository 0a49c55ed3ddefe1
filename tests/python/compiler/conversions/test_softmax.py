# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Softmax, and attention's, whose rows may be masked from end to end."""

import math
from pathlib import Path

import torch

from .harness import Case, check, vtensor


def extremes(x: torch.Tensor) -> torch.Tensor:
    """``x``, of at least seven rows, with rows of -inf, NaN, inf, and numbers that overflow."""
    rows = x.reshape(-1, x.shape[-1])
    rows[1], rows[2, 1:], rows[3, 0], rows[4, 2] = -math.inf, -math.inf, math.nan, math.inf
    rows[5], rows[6] = rows[5] + 1e4, rows[6] - 1e4
    return x


def softmax_case(size: tuple[int, ...], dim: int, safe: bool, dtype: torch.dtype = torch.float32) -> Case:
    """``softmax``, where ``safe`` with zeros for rows of -inf."""
    generator = torch.Generator().manual_seed(sum(size))
    x = extremes(torch.randn(size, generator=generator)).to(dtype)
    built = Case([x], note=f"softmax {size} {dim} {safe} {dtype}")
    expected = torch.softmax(x, dim)
    axis, type_ = built.int(dim), vtensor(x)
    types = f"{type_}, !torch.int, !torch.bool -> {type_}"
    y = built.value(f"torch.aten._softmax %a0, {axis}, {built.bool(False)} : {types}")
    if safe:
        every = (x == -math.inf).all(dim, keepdim=True)
        expected = torch.where(every, torch.zeros_like(expected), expected)
        low = built.value("torch.constant.float 0xFFF0000000000000")
        bits, row = vtensor(x == 0), vtensor(every)
        is_low = built.value(f"torch.aten.eq.Scalar %a0, {low} : {type_}, !torch.float -> {bits}")
        types = f"{bits}, !torch.int, !torch.bool -> {row}"
        all_low = built.value(f"torch.aten.all.dim {is_low}, {axis}, {built.bool(True)} : {types}")
        none = built.none()
        operands = f"{y}, {built.int(0)}, {none}, {none}, {none}, {none}, {none}"
        types = f"{type_}, !torch.int{', !torch.none' * 5} -> {type_}"
        zeros = built.value(f"torch.aten.full_like {operands} : {types}")
        types = f"{row}, {type_}, {type_} -> {type_}"
        y = built.value(f"torch.aten.where.self {all_low}, {zeros}, {y} : {types}")
    built.returns(y, expected)
    return built


def test_softmax(tmp_path: Path) -> None:
    """Along the last dimension and others, of any length, with what is not finite as PyTorch has it."""
    check(
        [
            softmax_case((7, 10), 1, False),
            softmax_case((7, 10), 1, True),
            softmax_case((2, 3, 5, 128), -1, True),
            softmax_case((2, 3, 5, 128), 3, False),
            softmax_case((8, 1000), -1, True),
            softmax_case((9, 33), 0, False),
        ],
        tmp_path,
    )


def test_half_precision(tmp_path: Path) -> None:
    """Sums are of f32, and the result is rounded once."""
    check(
        [
            softmax_case((7, 300), -1, True, torch.bfloat16),
            softmax_case((7, 300), -1, False, torch.float16),
        ],
        tmp_path,
        tolerance=8e-3,
    )
