# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Arithmetic with unsigned bytes, compiled, against PyTorch."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pock.compiler import TrainingTask, compile_program, trace
from pock.runtime import Trainer


class Pixels(nn.Module):
    """What models do to images of bytes, and a buffer of bytes that counts past 255."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)
        self.register_buffer("count", torch.full((8,), 250, dtype=torch.uint8))

    def forward(self, u: Tensor, v: Tensor, i: Tensor) -> tuple[Tensor, ...]:
        y = self.fc(u / 255)
        if self.training:
            self.count.add_(3)
        return (
            y, y * u, u + 1.5, u * 2, u + i, u > 100, u > v, u - v, -u, u // 3, u >> 1, u & v, u % 7,
            torch.maximum(u, v), u.amax(1), u.sum(), u.clamp(10, 150), torch.where(u > 100, u, 0),
            u.float() / self.count, self.count + v, u.flatten(0).unsqueeze(0),
        )  # fmt: skip


def test_bytes_have_no_sign(tmp_path: Path) -> None:
    torch.manual_seed(0)
    u, v = (torch.randint(1, 256, (4, 8), dtype=torch.uint8) for _ in range(2))
    arrays, model = (u, v, torch.arange(32).view(4, 8) - 16), Pixels()
    program = trace(TrainingTask(model, arrays, (), lambda outputs: outputs[0].square().mean()))
    compile_program(program).save(tmp_path / "model.vmfb")
    trainer = Trainer(tmp_path / "model.vmfb")
    model.eval()
    with torch.no_grad():
        expected = [output.numpy() for output in model(*arrays)]
    for found, wanted in zip(trainer.predict(*(a.numpy() for a in arrays)), expected, strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    for _ in range(3):
        trainer.step(*(a.numpy() for a in arrays), lr=0.1)
    count = trainer.state_dict()["count"]
    assert count.dtype == np.uint8 and (count == (250 + 9) % 256).all()
