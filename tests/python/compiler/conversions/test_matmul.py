# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Products of matrices and permutations, with panels and without."""

from pathlib import Path

import pytest
import torch

from pock.compiler.passes.convert_to_linalg import ConvertToLinalg

from .harness import TO_LINALG, Case, check, vtensor


def product_case(
    m: int, n: int, k: int, swapped: str = "", dtype: torch.dtype = torch.float32, bias: int = 0
) -> Case:
    """``[m, k]`` times ``[k, n]``; operands in ``swapped`` (``l``, ``r``) are given transposed.

    With ``bias``, so many times a vector is added, and the sum is returned twice, once negated.
    """
    generator = torch.Generator().manual_seed(m * n + k)
    sizes = (m, k), (k, n), (n,)
    left, right, vector = (torch.randn(size, generator=generator).to(dtype) for size in sizes)
    given = [x.t().contiguous() if side in swapped else x for x, side in ((left, "l"), (right, "r"))]
    built = Case([*given, vector], note=f"product {m} {n} {k} {swapped} {dtype}, bias {bias}")
    names = [
        built.value(f"torch.aten.t %a{i} : {vtensor(given[i])} -> {vtensor(x)}")
        if side in swapped
        else f"%a{i}"
        for i, (x, side) in enumerate(((left, "l"), (right, "r")))
    ]
    exact, bound = left.double() @ right.double(), left.double().abs() @ right.double().abs()
    type_ = vtensor(exact.to(dtype))
    y = built.value(f"torch.aten.mm {', '.join(names)} : {vtensor(left)}, {vtensor(right)} -> {type_}")
    if bias:
        types = f"{type_}, {vtensor(vector)}, !torch.int -> {type_}"
        y = built.value(f"torch.aten.add.Tensor {y}, %a2, {built.int(bias)} : {types}")
        exact, bound = exact + bias * vector.double(), bound + abs(bias) * vector.double().abs()
        negated = built.value(f"torch.aten.neg {y} : {type_} -> {type_}")
        built.returns(negated, -exact.to(dtype), bound)
    built.returns(y, exact.to(dtype), bound)
    return built


def permute_case(size: tuple[int, ...], order: tuple[int, ...]) -> Case:
    x = torch.arange(float(torch.Size(size).numel())).reshape(size)
    built = Case([x], note=f"permute {size} {order}")
    dims = ", ".join(built.int(d) for d in order)
    types = ", ".join(["!torch.int"] * len(order))
    axes = built.value(f"torch.prim.ListConstruct {dims} : ({types}) -> !torch.list<int>")
    expected = x.permute(order).contiguous()
    y = built.value(f"torch.aten.permute %a0, {axes} : {vtensor(x)}, !torch.list<int> -> {vtensor(expected)}")
    built.returns(y, expected)
    return built


@pytest.mark.parametrize("panel", [0, 16, 32])
def test_products(tmp_path: Path, panel: int) -> None:
    """Large enough for copies and panels, and too small; columns that fill panels, and that do not."""
    stages = [ConvertToLinalg(panel) if isinstance(s, ConvertToLinalg) else s for s in TO_LINALG]
    cases = [
        product_case(64, 384, 256, "r"),
        product_case(33, 320, 257, "r"),
        product_case(64, 100, 512, "r"),
        product_case(7, 384, 256, "r"),
        product_case(40, 1536, 384, "l"),
        product_case(130, 1024, 520, "lr"),
        product_case(128, 1024, 512),
        product_case(129, 1000, 525),
        product_case(256, 256, 512),
        product_case(48, 64, 4000, "r"),
        product_case(40, 64, 300, "lr"),
        product_case(64, 256, 256, "r", torch.bfloat16),
        product_case(64, 384, 256, "r", bias=1),
        product_case(64, 384, 256, "r", bias=3),
        product_case(7, 384, 256, "r", bias=1),
    ]
    check(cases, tmp_path, stages=stages)


def test_permutations(tmp_path: Path) -> None:
    """Exactly, with and without a copy of their own."""
    check(
        [
            permute_case((4, 40, 6, 32), (0, 2, 3, 1)),
            permute_case((4, 40, 6, 32), (0, 2, 1, 3)),
            permute_case((160, 130), (1, 0)),
            permute_case((3, 5), (1, 0)),
            permute_case((40, 1, 30, 20), (-1, -2, 1, 0)),
        ],
        tmp_path,
        tolerance=0.0,
    )
