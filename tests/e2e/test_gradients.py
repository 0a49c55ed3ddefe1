# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The gradients of the benchmarks' networks at full size: as accurate as PyTorch's own in f32.

Both are compared with PyTorch's in f64. The default run covers one network; ``pytest -m slow`` runs the rest.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pock.benchmarks.workload import Built
from pock.benchmarks.workloads import WORKLOADS
from pock.compiler import Scheme, TrainingTask, compile_program, trace
from pock.compiler.frontend.modes import training_mode
from pock.compiler.optimizers import parse_optimizer
from pock.runtime import Trainer

RATE = 2.0**20
"""So high a rate that rounding a weight after the step loses nothing of its gradient."""

TIMES = 4
"""As many times PyTorch's own error may ours be, in the mean of tensors and at most."""

TRIES = 6
"""Inputs, of which one should have no such value near a kink."""

DEFAULT = ("bert-small", 8)
CASES = [
    pytest.param(name, batch, marks=() if (name, batch) == DEFAULT else pytest.mark.slow)
    for name in WORKLOADS
    for batch in (1, 8)
]


def gradients(built: Built, dtype: torch.dtype) -> dict[str, np.ndarray]:
    """PyTorch's, computed in ``dtype``, of every parameter that the loss depends on."""
    model = deepcopy(built.model).to(dtype)
    inputs = built.inputs.to(dtype) if built.inputs.is_floating_point() else built.inputs
    with training_mode(model, "frozen"):
        loss = built.loss(model(inputs), built.targets)
        named = dict(model.named_parameters())
        found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {name: g.double().numpy() for name, g in zip(named, found, strict=True) if g is not None}


@pytest.mark.parametrize(("name", "batch"), CASES)
def test_gradients_are_as_accurate_as_pytorchs(tmp_path: Path, name: str, batch: int) -> None:
    """Of one of some inputs: a value as near a kink as its rounding error makes a difference to all below."""
    built = WORKLOADS[name].build(batch)
    task = TrainingTask(built.model, (built.inputs,), (built.targets,), built.loss)
    compile_program(trace(task), Scheme.full(), parse_optimizer("sgd"), cores=2).save(tmp_path / "net.vmfb")
    trainer = Trainer(tmp_path / "net.vmfb")
    assert any(is_accurate(trainer, scaled) for scaled in inputs(built))


def inputs(built: Built) -> Iterator[Built]:
    """The workload's own, and some others if they are images."""
    yield built
    for i in range(1, TRIES if built.inputs.is_floating_point() else 1):
        yield replace(built, inputs=built.inputs * (1 - i / 16))


def is_accurate(trainer: Trainer, built: Built) -> bool:
    """Whether the gradients of a step, which is taken back, are."""
    state = trainer.state_dict()
    before = {key: value.astype(np.float64) for key, value in state.items()}
    trainer.step(built.inputs.numpy(), built.targets.numpy(), lr=RATE)
    after = trainer.state_dict()
    trainer.load_state_dict(state)
    exact, rounded = gradients(built, torch.float64), gradients(built, torch.float32)
    assert set(exact) <= set(before)
    ours, theirs = np.array(
        [
            [
                np.linalg.norm(value - g) / np.linalg.norm(g)
                for value in ((before[key] - after[key]) / RATE, rounded[key])
            ]
            for key, g in exact.items()
            if g.any()
        ]
    ).T
    assert len(ours) > 10
    return bool(ours.mean() <= TIMES * theirs.mean() and ours.max() <= TIMES * theirs.max())
