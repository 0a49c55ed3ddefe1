# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the workloads share: images, tokens, and batch norms with statistics."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pock.benchmarks.workload import Built

_GENERATOR_SEED = 1


def images(model: nn.Module, batch: int, size: int, classes: int) -> Built:
    """``model`` with settled batch norms, random images ``[batch, 3, size, size]`` f32 and labels."""
    generator = torch.Generator().manual_seed(_GENERATOR_SEED)
    x = torch.randn(batch, 3, size, size, generator=generator)
    y = torch.randint(0, classes, (batch,), generator=generator)
    settle(model, torch.randn(8, 3, size, size, generator=generator))
    return Built(model.eval(), x, y, F.cross_entropy)


def settle(model: nn.Module, x: Tensor) -> None:
    """Give every batch norm the statistics of its input for the images ``x``, as training would have.

    With the initial ones, the activations of a deep network overflow or vanish.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    model.train()
    with torch.no_grad():
        model(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def tokens(batch: int, length: int, vocabulary: int) -> Tensor:
    """Random tokens ``[batch, length]`` i64."""
    generator = torch.Generator().manual_seed(_GENERATOR_SEED)
    return torch.randint(0, vocabulary, (batch, length), generator=generator)
