# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A training run from beginning to end, as ``pock-train`` is asked for it."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .data import ArrayData, Data, batch_size, open_data
from .errors import CheckpointError, DataError, PockRuntimeError
from .inputs import hyperparameters
from .metadata import Metadata
from .observer import JsonLog, Observer, Start
from .schedule import Schedule
from .trainer import DEFAULT_LEARNING_RATE, Trainer
from .training import Description, Options, Outcome, Position, classifies, resume, train


@dataclass(frozen=True)
class Job:
    """What to train, on what, and how.

    ``data`` and ``validation`` are sources for ``open_data``; ``validation_split`` takes a fraction of
    ``data`` for validation instead. ``lr`` None is the program's default, or else
    ``DEFAULT_LEARNING_RATE``. ``seed`` orders the samples (0 if None) and, unless None, seeds the program's
    dropout. An existing checkpoint is replaced only if the run resumes from it, or with ``overwrite``.
    """

    program: Path
    data: str
    epochs: int = 1
    lr: float | None = None
    hyper: Mapping[str, float] = field(default_factory=dict)
    lr_schedule: str = "constant"
    warmup_steps: int = 0
    validation: str | None = None
    validation_split: float | None = None
    shuffle: bool = True
    seed: int | None = None
    checkpoint: Path | None = None
    checkpoint_every: int | None = None
    resume: bool = False
    overwrite: bool = False
    limit_steps: int | None = None
    log_json: Path | None = None
    device: str | None = None
    parameters: Path | None = None


@dataclass(frozen=True)
class Summary:
    """How a job ended: ``step`` counts all steps, ``steps`` those of this run."""

    outcome: Outcome
    step: int
    steps: int
    seconds: float


def run(job: Job, observers: Sequence[Observer] = (), stop: Callable[[], bool] = lambda: False) -> Summary:
    """Do the job; raises a ``PockRuntimeError`` that says what is wrong, where it can before training."""
    _check_checkpoint(job)
    trainer = Trainer(job.program, job.device, job.parameters, job.seed)
    data, validation = _open(job, trainer.metadata)
    if validation is not None and not (trainer.can_evaluate or classifies(trainer.metadata)):
        raise DataError("the program has no function 'evaluate' and is no classifier: it cannot be validated")
    schedule = _schedule(job, trainer.metadata, data)
    about = _describe(job, trainer.metadata, data, schedule)
    position = Position()
    changes: list[str] = []
    if job.resume and job.checkpoint is not None:
        position, changes = resume(trainer, job.checkpoint, about)
    options = Options(job.epochs, schedule, job.hyper, job.checkpoint, job.checkpoint_every, job.limit_steps)
    with ExitStack() as stack:
        watching = [*observers]
        if job.log_json is not None:
            log = JsonLog(job.log_json, append=job.resume)
            stack.callback(log.close)
            watching.append(log)
        start = _start(job, trainer, data, validation, position)
        for observer in watching:
            observer.start(start)
            for change in changes:
                observer.note(change)
        began = time.perf_counter()
        outcome = train(
            trainer,
            data,
            options,
            about=about,
            validation=validation,
            position=position,
            observers=watching,
            stop=stop,
        )
    return Summary(outcome, position.step, position.step - start.step, time.perf_counter() - began)


def _check_checkpoint(job: Job) -> None:
    path = job.checkpoint
    if path is None:
        if job.resume:
            raise CheckpointError("there is no checkpoint to resume from")
        return
    if not os.access(path.parent, os.W_OK):
        raise CheckpointError(f"cannot write checkpoint {path}: no directory {path.parent} to write in")
    if path.exists() and not (job.resume or job.overwrite):
        raise CheckpointError(
            f"checkpoint {path} exists: --resume goes on from it, --overwrite replaces it, "
            "--checkpoint names another"
        )


def _open(job: Job, metadata: Metadata) -> tuple[Data, Data | None]:
    data = open_data(job.data, metadata, job.shuffle, job.seed or 0)
    if job.validation is not None:
        return data, open_data(job.validation, metadata, shuffle=False)
    if job.validation_split is None:
        return data, None
    if not isinstance(data, ArrayData):
        raise DataError(f"{job.data} makes its own batches: it cannot be split, give data for validation")
    return data.split(job.validation_split)


def _schedule(job: Job, metadata: Metadata, data: Data) -> Schedule:
    defaults = {h.name: h.default for h in metadata.hyperparameters}
    rate = job.lr if job.lr is not None else defaults.get("lr")
    rate = DEFAULT_LEARNING_RATE if rate is None else rate
    # Whatever is wrong with a hyperparameter is better said now than in the first step.
    hyperparameters(metadata.hyperparameters, {**job.hyper, **({"lr": rate} if "lr" in defaults else {})})
    if job.lr is not None and "lr" not in defaults:
        raise PockRuntimeError("the program has no learning rate")
    whole = None if data.steps is None else data.steps * job.epochs
    total = min((n for n in (whole, job.limit_steps) if n is not None), default=None)
    if total is None and job.lr_schedule != "constant":
        raise DataError(
            f"a {job.lr_schedule} schedule needs to know the number of steps, which {job.data} does not say: "
            "limit the steps"
        )
    return Schedule(rate, job.lr_schedule, job.warmup_steps, total or 0)


def _describe(job: Job, metadata: Metadata, data: Data, schedule: Schedule) -> Description:
    settings: dict[str, Any] = {
        "learning_rate": schedule.base,
        "schedule": schedule.kind,
        "warmup_steps": schedule.warmup,
        "hyperparameters": dict(job.hyper),
    }
    if schedule.kind != "constant":
        settings["total_steps"] = schedule.total
    return Description(
        {
            "samples": data.samples,
            "batch_size": batch_size(metadata),
            "seed": job.seed or 0,
            "shuffle": job.shuffle,
            "validation_split": job.validation_split,
        },
        settings,
    )


def _start(job: Job, trainer: Trainer, data: Data, validation: Data | None, position: Position) -> Start:
    metadata = trainer.metadata
    return Start(
        model=metadata.model,
        target=metadata.target,
        device=trainer.device,
        batch=batch_size(metadata),
        epochs=job.epochs,
        samples=data.samples,
        validation_samples=validation.samples if validation is not None else None,
        steps_per_epoch=data.steps,
        step=position.step,
    )
