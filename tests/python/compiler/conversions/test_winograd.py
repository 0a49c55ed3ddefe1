# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Convolutions with 3 x 3 taps by Winograd's algorithm, their gradients, compiled and run."""

import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_mlir import ir

from pock.compiler.conversions import winograd
from pock.compiler.opt import Stage, parse_module
from pock.compiler.passes.convert_to_linalg import ConvertToLinalg
from pock.compiler.torch_ir import is_computed_from_constants
from pock.dialects import sparsebp

from .convolutions import Shape, case, with_channels_last
from .harness import TO_LINALG, Case, check, lower
from .test_convolution import DRAWN

PLAIN = Shape(2, 32, 64, 1, (7, 9), (3, 3), (1, 1), (1, 1), (1, 1), bias=False)


def stages(panel: int = 0, least: int = 1) -> list[Stage]:
    """With as few tiles as there may be, but for ``least``."""
    convert = ConvertToLinalg(panel, least)
    return [convert if isinstance(stage, ConvertToLinalg) else stage for stage in TO_LINALG]


def products(shape: Shape, panel: int = 0, least: int = 1) -> int:
    """How many times there are sixteen products of matrices: forward, input and weight gradient."""
    text = lower("module {\n" + case(shape).function("f") + "}\n", stages(panel, least))
    return len(re.findall(r"\"reduction\"\]\} ins\([^)]* : tensor<16x\w+>, tensor<16x\w+>\)", text))


def drawn(shape: Shape, seed: int) -> Case:
    """A case whose errors are in proportion to the largest values, not to those of an element alone."""
    built = case(shape, seed)
    for result in built.results:
        result.scale = result.scale.max().expand(result.scale.shape)
    return built


def test_kinds(tmp_path: Path) -> None:
    """Odd sizes, paddings, panels or none, with channels last and by PyTorch's own operation."""
    for panel, filters in ((0, 40), (32, 64)):
        plain = replace(PLAIN, filters=filters)
        kinds = [
            with_channels_last(plain),
            with_channels_last(replace(plain, size=(3, 4), padding=(0, 2), batch=3)),
            with_channels_last(replace(plain, size=(1, 2))),
            with_channels_last(replace(plain, size=(12, 10), channels=96)),
            plain,
        ]
        assert all(products(kind, panel) == 3 for kind in kinds)
        cases = [drawn(kind, seed) for seed, kind in enumerate(kinds)]
        check(cases, tmp_path, tolerance=1e-6, stages=stages(panel))


@DRAWN
@given(
    st.lists(
        st.builds(
            replace,
            st.just(with_channels_last(PLAIN)),
            batch=st.integers(1, 3),
            channels=st.sampled_from([32, 33, 48, 64]),
            filters=st.sampled_from([32, 35, 64, 96]),
            size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
            padding=st.tuples(st.integers(1, 3), st.integers(1, 3)),
        ),
        min_size=5,
        max_size=5,
    )
)
def test_drawn_convolutions(shapes: list[Shape]) -> None:
    assert all(products(shape, panel=32) for shape in shapes)
    with TemporaryDirectory() as folder:
        cases = [drawn(shape, seed) for seed, shape in enumerate(shapes)]
        check(cases, Path(folder), tolerance=1e-6, stages=stages(panel=32))


@pytest.mark.parametrize(
    ("shape", "least", "expected"),
    [
        (PLAIN, 40, 3),
        (PLAIN, 41, 0),
        (PLAIN, 0, 0),
        (replace(PLAIN, channels=31), 1, 0),
        (replace(PLAIN, stride=(2, 1)), 1, 0),
        (replace(PLAIN, groups=2), 1, 0),
        (replace(PLAIN, kernel=(3, 5), padding=(1, 2)), 1, 0),
        (replace(PLAIN, size=(9,), kernel=(3,), stride=(1,), padding=(1,), dilation=(1,)), 1, 0),
    ],
)
def test_when_it_is_faster(shape: Shape, least: int, expected: int) -> None:
    assert products(with_channels_last(shape), least=least) == expected


def test_transformed_tensors_are_not_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    elements = 16 * 40 * (PLAIN.channels + PLAIN.filters)
    monkeypatch.setattr(winograd, "MOST_ELEMENTS", elements)
    assert products(with_channels_last(PLAIN)) == 3
    monkeypatch.setattr(winograd, "MOST_ELEMENTS", elements - 1)
    assert products(with_channels_last(PLAIN)) == 0


def test_the_transforms_are_a_convolution() -> None:
    """In exact arithmetic: the algorithm's identity, which no tolerance hides."""
    given, taps, output = (np.array(m) for m in (winograd.INPUT, winograd.FILTER, winograd.OUTPUT))
    rng = np.random.default_rng(0)
    d, g = rng.integers(-9, 9, (4, 4)), rng.integers(-9, 9, (3, 3))
    computed = output @ ((taps @ g @ taps.T) * (given @ d @ given.T)) @ output.T
    expected = torch.nn.functional.conv2d(torch.tensor(d)[None, None], torch.tensor(g)[None, None])[0, 0]
    assert computed.tolist() == expected.tolist()


def test_what_is_computed_from_constants() -> None:
    """Also what a loop reads from outside of its body counts."""
    module = parse_module(
        """
        func.func @f(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
          %c = arith.constant dense<1.0> : tensor<4xf32>
          %e = tensor.empty() : tensor<4xf32>
          %s = arith.addf %c, %c : tensor<4xf32>
          %read = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
              outs(%e : tensor<4xf32>) {
          ^bb0(%o: f32):
            %i = linalg.index 0 : index
            %v = tensor.extract %x[%i] : tensor<4xf32>
            linalg.yield %v : f32
          } -> tensor<4xf32>
          %own = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
              iterator_types = ["parallel"]} ins(%s : tensor<4xf32>) outs(%e : tensor<4xf32>) {
          ^bb0(%a: f32, %o: f32):
            %v = arith.addf %a, %a : f32
            linalg.yield %v : f32
          } -> tensor<4xf32>
          return %s, %read, %own : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
        }
        """,
        sparsebp.context(),
    )
    block = module.body.operations[0].regions[0].blocks[0]
    returned: list[ir.Value] = list(list(block.operations)[-1].operation.operands)
    assert [is_computed_from_constants(value) for value in returned] == [True, False, True]
    assert not is_computed_from_constants(block.arguments[0])
