# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""pock: a compiled program and its Trainer, in a process without PyTorch and without the compiler."""

import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import iree.runtime as rt
import numpy as np

from pock.benchmarks.graph import load_batch
from pock.runtime import Trainer

from .base import Peer, Step, Work

PROGRAM = "model.vmfb"
_RATE = 1e-7


class Pock(Peer):
    """Steps a Trainer with the batch as NumPy arrays."""

    def __init__(self, threads: int) -> None:
        rt.flags.parse_flags(f"--task_topology_max_group_count={threads}")

    def build(self, work: Work) -> Step:
        self._trainer = Trainer(work.folder / PROGRAM)
        x, y = load_batch(work.folder).values()
        trainer = self._trainer
        return lambda rate: trainer.step(x, y, lr=rate)

    def version(self) -> str:
        return version("pock")

    def measure(self, step: Step, steps: int) -> Mapping[str, float]:
        """``beyond_invocation``: seconds of ``Trainer.step`` outside of the compiled program, median.

        Nothing of a program that is divided among cores: its threads have contexts of their own.
        """
        metadata = self._trainer.metadata
        if metadata.shards is not None or metadata.ranks is not None:
            return {}
        program = self._trainer._program
        context = program._context
        timed = _TimedContext(context)
        program._context = timed
        beyond = []
        try:
            for _ in range(steps):
                timed.inside = 0.0
                began = time.perf_counter()
                step(_RATE)
                beyond.append(time.perf_counter() - began - timed.inside)
        finally:
            program._context = context
        state = len(self._trainer.metadata.state)
        return {"beyond_invocation": float(np.median(beyond)), "state_tensors": float(state)}


class _TimedContext:
    """A VM context that adds up the time spent in its invocations.

    It takes the place of a Trainer's own for a few steps, so that the Trainer itself need not be timed.
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        self.inside = 0.0

    def invoke(self, *arguments: Any) -> None:
        began = time.perf_counter()
        self._context.invoke(*arguments)
        self.inside += time.perf_counter() - began


def contestant(_: str, threads: int) -> Peer:
    """pock."""
    return Pock(threads)
