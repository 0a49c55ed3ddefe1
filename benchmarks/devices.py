# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What more than one core gains: ``python -m pock.benchmarks.devices`` prints the table in ``runtime.cores``.

Each program is loaded on one core and on all of them in one process, which takes turns with them; times are
medians of whole steps.
"""

import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np

from pock.benchmarks.workloads import WORKLOADS
from pock.runtime import Trainer
from pock.runtime.cores import default_device, weight

CASES = tuple(
    product(("tiny", "mobilenetv2-0.35", "mobilenetv2-128", "bert-small"), (1, 8), ("sparse", "full"))
)
"""Workloads, batch sizes and schemes."""

DEVICES = ("local-sync", "local-task")

_TURNS, _TURN = 15, 0.2
"""Turns of each device, and seconds of each."""


def compiled(name: str, batch: int, scheme: str, folder: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """The program of a case, and a batch."""
    # The compiler is imported where something is compiled: it brings PyTorch.
    from pock.compiler import Scheme, TrainingTask, compile_program, trace

    workload = WORKLOADS[name]
    built = workload.build(batch)
    names = workload.trained(scheme, [name for name, _ in built.model.named_parameters()])
    program = trace(TrainingTask(built.model, (built.inputs,), (built.targets,), built.loss))
    path = folder / "model.vmfb"
    compile_program(program, Scheme.last_layer(*names)).save(path)
    return path, built.inputs.numpy(), built.targets.numpy()


def milliseconds(path: Path, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The median step on each device."""
    trainers = {device: Trainer(path, device=device) for device in DEVICES}
    times: dict[str, list[float]] = {device: [] for device in DEVICES}
    for turn in range(_TURNS + 1):
        for device, trainer in trainers.items():
            until = time.perf_counter() + _TURN
            while (began := time.perf_counter()) < until:
                trainer.step(x, y, lr=1e-7)
                # The first turn is to get warm.
                times[device] += [time.perf_counter() - began] if turn else []
    return {device: 1e3 * float(np.median(taken)) for device, taken in times.items()}


def main() -> None:
    """Print the table."""
    print("| workload | batch | scheme | dispatches | kB each | one core, ms | all, ms | chosen |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, batch, scheme in CASES:
        with tempfile.TemporaryDirectory() as folder:
            path, x, y = compiled(name, batch, scheme, Path(folder))
            found = milliseconds(path, x, y)
            metadata = Trainer(path).metadata
        assert metadata.work is not None
        times = " | ".join(f"{found[device]:.2f}" for device in DEVICES)
        about = f"{metadata.work.dispatches} | {weight(metadata.work) / 1e3:.0f}"
        chosen = "one" if default_device(metadata) == DEVICES[0] else "all"
        print(f"| {name} | {batch} | {scheme} | {about} | {times} | {chosen} |", flush=True)


if __name__ == "__main__":
    main()
