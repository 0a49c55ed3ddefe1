# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``pock-train``: train a compiled program."""

import math
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typer import Argument, BadParameter, Option

from pock.runtime import PockRuntimeError
from pock.runtime.job import Job, Summary, run
from pock.runtime.observer import Epoch, Evaluation, Observer, Start, Step
from pock.runtime.training import Outcome, StopSignals

from .command import run as run_command

INTERRUPTED = 130
"""The exit status after SIGINT or SIGTERM."""


class ScheduleKind(StrEnum):
    """How the learning rate changes."""

    CONSTANT = "constant"
    COSINE = "cosine"
    LINEAR = "linear"


def pock_train(
    program: Annotated[Path, Argument(metavar="PROGRAM", help="The program that pock-compile made (.vmfb).")],
    data: Annotated[
        str,
        Option(
            metavar="DATA",
            help="file.npz with arrays named as the program's inputs and targets (or x and y); or "
            "x.npy,y.npy, a file for each input and then each target; or file.py:function, which returns an "
            "iterable of batches, tuples of arrays, and may take the epoch's number as 'epoch'.",
        ),
    ],
    epochs: Annotated[int, Option(min=1, metavar="N", help="How often to go through the data.")] = 1,
    lr: Annotated[
        float | None,
        Option(
            min=0.0, metavar="RATE", help="The learning rate; by default the program's own, or else 0.01."
        ),
    ] = None,
    lr_schedule: Annotated[
        ScheduleKind, Option(help="'cosine' and 'linear' fall to zero at the last step.")
    ] = ScheduleKind.CONSTANT,
    warmup_steps: Annotated[
        int, Option(min=0, metavar="STEPS", help="The learning rate rises linearly over so many steps.")
    ] = 0,
    hyper: Annotated[
        list[str] | None,
        Option(metavar="NAME=VALUE", help="Another hyperparameter of the program; can be repeated."),
    ] = None,
    val: Annotated[str | None, Option(metavar="DATA", help="Data to validate on after each epoch.")] = None,
    val_split: Annotated[
        float | None, Option(metavar="FRACTION", help="Validate on this fraction of --data instead.")
    ] = None,
    shuffle: Annotated[bool, Option(help="Order the samples anew in each epoch, by --seed.")] = True,
    seed: Annotated[
        int | None,
        Option(
            min=0,
            metavar="N",
            help="For the order of the samples (default 0), and the program's dropout if given.",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Where the trained state goes, after each epoch and when the run stops: a safetensors file "
            "with PyTorch's names. By default PROGRAM with the suffix .ckpt.",
        ),
    ] = None,
    checkpoint_every: Annotated[
        int | None, Option(min=1, metavar="STEPS", help="Write the checkpoint also every so many steps.")
    ] = None,
    resume: Annotated[
        bool, Option("--resume", help="Go on from the checkpoint, exactly as if the run had not stopped.")
    ] = False,
    overwrite: Annotated[
        bool, Option("--overwrite", help="Start anew even if there is a checkpoint, and replace it.")
    ] = False,
    limit_steps: Annotated[
        int | None,
        Option(
            min=1, metavar="STEPS", help="Stop after so many steps in all, those before --resume included."
        ),
    ] = None,
    log_json: Annotated[
        Path | None, Option(metavar="FILE", help="Write every event to FILE, a line of JSON each.")
    ] = None,
    device: Annotated[
        str | None,
        Option(
            metavar="URI",
            help="A device of IREE's (local-task, vulkan, …) instead of what suits the program.",
        ),
    ] = None,
    parameters: Annotated[
        Path | None, Option(metavar="FILE", help="Where the program's external parameters are.")
    ] = None,
) -> int:
    """Train a compiled program on this machine.

    The batch size is compiled into the program. Training drops a last partial batch; validation counts each
    sample exactly. Ctrl-C (or SIGTERM) finishes the step, writes the checkpoint and exits with status 130;
    --resume goes on from there.

    \b
    Examples:
      pock-train model.vmfb --data digits.npz --epochs 5 --lr 0.05 --val-split 0.1
      pock-train model.vmfb --data x.npy,y.npy --epochs 20 --lr-schedule cosine --warmup-steps 100
      pock-train model.vmfb --data digits.npz --epochs 10 --lr 0.05 --val-split 0.1 --resume
    """
    if val is not None and val_split is not None:
        raise BadParameter("--val and --val-split exclude each other")
    if resume and overwrite:
        raise BadParameter("--resume and --overwrite exclude each other")
    if val_split is not None and not 0.0 < val_split < 1.0:
        raise BadParameter(f"--val-split is a fraction between 0 and 1, got {val_split}")
    checkpoint = checkpoint if checkpoint is not None else program.with_suffix(".ckpt")
    job = Job(
        program=program,
        data=data,
        epochs=epochs,
        lr=lr,
        hyper=_hyperparameters(hyper or ()),
        lr_schedule=lr_schedule.value,
        warmup_steps=warmup_steps,
        validation=val,
        validation_split=val_split,
        shuffle=shuffle,
        seed=seed,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
        overwrite=overwrite,
        limit_steps=limit_steps,
        log_json=log_json,
        device=device,
        parameters=parameters,
    )
    with StopSignals() as stop, Screen(epochs) as screen:
        summary = run(job, [screen], stop)
    screen.console.print(_ending(summary, checkpoint), highlight=False, soft_wrap=True)
    return INTERRUPTED if summary.outcome is Outcome.STOPPED else 0


def _hyperparameters(pairs: Sequence[str]) -> dict[str, float]:
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        try:
            values[name] = float(value)
        except ValueError:
            equals = ""
        if not (name and equals):
            raise BadParameter(f"--hyper takes NAME=VALUE with a number, got '{pair}'")
        if name == "lr":
            raise BadParameter("the learning rate is given by --lr")
    return values


def _ending(summary: Summary, checkpoint: Path) -> str:
    if summary.outcome is Outcome.STOPPED:
        return f"stopped after step {summary.step}: state saved in {checkpoint}, go on with --resume"
    return (
        f"{summary.steps} steps in {summary.seconds:.1f} s: state after step {summary.step} in {checkpoint}"
    )


class Screen(Observer):
    """Shows a run: a line for each epoch and, on a terminal, a bar for its steps."""

    def __init__(self, epochs: int) -> None:
        self.console = Console()
        self._epochs = epochs
        self._columns: list[str] = []
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4g}  lr {task.fields[lr]:.3g}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> "Screen":
        self._progress.start()
        self._task = self._progress.add_task("", epoch="", loss=math.nan, lr=math.nan)
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def start(self, start: Start) -> None:
        about = [f"{start.model} for {start.target} on {start.device}", f"batch {start.batch}"]
        about += [f"{start.samples} samples"] if start.samples is not None else []
        about += [f"{start.validation_samples} to validate"] if start.validation_samples is not None else []
        about += [f"from step {start.step}"] if start.step else []
        self._print(", ".join(about))

    def begin(self, epoch: int, steps: int | None, done: int) -> None:
        of = f"{epoch + 1}/{self._epochs}"
        self._progress.reset(self._task, total=steps, completed=done, epoch=of, loss=math.nan, lr=math.nan)

    def step(self, step: Step) -> None:
        self._progress.update(self._task, advance=1, loss=step.loss, lr=step.lr)

    def epoch(self, epoch: Epoch) -> None:
        cells = _cells(epoch)
        if list(cells) != self._columns:
            self._columns = list(cells)
            self._print("  ".join(f"{name:>{_width(name)}}" for name in cells), style="bold")
        self._print("  ".join(f"{cell:>{_width(name)}}" for name, cell in cells.items()))

    def note(self, text: str) -> None:
        self._print(f"note: {text}")

    def _print(self, text: str, style: str | None = None) -> None:
        self.console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


def _width(name: str) -> int:
    return max(8, len(name))


def _cells(epoch: Epoch) -> dict[str, str]:
    cells = {"epoch": str(epoch.epoch + 1), "steps": str(epoch.steps), "loss": f"{epoch.loss:.4f}"}
    if epoch.accuracy is not None:
        cells["accuracy"] = f"{epoch.accuracy:.2%}"
    if epoch.validation is not None:
        cells |= _validation_cells(epoch.validation)
    cells["ms/step"] = "-" if math.isnan(epoch.milliseconds) else f"{epoch.milliseconds:.2f}"
    return cells


def _validation_cells(validation: Evaluation) -> dict[str, str]:
    cells = {"val loss": "-" if validation.loss is None else f"{validation.loss:.4f}"}
    if validation.accuracy is not None:
        cells["val accuracy"] = f"{validation.accuracy:.2%}"
    return cells


def _explain(error: Exception) -> tuple[int, Sequence[str]] | None:
    return (1, [f"error: {error}"]) if isinstance(error, PockRuntimeError) else None


def main() -> NoReturn:
    """The console script."""
    run_command(pock_train, _explain, sys.argv[1:])
