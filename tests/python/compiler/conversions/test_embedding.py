# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Embedding look-ups and their gradient."""

from collections.abc import Sequence
from pathlib import Path

import torch

from .harness import Case, check, vtensor


def embedding_case(
    rows: int,
    width: int,
    size: Sequence[int],
    distinct: int,
    padding_idx: int = -1,
    scale: bool = False,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> Case:
    """Look-up of ``size`` indices, of which ``distinct`` differ, and its gradient."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn((rows, width), generator=generator).to(dtype)
    indices = torch.randperm(rows, generator=generator)[
        torch.randint(0, distinct, tuple(size), generator=generator)
    ]
    y = torch.ops.aten.embedding(weight, indices)
    grad = torch.randn(y.shape, generator=generator).to(dtype)
    built = Case([weight, indices, grad], note=f"embedding {rows} {width} {size} {distinct} {padding_idx}")
    tail = ", ".join([built.int(padding_idx), built.bool(scale), built.bool(False)])
    types = "!torch.int, !torch.bool, !torch.bool"
    found = built.value(
        f"torch.aten.embedding %a0, %a1, {tail} : {vtensor(weight)}, {vtensor(indices)}, {types} "
        f"-> {vtensor(y)}"
    )
    tail = ", ".join([built.int(rows), built.int(padding_idx), built.bool(scale)])
    back = built.value(
        f"torch.aten.embedding_dense_backward %a2, %a1, {tail} : {vtensor(grad)}, {vtensor(indices)}, "
        f"!torch.int, !torch.int, !torch.bool -> {vtensor(weight)}"
    )
    arguments = (indices, rows, padding_idx, scale)
    exact, bound = (
        torch.ops.aten.embedding_dense_backward(g, *arguments) for g in (grad.double(), grad.double().abs())
    )
    built.returns(found, y)
    built.returns(back, exact.to(dtype), bound)
    return built


def slice_case(rows: int, width: int, count: int, first: int, kept: int) -> Case:
    """The gradient of the rows ``[first, first + kept)`` of a table only."""
    generator = torch.Generator().manual_seed(3)
    indices = torch.randint(0, rows, (count,), generator=generator)
    grad = torch.randn((count, width), generator=generator)
    built = Case([grad, indices], note=f"embedding_grad rows {first}, {kept} of {rows}")
    exact, bound = (
        torch.ops.aten.embedding_dense_backward(g, indices, rows, -1, False)[first : first + kept]
        for g in (grad, grad.abs())
    )
    back = built.value(
        f'"sparsebp.embedding_grad"(%a0, %a1) {{first_row = {first} : i64, padding_idx = -1 : i64, '
        f"scale_grad_by_freq = false}} : ({vtensor(grad)}, {vtensor(indices)}) -> {vtensor(exact)}"
    )
    built.returns(back, exact, bound)
    return built


def test_embedding(tmp_path: Path) -> None:
    """Few rows and many, each index once and one index everywhere, padding, frequencies, slices of rows."""
    check(
        [
            embedding_case(2, 8, (3, 5), 2),
            embedding_case(10, 7, (4,), 10, padding_idx=3),
            embedding_case(700, 24, (2, 33), 700),
            embedding_case(700, 24, (2, 33), 1),
            embedding_case(700, 5, (64,), 6, padding_idx=0),
            embedding_case(300, 5, (64,), 6, scale=True),
            embedding_case(30, 5, (64,), 6, scale=True),
            embedding_case(300, 4, (1,), 1),
            embedding_case(300, 4, (), 1),
            embedding_case(300, 16, (40,), 3, dtype=torch.float32, seed=5),
            slice_case(50, 6, 30, 10, 20),
            slice_case(900, 6, 300, 100, 600),
        ],
        tmp_path,
    )


def test_accumulates_in_f32(tmp_path: Path) -> None:
    """Four thousand f16 gradients of one row."""
    check([embedding_case(300, 8, (4096,), 1, dtype=torch.float16)], tmp_path, tolerance=1e-3)
