# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Networks over space that hypothesis draws."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pock.compiler import TrainingTask
from tests.e2e.zoo import Apply

_WIDTH = 4


class _Scaled(nn.Module):
    """A parameter for each channel, and a sum over all positions."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(1, _WIDTH, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + x.mean((2, 3), keepdim=True)


def _conv(kernel: int = 3, **options: object) -> nn.Module:
    return nn.Conv2d(_WIDTH, _WIDTH, kernel, **{"padding": (kernel - 1) // 2, **options})  # type: ignore[arg-type]


def _inverted(stride: int) -> nn.Module:
    wide = 6 * _WIDTH
    return nn.Sequential(
        nn.Conv2d(_WIDTH, wide, 1), nn.ReLU6(), nn.Conv2d(wide, wide, 3, stride, 1, groups=wide),
        nn.ReLU6(), nn.Conv2d(wide, _WIDTH, 1),
    )  # fmt: skip


BLOCKS: dict[str, Callable[[], nn.Module]] = {
    "branches": lambda: Apply(lambda x, y, z: F.hardswish(y) * torch.tanh(z), _conv(), _conv(5)),
    "deep": lambda: nn.Sequential(_conv(), nn.ReLU(), _conv(), nn.ReLU(), _conv()),
    "dilated": lambda: _conv(dilation=2, padding=2, groups=2),
    "even": lambda: _conv(2, padding="same"),
    "far": lambda: _conv(1, padding=2),
    "inverted": lambda: _inverted(1),
    "max-pool": lambda: nn.MaxPool2d(3, 1, 1),
    "pad": lambda: Apply(lambda x, y: y, nn.Sequential(nn.ZeroPad2d((0, 1, 2, 1)), _conv(padding=0))),
    "pointwise": lambda: nn.Sequential(_conv(1), nn.SiLU(), _conv(1)),
    "residual": lambda: Apply(lambda x, y: x + y, _inverted(1)),
    "scaled": _Scaled,
    "sparse": lambda: _conv(1, stride=2),
    "strided": lambda: nn.Sequential(_conv(), _inverted(2)),
    "tall": lambda: nn.Conv2d(_WIDTH, _WIDTH, (5, 1), (2, 1), (2, 0)),
    "turned": lambda: Apply(lambda x, y: x + y.transpose(2, 3).relu().transpose(2, 3), _conv()),
}


def task(blocks: Sequence[str], height: int, width: int, batch: int) -> TrainingTask:
    """A network of ``BLOCKS`` with a classifier, in double precision."""
    torch.manual_seed(0)
    layers = [BLOCKS[name]() for name in blocks]
    model = nn.Sequential(
        nn.Conv2d(3, _WIDTH, 3, padding=1),
        *layers,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(_WIDTH, 3),
    )
    x = torch.randn(batch, 3, height, width)
    return TrainingTask(model.double(), (x.double(),), (torch.arange(batch) % 3,), F.cross_entropy)
