# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What computing constants saves: ``python -m pock.benchmarks.constants`` prints a table.

Sparse steps are compiled as ``pock-compile --cores`` does, without ``sparsebp-fold-constants`` and with it,
each once; tracing is not in the time. Each program is loaded in a process of its own: its memory is the most
that it holds after the first step, and the time is from starting to load to the end of that step.
"""

import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

from pock.compiler import Scheme, TrainingProgram, TrainingTask, compile_program, trace

from .export import batch_of
from .graph import save_batch
from .machine import processors
from .peers.pock import PROGRAM
from .process import Child
from .protocol import Job
from .workloads import WORKLOADS

CASES = ("mobilenetv2-128", "efficientnet-lite0", "resnet50", "bert-small", "llama-small")
"""Workloads, at batch 1."""

_STEPS, _LONGEST = 5, 300.0
"""Steps in the process, and seconds for it to answer."""


def measured(program: TrainingProgram, scheme: Scheme, folder: Path, folds: bool) -> str:
    """Memory in MB, the artifact's in MB, seconds to the first step's end, seconds of compiling."""
    without = patch("pock.compiler.pipeline.fold_constants", lambda _, values: values)
    began = time.perf_counter()
    with nullcontext() if folds else without:
        artifact = compile_program(program, scheme, cores=processors())
    compiling = time.perf_counter() - began
    path = folder / PROGRAM
    artifact.save(path)
    job = Job("pock", str(folder), {}, 1e-7, 1e-7, processors(), checked_steps=2, warm_up=0)
    child = Child("pock.benchmarks.child", job.to_json(), processors())
    try:
        ready = child.answer(_LONGEST)
        child.tell({"run": _STEPS})
        ran = child.answer(_LONGEST)
    finally:
        child.end()
    megabytes = f"{ran['peak'] / 1e6:.0f}, {path.stat().st_size / 1e6:.1f}"
    return f"{megabytes}, {ready['build_seconds']:.3f}, {compiling:.0f}"


def main() -> None:
    """Print the table."""
    cells = "MB of the process, MB of the artifact, s to the first step, s to compile"
    print(f"| workload | without: {cells} | with |\n| --- | --- | --- |")
    for name in CASES:
        workload = WORKLOADS[name]
        built = workload.build(1)
        names = workload.trained("sparse", [name for name, _ in built.model.named_parameters()])
        program = trace(TrainingTask(built.model, (built.inputs,), (built.targets,), built.loss))
        with tempfile.TemporaryDirectory() as folder:
            save_batch(batch_of(built), Path(folder))
            scheme = Scheme.last_layer(*names)
            row = [measured(program, scheme, Path(folder), folds) for folds in (False, True)]
        print(f"| {name} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
