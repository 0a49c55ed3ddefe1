# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Random operations of models: each draws what is documented from the program's seed and step."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pock.compiler import TrainingProgram, TrainingTask, trace
from pock.compiler.frontend.draws import Draws
from pock.compiler.frontend.task import TaskError
from pock.dialects.sparsebp import declarations
from tests.philox import random_mask, random_uniform
from tests.python.compiler.torch_interpreter import Interpreter

SEED, STEP = 2**40 + 3, 5
N, M = 3, 4


class Model(nn.Module):
    """A linear layer, then ``forward``'s outputs."""

    def __init__(self, outputs: Callable[[Tensor, bool], tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.fc, self.outputs = nn.Linear(M, M), outputs

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.fc(x)
        return (y, *self.outputs(x, self.training))


def program_of(outputs: Callable[[Tensor, bool], tuple[Tensor, ...]]) -> TrainingProgram:
    x = torch.linspace(0.05, 0.95, N * M).reshape(N, M)
    return trace(TrainingTask(Model(outputs), (x,), (x,), lambda out, y: F.mse_loss(out[0], y)))


def interpreter(program: TrainingProgram) -> Interpreter:
    declared = declarations(program.module)
    values = {n: torch.from_numpy(v) for n, v in program.parameters.items() if n in declared}
    return Interpreter(program.module, values | {"#seed": torch.tensor(SEED), "#step": torch.tensor(STEP)})


def unit(stream: int, *shape: int) -> np.ndarray:
    return random_uniform(SEED, STEP, stream, shape)


def normal(stream: int, *shape: int) -> np.ndarray:
    radius, angle = unit(stream, *shape).astype(np.float64), unit(stream + 1, *shape).astype(np.float64)
    return np.sqrt(-2 * np.log(1 - radius)) * np.cos(2 * np.pi * angle)


def bits(stream: int, probability: float, *shape: int) -> np.ndarray:
    return random_mask(SEED, STEP, stream, probability, shape)


def truncated(numbers: np.ndarray, digits: int) -> np.ndarray:
    return np.floor(numbers * 2**digits) / 2**digits


def uniform_and_bits(p: Tensor, _: bool) -> tuple[Tensor, ...]:
    return (
        torch.rand(N, 1),
        torch.rand_like(p),
        torch.empty_like(p).uniform_(-1, 2),
        torch.bernoulli(p),
        torch.empty_like(p).bernoulli_(p),
        torch.empty_like(p).bernoulli_(0.3),
        torch.rand(100, dtype=torch.float16),
        torch.rand(100, dtype=torch.bfloat16),
        torch.rand(100, dtype=torch.float64),
    )


def test_uniform_numbers_and_bits() -> None:
    p = np.linspace(0.05, 0.95, N * M, dtype=np.float32).reshape(N, M)
    x = torch.from_numpy(p)
    got = interpreter(program_of(uniform_and_bits)).run("step", x, x)[2:]
    expected = [
        unit(0, N, 1),
        unit(1, N, M),
        unit(2, N, M) * 3 - 1,
        unit(3, N, M) < p,
        unit(4, N, M) < p,
        bits(5, 0.3, N, M),
        truncated(unit(6, 100), 11),
        truncated(unit(7, 100), 8),
        unit(8, 100),
    ]
    dtypes = [torch.float32] * 6 + [torch.float16, torch.bfloat16, torch.float64]
    assert [value.dtype for value in got] == dtypes
    for value, want in zip(got, expected, strict=True):
        np.testing.assert_array_equal(value.double().numpy(), want)


def normal_and_integers(x: Tensor, _: bool) -> tuple[Tensor, ...]:
    return (
        torch.randn(N, M),
        torch.randn_like(x),
        torch.normal(2.0, 3.0, (N,)),
        torch.empty_like(x).normal_(1, 2),
        torch.normal(x, 0.5),
        torch.normal(0.5, x),
        torch.normal(x, x[0]),
        torch.randint(-2, 5, (N, M)),
        torch.randint(5, (N,), dtype=torch.int32),
        torch.randint_like(x, 3),
        torch.randint_like(x, 3, 2**24 + 3),
    )


def test_normal_numbers_and_integers() -> None:
    x = np.linspace(0.05, 0.95, N * M, dtype=np.float32).reshape(N, M)
    batch = torch.from_numpy(x)
    got = interpreter(program_of(normal_and_integers)).run("step", batch, batch)[2:]
    normals = [
        normal(0, N, M),
        normal(2, N, M),
        normal(4, N) * 3 + 2,
        normal(6, N, M) * 2 + 1,
        normal(8, N, M) * 0.5 + x,
        normal(10, N, M) * x + 0.5,
        normal(12, N, M) * x[0] + x,
    ]
    integers = [
        np.floor(unit(14, N, M) * 7) - 2,
        np.floor(unit(15, N) * 5),
        np.floor(unit(16, N, M) * 3),
        unit(17, N, M).astype(np.float64) * 2**24 + 3,
    ]
    for value, want in zip(got[:7], normals, strict=True):
        np.testing.assert_allclose(value.numpy(), want, rtol=1e-5, atol=1e-5)
    assert [value.dtype for value in got[7:]] == [torch.int64, torch.int32, torch.float32, torch.float32]
    for value, want in zip(got[7:], integers, strict=True):
        np.testing.assert_array_equal(value.double().numpy(), want.astype(np.float32))


def test_drawn_numbers_have_their_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moments of many numbers, and the ends of the range, which a draw seldom meets."""
    draws = Draws()
    monkeypatch.setattr(draws, "_unit", lambda shape: torch.from_numpy(unit(draws._stream(), *shape)))
    z = draws._normal([1 << 16], torch.float32)
    assert abs(float(z.mean())) < 0.02 and abs(float(z.var()) - 1) < 0.02
    assert abs(float((z**4).mean()) - 3) < 0.1
    for end in (0.0, 1 - 2.0**-24):
        monkeypatch.setattr(draws, "_unit", lambda shape, end=end: torch.full(list(shape), end))
        assert bool(draws._normal([1], torch.float32).isfinite())
        for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            assert 0 <= float(draws._uniform([1], dtype)) < 1
        for count in (1, 3, 2**24 - 1, 2**24):
            assert 0 <= int(draws._integers(0, count, [1])) < count


def test_evaluation_alone_may_draw() -> None:
    program = program_of(lambda x, training: (F.dropout(x, 0.5, training=not training),))
    run = interpreter(program)
    x = torch.ones(N, M)
    np.testing.assert_array_equal(run.run("predict", x)[1].numpy(), bits(0, 0.5, N, M) * 2.0)
    np.testing.assert_array_equal(run.run("step", x, x)[2].numpy(), x.numpy())
    assert int(run.state["#step"]) == STEP + 1


def test_what_cannot_be_drawn_is_refused_all_at_once() -> None:
    with pytest.raises(TaskError, match=r"^2 operations draw random numbers") as error:
        program_of(
            lambda x, _: (torch.randint(2**24 + 1, (N,)), torch.empty_like(x).exponential_(), torch.rand(N))
        )
    message = str(error.value)
    assert "aten.randint" in message and "aten.exponential" in message and "aten.rand.default" not in message
    assert "randint of at most 2**24 values can be compiled" in message and "\n" not in message
