# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The demo: one pretrained network, four update schemes, trained on the same batches.

EfficientNet-Lite0 with ImageNet weights and a new classifier is traced once and compiled for each
scheme. Each program is then trained in a process of its own, which imports nothing but NumPy and
pock's runtime, as on a device.
"""

import multiprocessing
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))

import image_data

HERE = Path(__file__).parent
LEARNING_RATE = 0.0005
OPTIMIZER = "adam"


@dataclass(frozen=True)
class Outcome:
    """What training one program gave. Memory is the growth of the process's peak, in bytes."""

    accuracy: float
    losses: tuple[float, ...]
    step_seconds: float
    memory: int


def train(program: str, data: str, steps: int, batch: int, size: int, seed: int, report: Any) -> Outcome:
    """Train a compiled program and test it; runs in a process of its own."""
    from pock.runtime import Trainer

    images = load(data)
    order = np.random.default_rng(seed)
    before = peak_memory()
    trainer = Trainer(program, seed=seed)
    losses, times, indices = [], [], np.empty(0, np.int64)
    for step in range(steps):
        if len(indices) < batch:
            indices = np.concatenate([indices, order.permutation(len(images.train))])
        chosen, indices = indices[:batch], indices[batch:]
        x, y = image_data.batch(images.train[chosen], size), images.train_labels[chosen]
        started = time.perf_counter()
        # Cosine decay to a tenth; the learning rate is an input of each step.
        rate = LEARNING_RATE * (0.55 + 0.45 * float(np.cos(np.pi * step / steps)))
        losses.append(trainer.step(x, y, lr=rate))
        times.append(time.perf_counter() - started)
        report.put(1)
    memory = peak_memory() - before
    right = count = 0
    for i in range(0, len(images.test), batch):
        part = images.test[i : i + batch]
        padded = np.concatenate([part, np.repeat(part[-1:], batch - len(part), axis=0)])
        logits = trainer.predict(image_data.batch(padded, size))[: len(part)]
        right += int((logits.argmax(1) == images.test_labels[i : i + batch]).sum())
        count += len(part)
    return Outcome(right / count, tuple(losses), float(np.median(times)), memory)


def load(data: str) -> image_data.Images:
    """The data set of a name; Fashion-MNIST is cut to 2,000 test images."""
    if data == "digits":
        return image_data.digits()
    whole = image_data.fashion_mnist()
    return image_data.Images(whole.train, whole.train_labels, whole.test[:2000], whole.test_labels[:2000])


def peak_memory() -> int:
    """The most memory that this process has held so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage counts what the parent held when it started this process.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def train_all(
    programs: dict[str, Path], data: str, steps: int, batch: int, size: int, console: Console
) -> dict[str, Outcome]:
    """Train every program, one after the other, each in a fresh process."""
    spawn = multiprocessing.get_context("spawn")
    outcomes = {}
    columns = (TextColumn("{task.description:>14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, spawn.Manager() as manager:
        for name, path in programs.items():
            bar, ticks = progress.add_task(name, total=steps), manager.Queue()
            with spawn.Pool(1) as pool:
                result = pool.apply_async(train, (str(path), data, steps, batch, size, 0, ticks))
                while not result.ready():
                    result.wait(0.2)
                    while not ticks.empty():
                        progress.advance(bar, ticks.get())
                progress.update(bar, completed=steps)
                outcomes[name] = result.get()
    return outcomes


def main(
    data: Annotated[
        str, typer.Option(help="digits, or fashion-mnist where Debian's data set is installed.")
    ] = "digits",
    steps: Annotated[int, typer.Option(min=1, help="Training steps for each scheme.")] = 150,
    output: Annotated[Path, typer.Option(help="Where the compiled programs go.")] = Path("build/demo"),
) -> None:
    """Fine-tune EfficientNet-Lite0 in full, sparsely, biases only and last layer only, and compare them."""
    from efficientnet import BATCH, SIZE, task

    from pock.compiler import Scheme, compile_program, trace
    from pock.compiler.driver import load_scheme
    from pock.compiler.optimizers import parse_optimizer

    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    if data not in ("digits", "fashion-mnist"):
        console.print(f"error: --data must be digits or fashion-mnist, got {data}", style="red")
        raise typer.Exit(2)
    try:
        load(data)
    except image_data.DataError as error:
        console.print(f"error: {error}", style="red")
        raise typer.Exit(1) from None
    output.mkdir(parents=True, exist_ok=True)
    schemes = {
        "full": Scheme.full(),
        "sparse": load_scheme(str(HERE / "sparse.yaml")),
        "bias only": Scheme.bias_only("_fc.*"),
        "last layer": Scheme.last_layer("_fc.*"),
    }
    started = time.perf_counter()
    with console.status("tracing EfficientNet-Lite0 with PyTorch"):
        program = trace(task())
    console.print(
        f"traced in {time.perf_counter() - started:.1f} s; every scheme is compiled from this trace"
    )
    artifacts, seconds, programs = {}, {}, {}
    for name, scheme in schemes.items():
        since = time.perf_counter()
        with console.status(f"compiling: {name}"):
            artifacts[name] = compile_program(program, scheme, parse_optimizer(OPTIMIZER))
        programs[name] = output / f"{name.replace(' ', '-')}.vmfb"
        artifacts[name].save(programs[name])
        seconds[name] = time.perf_counter() - since
        console.print(f"compiled {name} in {seconds[name]:.1f} s")
    outcomes = train_all(programs, data, steps, BATCH, SIZE, console)

    table = Table(
        title=f"EfficientNet-Lite0 on {data}: {steps} steps, batch {BATCH}, {SIZE} by {SIZE} pixels, "
        f"{os.cpu_count()} cores"
    )
    for column in (
        "scheme",
        "trained\nparameters",
        "accuracy",
        "ms a step",
        "speed-up",
        "process memory\nof training",
        "step memory\n(predicted)",
        "artifact",
        "compile time",
    ):
        table.add_column(column, justify="left" if column == "scheme" else "right")
    full = outcomes["full"]
    for name, outcome in outcomes.items():
        memory = artifacts[name].metadata["memory"]
        table.add_row(
            name,
            f"{trained_elements(artifacts[name].metadata):,}",
            f"{outcome.accuracy:.1%}",
            f"{outcome.step_seconds * 1e3:.0f}",
            f"{full.step_seconds / outcome.step_seconds:.1f}x",
            f"{outcome.memory / 1e6:.0f} MB",
            f"{(memory['transient'] + memory['state']) / 1e6:.1f} MB",
            f"{programs[name].stat().st_size / 1e6:.1f} MB",
            f"{seconds[name]:.0f} s",
        )
    console.print(table)
    gap = (full.accuracy - outcomes["sparse"].accuracy) * 100
    console.print(
        f"sparse training ends {abs(gap):.1f} points {'below' if gap > 0 else 'above'} full training"
    )


def trained_elements(metadata: dict[str, Any]) -> int:
    """How many numbers a training step may change."""
    total = 0
    for entry in metadata["state"]:
        if entry["kind"] == "parameter":
            shape, mask = list(entry["shape"]), entry["mask"]
            if mask["update"] in ("range", "list"):
                begin_end = mask["indices"]
                count = begin_end[1] - begin_end[0] if mask["update"] == "range" else len(begin_end)
                shape[mask["axis"]] = count
            total += int(np.prod(shape))
    return total


if __name__ == "__main__":
    typer.run(main)
