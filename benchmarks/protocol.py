# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What parent and child processes say to each other: a JSON object a line, over the child's standard streams.

The parent's first line is the child's job. The child answers with one line when it is ready, and with one to
each ``run``. A line with ``error`` is the child's last.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Job:
    """What a contestant's child is to do, see ``base.Work``."""

    peer: str
    folder: str
    optimizer: Mapping[str, Any]
    checked_rate: float
    timed_rate: float
    threads: int
    checked_steps: int
    """The first steps, with ``checked_rate``, whose losses are compared; later ones have ``timed_rate``."""
    warm_up: float
    """Seconds of steps before the contestant is ready."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Ready:
    """A contestant that has built its work and is warm; times in seconds."""

    version: str
    build_seconds: float
    """From the framework's import to the end of the first step, so with what it compiles then."""
    step_seconds: float
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Ran:
    """Steps of a turn; ``peak`` and ``base`` are the process's memory in bytes.

    ``peak`` is the most that it held since the first step, ``base`` what it held when the framework was
    imported and nothing loaded.
    """

    seconds: tuple[float, ...]
    loss: float
    peak: int
    base: int
    further: Mapping[str, float] = field(default_factory=dict)
