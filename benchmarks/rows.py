# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What strips of rows gain (``sparsebp-split-rows``): ``python -m pock.benchmarks.rows`` prints a table.

Sparse steps are compiled as ``pock-compile --cores`` does, with strips of some sizes and without, and all are
loaded in one process, which takes turns with them. Times are medians of whole steps; the memory is that of
a step.
"""

from dataclasses import dataclass

from pock.compiler import Scheme, TrainingTask, compile_program, trace
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
    """Print the table."""
    print(f"| workload | batch | {' | '.join(f'{size >> 10} KiB, ms, MB' for size in SIZES)} |")
    print(f"| --- | --- |{' --- |' * len(SIZES)}")
    for name, batch in CASES:
        workload = WORKLOADS[name]
        built = workload.build(batch)
        names = workload.trained("sparse", [name for name, _ in built.model.named_parameters()])
        program = trace(TrainingTask(built.model, (built.inputs,), (built.targets,), built.loss))
        scheme = Scheme.last_layer(*names)
        artifacts = [
            compile_program(program, scheme, target=Strips(bytes=size), cores=processors()) for size in SIZES
        ]
        times = in_turns(artifacts, (built.inputs.numpy(), built.targets.numpy()))
        taken = [artifact.metadata["memory"]["transient"] / 1e6 for artifact in artifacts]
        cells = [f"{time:.1f}, {size:.0f}" for time, size in zip(times, taken, strict=True)]
        print(f"| {name} | {batch} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
