# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What is computed of frozen weights alone is computed once, when the program is loaded."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from pock.compiler import SGD, Scheme, TrainingTask, trace
from pock.compiler.codegen import _COMMON_FLAGS
from pock.compiler.pipeline import Emit, emit
from tests.e2e import zoo
from tests.python.compiler.conversions.harness import CPU, compile_module


def flow(task: TrainingTask, folder: Path, rules: list[dict[str, object]]) -> str:
    """The program where IREE has formed dispatches."""
    scheme = Scheme.from_dict({"version": 1, "rules": rules})
    text = emit(trace(task), Emit.LINALG, scheme, SGD())
    return compile_module(text, folder, [*CPU, *_COMMON_FLAGS, "--compile-to=flow"]).read_text()


def step(module: str) -> str:
    """The text of the function that trains."""
    return module[module.index("func public @step(") :].split("\n  }\n")[0]


def computed_of_constants(body: str) -> list[str]:
    """The dispatches that read nothing but what the program carries."""
    constant = set(
        re.findall(r"(%\S+) = (?:util\.global\.load|arith\.constant|flow\.tensor\.constant)", body)
    )
    found = []
    for name, operands in re.findall(r"flow\.dispatch @\w+::@(\w+)\((.*?)\) :", body):
        given = [operand.split(" as ")[0].strip() for operand in operands.split(",") if operand.strip()]
        if given and all(operand in constant for operand in given):
            found.append(name)
    return found


def transformer() -> TrainingTask:
    return TrainingTask(
        zoo.Transformer(vocabulary=64, width=128, layers=2),
        (torch.randint(0, 64, (16, 8)),),
        (torch.randint(0, 3, (16,)),),
        F.cross_entropy,
    )


def convolutions() -> TrainingTask:
    return TrainingTask(
        zoo.settle(zoo.WideNet()), (torch.randn(2, 3, 24, 24),), (torch.tensor([3, 0]),), F.cross_entropy
    )


def strided() -> TrainingTask:
    """The input gradient has a filter for each phase."""
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 256, 1),
        torch.nn.Conv2d(256, 160, 3, stride=2, padding=1),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
    )
    return TrainingTask(model, (torch.randn(2, 3, 8, 8),), (torch.tensor([3, 0]),), F.cross_entropy)


@pytest.mark.parametrize(
    ("task", "trained", "copied"),
    [
        (transformer, "layers.1.fc2.*", "transpose_16x32x128"),
        (convolutions, "reduce.bias", "transpose_17x32x64"),
        # The transformed filter of a 3 x 3 convolution is larger than the filter, and is kept once.
        (convolutions, "reduce.bias", "elementwise_broadcast_16x2x64x32"),
        (strided, "0.bias", "elementwise_broadcast_8x2x2x5120"),
    ],
)
def test_a_step_computes_nothing_of_frozen_weights_alone(
    tmp_path: Path, task: Callable[[], TrainingTask], trained: str, copied: str
) -> None:
    module = flow(task(), tmp_path, [{"match": trained, "update": "full"}])
    body = step(module)
    assert "util.global.load" in body and body.count("flow.dispatch @") > 10
    assert not computed_of_constants(body)
    # The packing is there, outside of the step.
    assert copied in module and copied not in body


def test_such_a_dispatch_would_be_found() -> None:
    body = """
    %w = util.global.load immutable @w : tensor<4x4xf32>
    %0 = flow.dispatch @d0::@pack(%w) : (tensor<4x4xf32>) -> tensor<4x4xf32>
    %1 = flow.dispatch @d1::@product(%x, %0) : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>"""
    assert computed_of_constants(body) == ["pack"]
