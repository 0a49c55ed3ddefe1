# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""PyTorch compiled by inductor."""

import os
import shutil

import torch

from pock.benchmarks.errors import Unsupported
from pock.benchmarks.graph import Graph

from .base import Peer, Step, Work
from .torch_eager import layout_of
from .torch_function import step_of


class TorchCompile(Peer):
    """Forward and backward through ``torch.compile``, which autotunes nothing on CPU by default."""

    def __init__(self, layout: torch.memory_format, threads: int) -> None:
        torch.set_num_threads(threads)
        self._layout = layout

    def build(self, work: Work) -> Step:
        if not any(map(shutil.which, ("c++", "g++", "clang++"))):
            raise Unsupported("inductor needs a C++ compiler, and there is none")
        # Its own cache would make the second run compile in no time.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(work.folder / f"inductor-{os.getpid()}")
        return step_of(Graph.load(work.folder), work, self._layout, torch.compile)

    def version(self) -> str:
        return torch.__version__


def contestant(name: str, threads: int) -> Peer:
    """The layout is the name's suffix."""
    return TorchCompile(layout_of(name), threads)
