# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Training of layers with a few rows, whose input gradient and update are one dispatch, against PyTorch."""

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pock.compiler import SGD, Adam, AdamW, Lion, Optimizer, Scheme, TrainingProgram, TrainingTask, trace
from pock.compiler.pipeline import Emit, emit
from tests.e2e.check import Torch, check_training
from tests.e2e.lion import Lion as TorchLion

WIDTH = 256


class Head(nn.Module):
    """Three layers of as many weights: pointwise convolutions behind a pooling layer, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(WIDTH, WIDTH, 1)
        self.second = nn.Conv2d(WIDTH, WIDTH, 1, bias=False)
        self.classifier = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.first(x.mean((2, 3), keepdim=True)))
        return self.classifier(self.second(x).relu().flatten(1))


def _task(rows: int) -> TrainingTask:
    torch.manual_seed(3)
    return TrainingTask(
        Head(), (torch.randn(rows, WIDTH, 3, 3),), (torch.randint(0, WIDTH, (rows,)),), F.cross_entropy
    )


@cache
def _traced(rows: int) -> TrainingProgram:
    return trace(_task(rows))


def _fused(rows: int, scheme: Scheme, optimizer: Optimizer) -> int:
    """How many weights a step updates where it sums their rows."""
    loops = emit(_traced(rows), Emit.LINALG, scheme, optimizer).split("linalg.generic")
    updated = f"tensor<{WIDTH}x{WIDTH}xf32>"
    headers = [loop.partition("^bb0")[0].partition("outs(") for loop in loops]
    return sum('["parallel", "reduction"]' in loop and updated in outs for loop, _, outs in headers)


def _sgd(lr: float, **options: float | bool) -> Torch:
    return lambda leaves: torch.optim.SGD(leaves, lr=lr, **options)  # type: ignore[arg-type]


_CASES: list[tuple[int, Optimizer, Torch]] = [
    (1, SGD(), _sgd(0.001)),
    (
        3,
        SGD(momentum=0.9, nesterov=True, weight_decay=0.01),
        _sgd(0.001, momentum=0.9, nesterov=True, weight_decay=0.01),
    ),
    (1, Adam(amsgrad=True), lambda leaves: torch.optim.Adam(leaves, lr=0.001, amsgrad=True)),
    (8, AdamW(weight_decay=0.1), lambda leaves: torch.optim.AdamW(leaves, lr=0.001, weight_decay=0.1)),
    (2, Lion(), lambda leaves: TorchLion(leaves, lr=0.001)),
]


@pytest.mark.parametrize(
    ("rows", "optimizer", "torch_optimizer"), _CASES, ids=[f"{type(o).__name__}-{n}" for n, o, _ in _CASES]
)
def test_the_old_weight_makes_the_gradient(
    rows: int, optimizer: Optimizer, torch_optimizer: Torch, tmp_path: Path
) -> None:
    """The first layer has no input gradient; the weights of the others are updated with theirs, in place."""
    full, program = Scheme.full(), _traced(rows)
    assert _fused(rows, full, optimizer) == 2
    artifact = check_training(
        tmp_path, _task(rows), full, optimizer, torch_optimizer, program=program, lr=0.001, tolerance=1e-3
    )
    assert not artifact.metadata["memory"]["copied_state"]


def test_what_waits_for_all_gradients_or_is_frozen_is_apart(tmp_path: Path) -> None:
    """Clipping needs every gradient before it changes the first weight."""
    first = Scheme.from_dict({"version": 1, "rules": [{"match": "first.*", "update": "full"}]})
    assert _fused(2, first, SGD()) == 0
    clipped = SGD(clip_grad_norm=0.1)
    assert _fused(2, Scheme.full(), clipped) == 0
    check_training(tmp_path, _task(2), Scheme.full(), clipped, _sgd(0.01), program=_traced(2))
