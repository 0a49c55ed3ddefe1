# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Six steps whose batch is divided among cores against PyTorch, and against the same program on one core."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pock.compiler import (
    SGD,
    AdamW,
    Optimizer,
    Scheme,
    TrainingProgram,
    TrainingTask,
    compile_program,
    trace,
)  # fmt: skip
from pock.runtime import Trainer
from tests.e2e import zoo
from tests.e2e.check import Torch, batches_like, check_training


class Head(nn.Module):
    """Layers whose weight gradients are larger than what they are made of; of one, the input is an output."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.classifier = nn.Linear(40, 64), nn.Linear(64, 48)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.tanh(self.features(x))
        return self.classifier(x), x


_TASKS: dict[str, Callable[[], TrainingTask]] = {
    "head": lambda: TrainingTask(
        Head(), (torch.randn(8, 40),), (torch.arange(8) * 5,), lambda y, t: F.cross_entropy(y[0], t)
    ),
    "convolutions": lambda: TrainingTask(
        zoo.settle(zoo.ConvNet()),
        (torch.randn(4, 3, 16, 20),),
        (torch.tensor([0, 1, 2, 4]),),
        F.cross_entropy,
    ),
    "wide convolutions": lambda: TrainingTask(
        zoo.settle(zoo.WideNet()),
        (torch.randn(4, 3, 24, 24),),
        (torch.tensor([3, 0, 1, 1]),),
        F.cross_entropy,
    ),
    "encoder": lambda: TrainingTask(
        zoo.FirstToken(), (torch.arange(32).view(4, 8) % 31,), (torch.tensor([0, 1, 2, 2]),), F.cross_entropy
    ),
    "tied": lambda: TrainingTask(
        zoo.TiedLanguageModel(),
        (torch.arange(24).view(4, 6) % 13,),
        (torch.arange(24).view(4, 6) % 13,),
        lambda logits, targets: F.cross_entropy(logits.transpose(1, 2), targets),
    ),
    "regression": lambda: TrainingTask(
        nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 4)),
        (torch.randn(6, 12),),
        (torch.randn(6, 4),),
        F.mse_loss,
    ),
}

_SPARSE = Scheme.from_yaml("""
version: 1
rules:
  - {match: "*", update: none}
  - {match: "*.bias", update: full}
  - {match: "expand.weight", update: {channels: 0.5}}
  - {match: "classifier.*", update: full}
""")

_OPTIMIZERS: dict[str, tuple[Optimizer, Torch]] = {
    "momentum": (SGD(momentum=0.9), partial(torch.optim.SGD, lr=0.01, momentum=0.9)),
    "adamw, clipped": (AdamW(clip_grad_norm=0.5), partial(torch.optim.AdamW, lr=0.01)),
}


@cache
def _traced(name: str) -> tuple[TrainingTask, TrainingProgram]:
    torch.manual_seed(0)
    task = _TASKS[name]()
    return task, trace(task)


@pytest.mark.parametrize(
    ("name", "shards", "optimizer", "scheme"),
    [
        ("convolutions", 2, "momentum", Scheme.full()),
        ("convolutions", 4, "adamw, clipped", _SPARSE),
        ("wide convolutions", 2, "momentum", Scheme.full()),
        ("encoder", 2, "momentum", Scheme.full()),
        ("tied", 2, "momentum", Scheme.full()),
        ("regression", 3, "momentum", Scheme.full()),
        ("head", 4, "adamw, clipped", Scheme.full()),
    ],
)
def test_training_is_pytorchs(tmp_path: Path, name: str, shards: int, optimizer: str, scheme: Scheme) -> None:
    task, program = _traced(name)
    ours, theirs = _OPTIMIZERS[optimizer]
    artifact = check_training(tmp_path, task, scheme, ours, theirs, program=program, shards=shards)
    assert artifact.metadata["shards"]["count"] == shards and not artifact.notes


def test_one_core_computes_the_same_bits(tmp_path: Path) -> None:
    task, program = _traced("convolutions")
    path = tmp_path / "model.vmfb"
    compile_program(program, optimizer=SGD(momentum=0.9), shards=2).save(path)
    trainers = [Trainer(path), Trainer(path, device="local-sync")]
    for inputs, targets in batches_like(task, 3):
        losses = {t.step(*(v.numpy() for v in (*inputs, *targets)), lr=0.01) for t in trainers}
        assert len(losses) == 1
        np.testing.assert_array_equal(trainers[0].outputs[0], trainers[1].outputs[0])
    first, second = (t.state_dict() for t in trainers)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)
