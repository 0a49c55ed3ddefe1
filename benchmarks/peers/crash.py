# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A contestant that ends its process: what a benchmark has to survive."""

import os
import signal

from .base import Peer, Step, Work


class Crash(Peer):
    """Dies of a signal in its first step."""

    def build(self, work: Work) -> Step:
        return _die


def _die(_: float) -> float:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def contestant(_: str, __: int) -> Peer:
    """The contestant."""
    return Crash()
