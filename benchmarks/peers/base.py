# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a contestant is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Step = Callable[[float], float]
"""One training step on the workload's batch, with a learning rate.

It returns the loss before the update, when the update is done.
"""


@dataclass(frozen=True)
class Work:
    """What a contestant is to do.

    ``folder`` holds the graph (``Graph.load``) and, for pock, the compiled program ``model.vmfb``.
    ``optimizer`` is a dictionary as ``Optimizer.to_dict`` of pock's gives it.
    """

    folder: Path
    optimizer: Mapping[str, Any]


class Peer(ABC):
    """A framework that trains. Making one imports it; ``build`` then loads the work."""

    @abstractmethod
    def build(self, work: Work) -> Step:
        """The training step; may compile at its first call. Raises ``Unsupported``."""

    def version(self) -> str:
        """The framework's version."""
        return ""

    def measure(self, step: Step, steps: int) -> Mapping[str, float]:
        """Further figures of this contestant, by name, from ``steps`` steps outside the timed ones."""
        return {}


def momentum_of(optimizer: Mapping[str, Any]) -> float:
    """The momentum of plain SGD, the only optimizer that every peer has.

    Raises ``Unsupported`` for any other, and for options that the peers do not implement.
    """
    from pock.benchmarks.errors import Unsupported

    options = {k: v for k, v in optimizer.items() if v and k not in ("name", "momentum")}
    if optimizer["name"] != "sgd" or options:
        shown = "".join(f", {key}" for key in options)
        raise Unsupported(
            f"this peer is written for SGD with or without momentum, not {optimizer['name']}{shown}"
        )
    return float(optimizer["momentum"])
