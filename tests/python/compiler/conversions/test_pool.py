# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Pooling and its gradients, compiled and run."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from hypothesis import given
from hypothesis import strategies as st

from .harness import Case, check, vtensor
from .pools import Pool, adaptive_case, avg_pool_case, max_pool_case, pools
from .test_convolution import DRAWN


def drawn(dilated: bool) -> st.SearchStrategy[list[Pool]]:
    """Half of them with channels last."""
    return st.lists(pools(dilated).filter(Pool.valid), min_size=10, max_size=10).map(
        lambda drawn: [replace(pool, channels_last=i % 4 > 1) for i, pool in enumerate(drawn)]
    )


@DRAWN
@given(drawn(dilated=True))
def test_max_pool(cases: list[Pool]) -> None:
    """With distinct values and with many equal ones, of which the first takes the gradient."""
    with TemporaryDirectory() as folder:
        check([max_pool_case(pool, i, few_values=i % 2 == 0) for i, pool in enumerate(cases)], Path(folder))


@DRAWN
@given(drawn(dilated=False))
def test_avg_pool(cases: list[Pool]) -> None:
    with TemporaryDirectory() as folder:
        check([avg_pool_case(pool, i) for i, pool in enumerate(cases)], Path(folder))


def test_adaptive_avg_pool(tmp_path: Path) -> None:
    """Where the sizes divide, and where windows overlap."""
    sizes = [((8, 6), (4, 3)), ((7, 7), (1, 1)), ((7, 5), (3, 2)), ((5, 5), (5, 5)), ((4, 6), (3, 6))]
    check([adaptive_case(2, size, out) for size, out in sizes], tmp_path)


def test_max_pool_of_special_values(tmp_path: Path) -> None:
    """Minus infinity everywhere: the gradient goes to the first position inside, not to padding."""
    x = torch.full((1, 1, 4, 4), float("-inf"))
    y, indices = torch.ops.aten.max_pool2d_with_indices(x, [3, 3], [2, 2], [1, 1])
    grad = torch.ones_like(y)
    built = Case([x, grad], note="max_pool of -inf")
    window = "{kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, "
    window += "dilation = array<i64: 1, 1>}"
    positions = vtensor(indices.to(torch.int32))
    argmax = built.value(f'"sparsebp.max_pool_argmax"(%a0) {window} : ({vtensor(x)}) -> {positions}')
    back = built.value(
        f'"sparsebp.max_pool_grad"(%a1, {argmax}) {window} : ({vtensor(grad)}, {positions}) -> {vtensor(x)}'
    )
    arguments = ([3, 3], [2, 2], [1, 1], [1, 1], False, indices)
    built.returns(back, torch.ops.aten.max_pool2d_with_indices_backward(grad, x, *arguments))
    check([built], tmp_path)


def test_pools_without_batch(tmp_path: Path) -> None:
    """PyTorch pools ``[C, H, W]`` too."""
    check([_without_batch(max_pool_case(_PLAIN)), _without_batch(avg_pool_case(_PLAIN))], tmp_path)


_PLAIN = Pool(1, 3, (6, 5), (2, 2), (2, 1), (0, 1), (1, 1))


def _without_batch(built: Case) -> Case:
    """A case of batch 1 with the batch dimension taken out of every type and value."""
    inputs = [t.squeeze(0) for t in built.inputs]
    case = Case(inputs, f"{built.note} without batch", [line.replace("<[1,", "<[") for line in built.body])
    case.results = [replace(r, expected=r.expected[0], scale=r.scale[0]) for r in built.results]
    return case


def test_adaptive_max_pool(tmp_path: Path) -> None:
    """Where the sizes divide; where not, iree-compile would be given an operation that it does not know."""
    x = torch.randn(2, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    y, indices = torch.ops.aten.adaptive_max_pool2d(x, [3, 2])
    grad = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    built = Case([x, grad], note="adaptive_max_pool")
    size = built.ints([3, 2])
    built.body.append(
        f"%p:2 = torch.aten.adaptive_max_pool2d %a0, {size} : {vtensor(x)}, !torch.list<int> -> "
        f"{vtensor(y)}, {vtensor(indices)}"
    )
    back = built.value(
        f'torch.operator "torch.aten.adaptive_max_pool2d_backward"(%a1, %a0, %p#1) : '
        f"({vtensor(grad)}, {vtensor(x)}, {vtensor(indices)}) -> {vtensor(x)}"
    )
    built.returns("%p#0", y)
    built.returns(back, torch.ops.aten.adaptive_max_pool2d_backward(grad, x, indices))
    check([built], tmp_path)
