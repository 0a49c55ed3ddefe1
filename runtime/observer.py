# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a training run tells those who watch it."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .errors import PockRuntimeError


@dataclass(frozen=True)
class Evaluation:
    """Metrics over a whole data set; None where the program or the data do not give them.

    ``loss`` is the mean over the samples (the mean over batches of their sums, for a loss that sums), and
    ``accuracy`` the fraction of samples whose largest output is the target.
    """

    loss: float | None
    accuracy: float | None
    samples: int


@dataclass(frozen=True)
class Start:
    """A run begins: the program, where it runs, what it trains on, and the step that it goes on from."""

    model: str
    target: str
    device: str
    batch: int
    epochs: int
    samples: int | None
    validation_samples: int | None
    steps_per_epoch: int | None
    step: int


@dataclass(frozen=True)
class Step:
    """One training step: its epoch and number (both from 0), its learning rate and its loss."""

    epoch: int
    step: int
    lr: float
    loss: float


@dataclass(frozen=True)
class Epoch:
    """An epoch that is done, or the part of it that was asked for: ``loss`` is the mean over its steps."""

    epoch: int
    steps: int
    loss: float
    accuracy: float | None
    validation: Evaluation | None
    milliseconds: float
    """The mean time of a step, data and all, of the steps of this run."""


class Observer:
    """Is called as a training run goes along; does nothing."""

    def start(self, start: Start) -> None:
        """The run begins."""

    def begin(self, epoch: int, steps: int | None, done: int) -> None:
        """An epoch begins: of ``steps`` steps, if that is known, ``done`` were done before."""

    def step(self, step: Step) -> None:
        """A step is done."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch is done."""

    def saved(self, path: Path, step: int) -> None:
        """A checkpoint was written after ``step`` steps."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


class JsonLog(Observer):
    """Writes every event to a file as a line of JSON: ``{"event": "step", "loss": 0.7, …}``.

    Numbers that are not finite become null, which JSON has instead.
    """

    def __init__(self, path: Path, append: bool = False) -> None:
        """Raises ``PockRuntimeError`` if the file cannot be written, as every event does."""
        self._path = path
        try:
            self._file = path.open("a" if append else "w", buffering=1, encoding="utf-8")
        except OSError as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def start(self, start: Start) -> None:
        self._write("start", asdict(start))

    def step(self, step: Step) -> None:
        self._write("step", asdict(step))

    def epoch(self, epoch: Epoch) -> None:
        self._write("epoch", asdict(epoch))

    def saved(self, path: Path, step: int) -> None:
        self._write("saved", {"path": str(path), "step": step})

    def note(self, text: str) -> None:
        self._write("note", {"text": text})

    def _write(self, event: str, fields: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(_finite({"event": event, **fields}), allow_nan=False) + "\n")
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> PockRuntimeError:
        return PockRuntimeError(
            f"cannot write the log {self._path}: {(error.strerror or str(error)).lower()}"
        )


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
