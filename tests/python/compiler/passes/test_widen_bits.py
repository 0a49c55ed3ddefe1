# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Programs whose narrow integers are stored wide: callers see the same, to the bit."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pock.compiler import SGD, TrainingProgram, TrainingTask, compile_program, trace
from pock.runtime import Trainer
from pock.targets.cpu import CPU
from tests.e2e import zoo

STEPS = 3


@dataclass(frozen=True)
class WideCPU(CPU):
    """This machine, as if it stored no integers narrower than ``width`` bits."""

    width: int = 16

    @property
    def storage_bits(self) -> int:
        return self.width


class Narrow(nn.Module):
    """Truth values and bytes wherever a program may have them: inputs, outputs, constants and state."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)
        self.register_buffer("fixed", torch.arange(8) % 3 > 0)
        self.register_buffer("last", torch.zeros(4, 8, dtype=torch.bool))
        self.register_buffer("count", torch.full((4, 8), 120, dtype=torch.int8))

    def forward(self, x: Tensor, mask: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y = torch.where(self.fixed & mask, self.fc(x), self.count.float() / 100) + pixels.float() / 255
        if self.training:
            self.last.copy_(y.detach() > 0.5)
            self.count.add_(3)
        return y, y > 0, pixels + 200


def narrow_batch(seed: int) -> tuple[Tensor, ...]:
    torch.manual_seed(seed)
    pixels = torch.randint(0, 256, (4, 8), dtype=torch.uint8)
    return torch.randn(4, 8), torch.rand(4, 8) > 0.3, pixels, torch.rand(4, 8) > 0.5


def narrow_loss(outputs: tuple[Tensor, ...], sign: Tensor) -> Tensor:
    return torch.where(sign, outputs[0], -outputs[0]).square().mean()


def batch(model: str, seed: int) -> tuple[Tensor, ...]:
    if model == "narrow":
        return narrow_batch(seed)
    torch.manual_seed(seed)
    if model == "dropout":
        return torch.randn(4, 12), torch.arange(4)
    return torch.randn(2, 3, 16, 16), torch.tensor([0, 2])


@cache
def program(model: str) -> TrainingProgram:
    given = batch(model, 0)
    if model == "narrow":
        return trace(TrainingTask(Narrow(), given[:3], given[3:], narrow_loss))
    net = zoo.MLP() if model == "dropout" else zoo.settle(zoo.ConvNet())
    return trace(TrainingTask(net, given[:1], given[1:], F.cross_entropy))


def same(a: Any, b: Any) -> None:
    """Whole numbers are equal; sums of others may be made in another order, of other vectors."""
    for x, y in zip(a, b, strict=True):
        assert x.dtype == y.dtype
        if x.dtype.kind == "f":
            np.testing.assert_allclose(x, y, rtol=2e-6, atol=1e-7)
        else:
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(("model", "width"), [("narrow", 16), ("narrow", 32), ("dropout", 32), ("conv", 16)])
def test_the_numbers_are_the_same(tmp_path: Path, model: str, width: int) -> None:
    trainers = []
    for i, target in enumerate((CPU(), WideCPU(width=width))):
        path = tmp_path / f"{i}.vmfb"
        compile_program(program(model), optimizer=SGD(momentum=0.9), target=target).save(path)
        trainers.append(Trainer(path))
    plain, wide = trainers
    for seed in range(STEPS):
        arrays = [tensor.numpy() for tensor in batch(model, seed)]
        assert plain.step(*arrays, lr=0.1) == pytest.approx(wide.step(*arrays, lr=0.1), rel=2e-6)
        same(plain.outputs, wide.outputs)
    one, other = (trainer.state_dict(optimizer=True) for trainer in trainers)
    assert list(one) == list(other)
    same(one.values(), other.values())
    wide.save(tmp_path / "run.ckpt")
    plain.load_checkpoint(tmp_path / "run.ckpt")
    same(plain.evaluate(*arrays)[1], wide.evaluate(*arrays)[1])


def test_the_metadata_says_how_values_are_stored(tmp_path: Path) -> None:
    artifact = compile_program(program("narrow"), target=WideCPU(width=32))
    stored = {
        entry["name"]: (entry["dtype"], entry.get("stored"))
        for key in ("inputs", "targets", "outputs", "state")
        for entry in artifact.metadata[key]
    }
    assert stored["mask"] == ("bool", "int32") and stored["pixels"] == ("uint8", "int32")
    assert stored["last"] == ("bool", "int32") and stored["count"] == ("int8", "int32")
    assert stored["x"] == stored["fc.weight"] == ("float32", None)
    # Of the state, 72 floats and two tensors of 32 integers.
    assert artifact.metadata["memory"]["state"] == 4 * (72 + 2 * 32)
    assert "stored" not in str(compile_program(program("narrow")).metadata)
