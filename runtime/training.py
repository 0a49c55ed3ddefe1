# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The training loop of ``pock-train``: epochs, validation, checkpoints, resuming, stopping.

A run that was stopped and resumed takes the same steps, on the same batches, as one that was not.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from .data import Batch, Data, batch_size
from .device import Array
from .errors import CheckpointError, DataError, TrainingDiverged
from .metadata import Metadata
from .observer import Epoch, Evaluation, Observer, Step
from .schedule import Schedule
from .trainer import Trainer


class Outcome(Enum):
    """How a run ended."""

    FINISHED = "finished"
    LIMITED = "limited"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Options:
    """How to train.

    ``hyper`` are hyperparameters besides the learning rate, which follows ``schedule``. A checkpoint goes to
    ``checkpoint`` after every epoch, after every ``checkpoint_every`` steps, and when the run stops. The run
    ends after ``limit_steps`` steps, those before it was resumed included.
    """

    epochs: int
    schedule: Schedule
    hyper: Mapping[str, float] = field(default_factory=dict)
    checkpoint: Path | None = None
    checkpoint_every: int | None = None
    limit_steps: int | None = None


@dataclass(frozen=True)
class Description:
    """What a checkpoint says of its run: ``data`` must agree to resume it, ``settings`` may change."""

    data: Mapping[str, Any]
    settings: Mapping[str, Any]


@dataclass
class Position:
    """Where a run is: the epoch, its batches that are done with their metrics, and the steps in all."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss: float = 0.0
    correct: int = 0

    def advance(self, loss: float, correct: int) -> None:
        """One more step is done."""
        self.batch += 1
        self.step += 1
        self.loss += loss
        self.correct += correct

    def next_epoch(self) -> None:
        """The epoch is over."""
        self.epoch, self.batch, self.loss, self.correct = self.epoch + 1, 0, 0.0, 0


class StopSignals:
    """While the context lasts, SIGINT and SIGTERM ask for a stop; calling it says whether one did.

    The second signal does what it does otherwise. Outside the main thread, where signals cannot be caught,
    nothing changes.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        return self.received is not None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        signal.signal(number, self._previous[number])


def classifies(metadata: Metadata) -> bool:
    """Whether accuracy means something: outputs ``[N, C]`` against integer targets ``[N]``."""
    if not metadata.outputs or not metadata.targets:
        return False
    output, target = metadata.outputs[0], metadata.targets[0]
    return len(output.shape) == 2 and target.shape == output.shape[:1] and target.dtype.kind in "iu"


def correct_of(outputs: Array, targets: Array) -> int:
    """How many rows of ``outputs`` ``[N, C]`` are largest at the class in ``targets`` ``[N]``."""
    return int(np.count_nonzero(outputs[: len(targets)].argmax(axis=1) == targets))


def evaluate(trainer: Trainer, data: Data, stop: Callable[[], bool] = lambda: False) -> Evaluation | None:
    """Loss and accuracy over all of ``data``; None if ``stop`` asked to leave.

    The last partial batch is filled up with copies of its last sample. Accuracy leaves the copies out. So
    does the loss, for a reduction over samples ("mean" or "sum"): the loss of the last sample alone, from a
    batch of nothing else, is subtracted as often as it was added. That is exact when the loss of a batch is
    the plain mean or sum of its samples' losses. For an unknown reduction the partial batch is left out of
    the loss.
    """
    metadata = trainer.metadata
    size, inputs, reduction = batch_size(metadata), len(metadata.inputs), metadata.loss_reduction
    counts = classifies(metadata)
    total, weighed, correct, samples = 0.0, 0, 0, 0
    for batch, real in data.evaluation():
        if stop():
            return None
        if trainer.can_evaluate:
            loss, outputs = trainer.evaluate(*batch)
            if real < size and reduction in ("mean", "sum"):
                alone = trainer.evaluate(*_last_sample_only(batch))[0]
                total += size * loss - (size - real) * alone
                weighed += real
            elif real == size:
                total += size * loss
                weighed += size
        else:
            outputs = trainer.predict(*batch[:inputs])
        if counts:
            first = outputs[0] if isinstance(outputs, tuple) else outputs
            correct += correct_of(first, batch[inputs][:real])
        samples += real
    if not samples:
        raise DataError("there are no samples to evaluate on")
    return Evaluation(total / weighed if weighed else None, correct / samples if counts else None, samples)


def _last_sample_only(batch: Batch) -> Batch:
    return tuple(np.repeat(array[-1:], len(array), axis=0) for array in batch)


def resume(trainer: Trainer, path: Path, about: Description) -> tuple[Position, list[str]]:
    """Load a checkpoint that ``train`` wrote: where to go on from, and a note for each setting that differs.

    Raises ``CheckpointError``, also for a run over other data than ``about`` describes.
    """
    extra = trainer.load_checkpoint(path)
    if "position" not in extra:
        raise CheckpointError(
            f"{path} was not written by pock-train: it does not say how far its data was read"
        )
    for key, value in extra["data"].items():
        if about.data.get(key) != value:
            raise CheckpointError(f"cannot resume from {path}: {_was(key, value, about.data)}")
    changed = [_was(k, v, about.settings) for k, v in extra["settings"].items() if about.settings.get(k) != v]
    return Position(**extra["position"]), changed


def _was(key: str, before: Any, now: Mapping[str, Any]) -> str:
    return f"{key.replace('_', ' ')} was {before} and is {now.get(key)} now"


def train(
    trainer: Trainer,
    data: Data,
    options: Options,
    *,
    about: Description,
    validation: Data | None = None,
    position: Position | None = None,
    observers: Sequence[Observer] = (),
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train until the epochs are over, the limit is reached or ``stop`` returns True.

    ``about`` goes into the checkpoints, for ``resume`` to compare; ``position`` is what that returned. Raises
    ``TrainingDiverged`` when the loss is no longer finite, without touching the last checkpoint.
    """
    return _Run(trainer, data, options, about, validation, position or Position(), observers, stop).run()


@dataclass
class _Run:
    trainer: Trainer
    data: Data
    options: Options
    about: Description
    validation: Data | None
    position: Position
    observers: Sequence[Observer]
    stop: Callable[[], bool]
    noted: bool = False
    saved: int | None = None

    def __post_init__(self) -> None:
        metadata = self.trainer.metadata
        self.size = batch_size(metadata)
        self.counts = classifies(metadata)
        self.inputs = len(metadata.inputs)
        self.takes_lr = any(h.name == "lr" for h in metadata.hyperparameters)
        if self.position.step:
            self.saved = self.position.step

    def run(self) -> Outcome:
        while self.position.epoch < self.options.epochs and not self._limited():
            outcome = self._epoch()
            if outcome is not Outcome.FINISHED:
                self._save()
                return outcome
        return Outcome.FINISHED

    def _epoch(self) -> Outcome:
        position = self.position
        self._tell(lambda o: o.begin(position.epoch, self.data.steps, position.batch))
        before, began = position.step, time.perf_counter()
        outcome = self._steps()
        taken = position.step - before
        milliseconds = 1e3 * (time.perf_counter() - began) / taken if taken else math.nan
        if outcome is Outcome.STOPPED:
            return outcome
        if not position.batch:
            raise DataError(f"the data has no whole batch of {self.size}, the size compiled into the program")
        validated = evaluate(self.trainer, self.validation, self.stop) if self.validation else None
        if self.validation and validated is None:
            return Outcome.STOPPED
        report = Epoch(
            epoch=position.epoch,
            steps=position.batch,
            loss=position.loss / position.batch,
            accuracy=position.correct / (position.batch * self.size) if self.counts else None,
            validation=validated,
            milliseconds=milliseconds,
        )
        self._tell(lambda o: o.epoch(report))
        if outcome is Outcome.FINISHED:
            position.next_epoch()
            self._save()
        return outcome

    def _steps(self) -> Outcome:
        every = self.options.checkpoint_every
        for batch, real in self.data.training(self.position.epoch, self.position.batch):
            if real < self.size:
                self._note_partial(real)
                continue
            # Also before the first step: a stop may have come while the data was opened.
            if self.stop():
                return Outcome.STOPPED
            if self._limited():
                return Outcome.LIMITED
            self._step(batch)
            if every and self.position.step % every == 0:
                self._save()
        return Outcome.STOPPED if self.stop() else Outcome.FINISHED

    def _step(self, batch: Batch) -> None:
        position = self.position
        rate = self.options.schedule.rate(position.step)
        hyper: dict[str, Any] = dict(self.options.hyper)
        loss = self.trainer.step(*batch, lr=rate if self.takes_lr else None, **hyper)
        if not math.isfinite(loss):
            raise self._diverged(f"the loss became {loss}", position.step + 1)
        correct = correct_of(self.trainer.outputs[0], batch[self.inputs]) if self.counts else 0
        report = Step(position.epoch, position.step, rate, loss)
        position.advance(loss, correct)
        self._tell(lambda o: o.step(report))

    def _limited(self) -> bool:
        limit = self.options.limit_steps
        return limit is not None and self.position.step >= limit

    def _note_partial(self, real: int) -> None:
        if not self.noted:
            self._tell(lambda o: o.note(f"partial batches are dropped ({real} of {self.size} samples)"))
        self.noted = True

    def _save(self) -> None:
        path, position = self.options.checkpoint, self.position
        if path is None:
            return
        extra = {
            "position": asdict(position),
            "data": dict(self.about.data),
            "settings": dict(self.about.settings),
        }
        try:
            self.trainer.save(path, extra, check_finite=True)
        except TrainingDiverged as error:
            raise self._diverged(str(error), position.step) from None
        self.saved = position.step
        self._tell(lambda o: o.saved(path, position.step))

    def _diverged(self, what: str, step: int) -> TrainingDiverged:
        kept = "no checkpoint was written"
        if self.saved is not None and self.options.checkpoint is not None:
            kept = f"{self.options.checkpoint} keeps the state after step {self.saved}"
        return TrainingDiverged(f"{what} in step {step} (epoch {self.position.epoch + 1}): {kept}")

    def _tell(self, tell: Callable[[Observer], None]) -> None:
        for observer in self.observers:
            tell(observer)
