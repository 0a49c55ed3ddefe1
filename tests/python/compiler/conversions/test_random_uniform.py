# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``random_uniform`` is what the reference in numpy computes, to the last bit."""

from pathlib import Path

import numpy as np
import torch

from tests.philox import random_uniform, random_words

from .harness import Case, check, vtensor

_SCALAR = "!torch.vtensor<[],si64>"


def draw(case: Case, shape: tuple[int, ...], seed: int, step: int, stream: int) -> tuple[str, torch.Tensor]:
    """The numbers of a draw in ``case``, whose first arguments are seed and step, and what they must be."""
    expected = torch.from_numpy(random_uniform(seed, step, stream, shape))
    name = case.value(
        f'"sparsebp.random_uniform"(%a0, %a1) {{stream = {stream} : i64}} : ({_SCALAR}, {_SCALAR}) '
        f"-> {vtensor(expected)}"
    )
    return name, expected


def uniform_case(shape: tuple[int, ...], seed: int, step: int, stream: int) -> Case:
    case = Case([torch.tensor(seed), torch.tensor(step)], note=f"random_uniform {shape} {seed} {step}")
    case.returns(*draw(case, shape, seed, step, stream))
    return case


def product_case(shape: tuple[int, ...]) -> Case:
    """Numbers that are drawn where a matrix product is scaled by them: in tiles of two dimensions."""
    a, b = torch.arange(12.0).reshape(3, 4), torch.arange(20.0).reshape(4, 5)
    product = a @ b
    case = Case([torch.tensor(3), torch.tensor(4), a, b], note=f"mm * random_uniform {shape}")
    type_ = vtensor(product)
    name = case.value(f"torch.aten.mm %a2, %a3 : {vtensor(a)}, {vtensor(b)} -> {type_}")
    drawn, numbers = draw(case, shape, 3, 4, 5)
    scaled = case.value(f"torch.aten.mul.Tensor {name}, {drawn} : {type_}, {vtensor(numbers)} -> {type_}")
    case.returns(scaled, product * numbers)
    return case


def test_random_uniform(tmp_path: Path) -> None:
    cases = [
        uniform_case((3, 5, 7), 0, 0, 0),
        uniform_case((64, 33), 1234567890123456789, 7, 3),
        uniform_case((6,), -1, 2**40 + 5, 2**31 + 9),
        uniform_case((), 42, 1, 2),
        uniform_case((2, 1, 1, 1), 42, 1, 2),
        product_case((3, 1)),
        product_case((3, 5)),
    ]
    check(cases, tmp_path, tolerance=0.0)


def test_numbers_are_in_the_unit_interval() -> None:
    """Of the largest word too, which a conversion to f32 would round up."""
    assert np.float32((0xFFFFFFFF >> 8) * 2.0**-24) < 1
    numbers, words = (f(11, 2, 1, (4096,)) for f in (random_uniform, random_words))
    assert numbers.dtype == np.float32 and numbers.min() >= 0 and numbers.max() < 1
    np.testing.assert_array_equal(numbers.astype(np.float64) * 2**24, words >> 8)
    assert abs(numbers.mean() - 0.5) < 0.02
