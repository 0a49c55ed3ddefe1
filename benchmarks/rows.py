# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What rows of images gain: ``python -m pock.benchmarks.rows`` prints two tables.

One is of strips (``sparsebp-split-rows``), the other of cores that share rows (``sparsebp-share-rows``).
Sparse steps are compiled as ``pock-compile --cores`` does, with strips of some sizes and without, or with
shared rows and without, and all are loaded in one process, which takes turns with them. Times are medians of
whole steps; the memory is that of a step.
"""

from dataclasses import dataclass
from unittest.mock import patch

import numpy as np

from pock.compiler import Scheme, TrainingProgram, TrainingTask, compile_program, trace
from pock.compiler.passes.share_rows import ShareRows
from pock.targets.cpu import CPU

from .machine import processors
from .shards import in_turns
from .workloads import WORKLOADS

CASES = (
    ("mobilenetv2-128", 8),
    ("mobilenetv2-224", 1),
    ("mobilenetv2-224", 8),
    ("efficientnet-lite0", 8),
)
"""Workloads and batches."""

SHARED = ("mobilenetv2-0.35", "mobilenetv2-128", "mobilenetv2-224", "efficientnet-lite0")
"""Workloads, at batch 1."""

SIZES = (0, CPU().strip // 2, CPU().strip, 2 * CPU().strip)
"""Bytes of a strip; 0 is without."""


@dataclass(frozen=True)
class Strips(CPU):
    """This machine's processor, with strips of some bytes."""

    bytes: int = 0

    @property
    def strip(self) -> int:
        return self.bytes


def main() -> None:
    """Print the tables."""
    _print_strips()
    print()
    _print_shared()


def _print_strips() -> None:
    print(f"| workload | batch | {' | '.join(f'{size >> 10} KiB, ms, MB' for size in SIZES)} |")
    print(f"| --- | --- |{' --- |' * len(SIZES)}")
    for name, batch in CASES:
        program, scheme, arrays = _traced(name, batch)
        artifacts = [
            compile_program(program, scheme, target=Strips(bytes=size), cores=processors()) for size in SIZES
        ]
        times = in_turns(artifacts, arrays)
        taken = [artifact.metadata["memory"]["transient"] / 1e6 for artifact in artifacts]
        cells = [f"{time:.1f}, {size:.0f}" for time, size in zip(times, taken, strict=True)]
        print(f"| {name} | {batch} | {' | '.join(cells)} |", flush=True)


def _print_shared() -> None:
    print("| workload | batch | rows not shared, ms | shared, ms |\n| --- | --- | --- | --- |")
    for name in SHARED:
        program, scheme, arrays = _traced(name, 1)
        with patch.object(ShareRows, "apply", lambda *_: None):
            artifacts = [compile_program(program, scheme, cores=processors())]
        artifacts.append(compile_program(program, scheme, cores=processors()))
        times = " | ".join(f"{time:.2f}" for time in in_turns(artifacts, arrays))
        print(f"| {name} | 1 | {times} |", flush=True)


def _traced(name: str, batch: int) -> tuple[TrainingProgram, Scheme, tuple[np.ndarray, ...]]:
    """A workload's program, its sparse scheme, and a batch."""
    workload = WORKLOADS[name]
    built = workload.build(batch)
    names = workload.trained("sparse", [name for name, _ in built.model.named_parameters()])
    program = trace(TrainingTask(built.model, (built.inputs,), (built.targets,), built.loss))
    return program, Scheme.last_layer(*names), (built.inputs.numpy(), built.targets.numpy())


if __name__ == "__main__":
    main()
