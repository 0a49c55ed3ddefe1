# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The contestants: pock and its peers. One file each; importing the registry imports no framework."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from importlib import import_module
from typing import TYPE_CHECKING

from pock.benchmarks.errors import BenchmarkError

if TYPE_CHECKING:
    from .base import Peer

POCK = "pock"
"""The contestant that the others are compared with."""

REFERENCE = "torch"
"""The contestant whose losses are taken to be right."""


@dataclass(frozen=True)
class Entry:
    """A contestant's name, what it is, and the module that has its class ``Contestant``."""

    name: str
    about: str
    module: str
    hidden: bool = False

    def make(self, threads: int) -> "Peer":
        """The contestant, in a process of its own; imports its framework."""
        peer: Peer = import_module(f"{__name__}.{self.module}").contestant(self.name, threads)
        return peer


_ALL = (
    Entry(POCK, "pock's compiled program, stepped by its Trainer", "pock"),
    Entry(REFERENCE, "PyTorch eager, NCHW", "torch_eager"),
    Entry("torch-nhwc", "PyTorch eager, channels-last", "torch_eager"),
    Entry("torch-compile", "torch.compile (inductor), the default layout", "torch_compile"),
    Entry("torch-compile-nhwc", "torch.compile (inductor), channels-last", "torch_compile"),
    Entry("jax", "JAX jit", "jax_jit"),
    Entry("tensorflow", "TensorFlow graph (tf.function)", "tensorflow_graph"),
    Entry("tensorflow-xla", "TensorFlow graph compiled by XLA", "tensorflow_graph"),
    Entry("crash", "ends its process in its first step: to test the benchmark itself", "crash", hidden=True),
)

PEERS = {entry.name: entry for entry in _ALL}


def select(patterns: Sequence[str]) -> list[Entry]:
    """pock and the peers that one of the globs matches; raises ``BenchmarkError``."""
    for pattern in patterns:
        if not any(_matches(entry, pattern) for entry in _ALL):
            shown = [entry.name for entry in _ALL if not entry.hidden]
            near = get_close_matches(pattern, shown, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(shown)}"
            raise BenchmarkError(f"no peer matches '{pattern}'; {hint}")
    return [e for e in _ALL if e.name == POCK or any(_matches(e, pattern) for pattern in patterns)]


def _matches(entry: Entry, pattern: str) -> bool:
    return entry.name == pattern or (not entry.hidden and fnmatchcase(entry.name, pattern))
