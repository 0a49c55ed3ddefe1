# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Models that draw random numbers themselves, against PyTorch with the same numbers."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pock.compiler import SGD, Scheme, TrainingTask
from tests.e2e.check import check_training


class StochasticDepth(nn.Module):
    """A residual branch that is dropped for some samples, as EfficientNet does it, and dropout."""

    def __init__(self, keep: float = 0.6) -> None:
        super().__init__()
        self.stem, self.branch = nn.Conv2d(2, 6, 3, stride=2, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.classifier, self.keep = nn.Linear(6, 3), keep

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        branch = F.relu(self.branch(x))
        if self.training:
            kept = torch.floor(self.keep + torch.rand([len(x), 1, 1, 1], dtype=x.dtype, device=x.device))
            branch = branch / self.keep * kept
        x = F.dropout((x + branch).mean((2, 3)), 0.2, self.training)
        return self.classifier(x)


def test_stochastic_depth(tmp_path: Path) -> None:
    torch.manual_seed(2)
    task = TrainingTask(
        StochasticDepth(), (torch.randn(5, 2, 8, 8),), (torch.tensor([0, 1, 2, 0, 1]),), F.cross_entropy
    )
    check_training(
        tmp_path,
        task,
        Scheme.full(),
        SGD(),
        lambda leaves: torch.optim.SGD(leaves, lr=0.05),
        lr=0.05,
        steps=3,
    )
