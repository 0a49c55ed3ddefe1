# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Five steps that cores share by the channels of layers against PyTorch, and predictions."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pock.compiler import (
    SGD,
    AdamW,
    Optimizer,
    Scheme,
    TrainingProgram,
    TrainingTask,
    UsageError,
    compile_program,
    trace,
)  # fmt: skip
from pock.compiler.analysis import ranks
from pock.runtime import Trainer
from tests.e2e import zoo
from tests.e2e.check import Torch, batches_like, check_training

_TASKS: dict[str, Callable[[], TrainingTask]] = {
    "convolutions": lambda: TrainingTask(
        zoo.settle(zoo.ConvNet()), (torch.randn(2, 3, 16, 20),), (torch.tensor([0, 4]),), F.cross_entropy
    ),
    "wide convolutions": lambda: TrainingTask(
        zoo.settle(zoo.WideNet()), (torch.randn(1, 3, 24, 24),), (torch.tensor([3]),), F.cross_entropy
    ),
    "dropout": lambda: TrainingTask(
        zoo.MLP(), (torch.randn(6, 12),), (torch.tensor([0, 1, 2, 3, 1, 2]),), F.cross_entropy
    ),
    "encoder": lambda: TrainingTask(
        zoo.Transformer(width=64, heads=4),
        (torch.arange(16).view(2, 8) % 31,),
        (torch.tensor([0, 2]),),
        F.cross_entropy,
    ),
    "tied": lambda: TrainingTask(
        zoo.TiedLanguageModel(),
        (torch.arange(12).view(2, 6) % 13,),
        (torch.arange(12).view(2, 6) % 13,),
        lambda logits, targets: F.cross_entropy(logits.transpose(1, 2), targets),
    ),
}

_SPARSE = Scheme.from_yaml("""
version: 1
rules:
  - {match: "*", update: none}
  - {match: "*.bias", update: full}
  - {match: "expand.weight", update: {channels: 0.5}}
  - {match: "project.weight", update: full}
  - {match: "classifier.*", update: full}
""")

_OPTIMIZERS: dict[str, tuple[Optimizer, Torch]] = {
    "momentum": (SGD(momentum=0.9), partial(torch.optim.SGD, lr=0.01, momentum=0.9)),
    "adamw": (AdamW(), partial(torch.optim.AdamW, lr=0.01)),
}


@pytest.fixture(autouse=True)
def _exchanges_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models as small as these would not be divided."""
    monkeypatch.setattr(ranks, "_EXCHANGE", 0.0)
    monkeypatch.setattr(ranks, "_EXCHANGED", 1e18)


@cache
def _traced(name: str) -> tuple[TrainingTask, TrainingProgram]:
    torch.manual_seed(0)
    task = _TASKS[name]()
    return task, trace(task)


@pytest.mark.parametrize(
    ("name", "count", "optimizer", "scheme"),
    [
        ("convolutions", 2, "momentum", Scheme.full()),
        ("convolutions", 4, "adamw", _SPARSE),
        ("wide convolutions", 2, "adamw", Scheme.full()),
        ("dropout", 2, "momentum", Scheme.full()),
        ("encoder", 2, "momentum", Scheme.full()),
        ("tied", 2, "adamw", Scheme.full()),
    ],
)
def test_training_is_pytorchs(tmp_path: Path, name: str, count: int, optimizer: str, scheme: Scheme) -> None:
    task, program = _traced(name)
    ours, theirs = _OPTIMIZERS[optimizer]
    artifact = check_training(tmp_path, task, scheme, ours, theirs, program=program, ranks=count)
    metadata = artifact.metadata["ranks"]
    # Nothing of 13 words is divided by two but what is computed of them.
    assert metadata["count"] == count and (any(metadata["state"]) or name == "tied")


def test_what_is_trained_on_more_cores_goes_on_on_one(tmp_path: Path) -> None:
    """Checkpoints know no ranks, and predictions are those of the undivided program."""
    task, program = _traced("convolutions")
    paths = [tmp_path / "one.vmfb", tmp_path / "two.vmfb"]
    for count, path in enumerate(paths, 1):
        compile_program(program, optimizer=SGD(momentum=0.9), ranks=count).save(path)
    one, two = map(Trainer, paths)
    first, second, third = ([v.numpy() for v in (*x, *y)] for x, y in batches_like(task, 3))
    two.step(*first, lr=0.01)
    two.save(tmp_path / "state.safetensors")
    one.load_checkpoint(tmp_path / "state.safetensors")
    np.testing.assert_allclose(one.predict(first[0]), two.predict(first[0]), rtol=1e-4, atol=1e-6)
    losses = [trainer.step(*second, lr=0.01) for trainer in (one, two)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    one.save(tmp_path / "state.safetensors")
    two.load_checkpoint(tmp_path / "state.safetensors")
    evaluated = [trainer.evaluate(*third) for trainer in (one, two)]
    np.testing.assert_allclose(evaluated[0][0], evaluated[1][0], rtol=1e-5)
    for name, value in one.state_dict(optimizer=True).items():
        np.testing.assert_array_equal(value, two.state_dict(optimizer=True)[name], err_msg=name)


def test_nothing_to_divide_is_an_ordinary_program() -> None:
    model, x = torch.nn.Linear(3, 5), torch.randn(1, 3)
    program = trace(TrainingTask(model, (x,), (torch.tensor([0]),), F.cross_entropy))
    assert "ranks" not in compile_program(program, ranks=2).metadata


def test_ranks_and_clipping_are_refused() -> None:
    _, program = _traced("dropout")
    with pytest.raises(UsageError, match="leave out ranks or clip_grad_norm"):
        compile_program(program, optimizer=SGD(clip_grad_norm=1.0), ranks=2)
