# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""PyTorch as it runs without a compiler, in both layouts."""

import torch

from pock.benchmarks.graph import Graph

from .base import Peer, Step, Work
from .torch_function import step_of


class TorchEager(Peer):
    """Autograd over the graph's operations."""

    def __init__(self, layout: torch.memory_format, threads: int) -> None:
        torch.set_num_threads(threads)
        self._layout = layout

    def build(self, work: Work) -> Step:
        return step_of(Graph.load(work.folder), work, self._layout, None)

    def version(self) -> str:
        return torch.__version__


def contestant(name: str, threads: int) -> Peer:
    """The layout is the name's suffix."""
    return TorchEager(layout_of(name), threads)


def layout_of(name: str) -> torch.memory_format:
    """The layout that a contestant's name says."""
    return torch.channels_last if name.endswith("-nhwc") else torch.contiguous_format
