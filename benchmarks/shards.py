# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What dividing a batch gains, and if it is chosen: ``python -m pock.benchmarks.shards`` prints a table.

Each program is compiled for all cores to share each dispatch, for each to have a part of the batch, and for
each to have two half parts; all are loaded in one process, which takes turns with them. Times are medians of
whole steps.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pock.compiler import (
    SGD,
    Artifact,
    Division,
    Scheme,
    TrainingProgram,
    TrainingTask,
    compile_program,
    trace,
    worthwhile_division,
)
from pock.compiler.opt import run_pipeline
from pock.compiler.sharding import divided, largest_activation, products_of, weights_and_activations
from pock.compiler.stages import masked, pruned
from pock.runtime import Trainer

from .machine import processors
from .workloads import WORKLOADS

CASES = (
    ("mobilenetv2-0.35", "full"),
    ("mobilenetv2-0.35", "sparse"),
    ("bert-small", "sparse"),
    ("llama-small", "sparse"),
    ("resnet50", "sparse"),
    ("mobilenetv2-128", "sparse"),
    ("mobilenetv2-224", "sparse"),
    ("mobilenetv2-224", "full"),
)
"""Workloads and schemes."""

_BATCH, _TURNS, _TURN = 8, 10, 0.5


def milliseconds(
    program: TrainingProgram, scheme: Scheme, batch: tuple[np.ndarray, ...], divisions: Sequence[Division]
) -> list[float]:
    """The median step, divided in each of these ways."""
    return in_turns(
        [compile_program(program, scheme, shards=shards, ranks=ranks) for shards, ranks in divisions], batch
    )


def in_turns(artifacts: Sequence[Artifact], batch: tuple[np.ndarray, ...]) -> list[float]:
    """The median step of each program, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        trainers = []
        for i, artifact in enumerate(artifacts):
            path = Path(folder) / f"{i}.vmfb"
            artifact.save(path)
            trainers.append(Trainer(path))
        times: list[list[float]] = [[] for _ in trainers]
        for turn in range(_TURNS + 1):
            for taken, trainer in zip(times, trainers, strict=True):
                until = time.perf_counter() + _TURN
                while (began := time.perf_counter()) < until:
                    trainer.step(*batch, lr=1e-7)
                    # The first turn is to get warm.
                    taken += [time.perf_counter() - began] if turn else []
        return [1e3 * float(np.median(taken)) for taken in times]


def main() -> None:
    """Print the table."""
    cores = processors()
    ways = [Division(), Division(shards=cores), Division(shards=2 * cores)]
    print(
        "| workload | scheme | weights / activations | KB by product | MB of the largest activation "
        "| shared, ms | divided, ms | in half parts, ms | chosen |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, kind in CASES:
        workload = WORKLOADS[name]
        built = workload.build(_BATCH)
        names = workload.trained(kind, [name for name, _ in built.model.named_parameters()])
        scheme = Scheme.last_layer(*names)
        program = trace(TrainingTask(built.model, (built.inputs,), (built.targets,), built.loss))
        module = program.copy_module()
        run_pipeline(module, [*masked(scheme), *pruned()])
        divided(module, Division(shards=cores))
        weights, activations = weights_and_activations(module, cores)
        each, largest = weights / products_of(module) / 1e3, largest_activation(module) / 1e6
        batch = (built.inputs.numpy(), built.targets.numpy())
        times = milliseconds(program, scheme, batch, ways)
        chosen = worthwhile_division(program, scheme, SGD(), cores).shards
        cells = [f"{weights / activations:.2f}", f"{each:.0f}", *(f"{n:.1f}" for n in (largest, *times))]
        print(f"| {name} | {kind} | {' | '.join(cells)} | {chosen} |", flush=True)


if __name__ == "__main__":
    main()
