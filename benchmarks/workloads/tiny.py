# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A network of a few layers with every construct of the mobile networks, which compiles in seconds."""

import torch
from torch import Tensor, nn

from pock.benchmarks.workload import Built

from .data import images

CLASSES = 4


def tiny(batch: int, size: int = 8) -> Built:
    """A stem, one inverted residual and a classifier."""
    torch.manual_seed(0)
    return images(Tiny(), batch, size, CLASSES)


class Block(nn.Module):
    """Expand, depthwise, project."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, hidden, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, bias=False)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.project = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.relu6(self.bn1(self.expand(x)), inplace=True)
        y = nn.functional.relu6(self.bn2(self.depthwise(y)), inplace=True)
        return x + self.project(y)


class Tiny(nn.Module):
    """The network."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.block = Block(4, 8)
        self.classifier = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu(self.bn(self.stem(x)), inplace=True)
        return self.classifier(self.block(x).mean((2, 3)))
