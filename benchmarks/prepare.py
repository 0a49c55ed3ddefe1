# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A child process that makes what contestants run: graphs for the peers, a compiled program for pock."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from .errors import reason
from .machine import processors

TRACED = "program.pock"

COMMANDS = "commands.json"
"""What a step of the compiled program does, beside it."""


def trace(folder: Path, workload: str, batch: int, schemes: list[str], peers: bool = True) -> dict[str, Any]:
    """Make ``program.pock`` in ``folder``, and for the ``peers`` a graph in each scheme's folder.

    Gives the seconds that tracing took and, for each scheme, how many values it trains, the FLOPs of
    a step and the rate of the checked steps. Where no graph can be made, its reason is under ``error``, and
    the folder holds the batch only.
    """
    import torch

    from pock.compiler import TrainingTask
    from pock.compiler import trace as trace_task

    from .export import batch_of
    from .graph import save_batch
    from .workloads import WORKLOADS

    torch.set_num_threads(processors())
    chosen = WORKLOADS[workload]
    built = chosen.build(batch)
    parameters = dict(built.model.named_parameters())
    answers = {}
    for scheme in schemes:
        names = chosen.trained(scheme, list(parameters))
        save_batch(batch_of(built), folder / scheme)
        answers[scheme] = {"trained": sum(parameters[name].numel() for name in names)}
        if peers:
            answers[scheme] |= _graph(folder / scheme, built, names)
    task = TrainingTask(built.model, (built.inputs,), (built.targets,), built.loss, name=workload)
    began = time.perf_counter()
    program = trace_task(task)
    seconds = time.perf_counter() - began
    program.save(folder / TRACED)
    return {"trace_seconds": seconds, "schemes": answers}


def _graph(folder: Path, built: Any, trained: list[str]) -> dict[str, Any]:
    from .export import export
    from .flops import count
    from .fold import fold_batch_norms
    from .rate import checked_rate

    try:
        graph = fold_batch_norms(export(built, trained))
        answer = {"flops": count(graph), "rate": checked_rate(graph)}
    except Exception as error:  # the peers' misfortune, not pock's
        return {"error": reason(error)}
    graph.save(folder)
    return answer


def compile_(
    folder: Path, scheme: str, patterns: list[str], optimizer: str, cores: int = 1
) -> dict[str, Any]:
    """Compile ``program.pock`` of ``folder`` for ``scheme``, into the scheme's folder; seconds, and bytes.

    A step is divided among ``cores`` where that pays.
    """
    from pock.compiler import Scheme, TrainingProgram, compile_program
    from pock.compiler.optimizers import parse_optimizer

    from .peers.pock import PROGRAM

    program = TrainingProgram.load(folder / TRACED)
    chosen = Scheme.last_layer(*patterns)
    began = time.perf_counter()
    with_ = parse_optimizer(optimizer)
    artifact = compile_program(program, chosen, with_, cores=cores)
    seconds = time.perf_counter() - began
    path = folder / scheme / PROGRAM
    artifact.save(path)
    (folder / scheme / COMMANDS).write_text(json.dumps([command.to_json() for command in artifact.commands]))
    memory = artifact.metadata["memory"]
    return {
        "compile_seconds": seconds,
        "artifact": path.stat().st_size,
        "predicted_memory": memory["transient"] + memory["state"],
    }


def peak(threads: int) -> dict[str, Any]:
    """This machine's f32 peak as measured, see ``machine``."""
    from .machine import measure_peak

    return measure_peak(threads)


def main() -> NoReturn:
    """Do the job on standard input's first line and answer with a line."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        job = json.loads(sys.stdin.readline())
        function, arguments = job["do"], job["with"]
        if "folder" in arguments:
            arguments["folder"] = Path(arguments["folder"])
        functions: dict[str, Callable[..., dict[str, Any]]] = {
            "trace": trace,
            "compile": compile_,
            "peak": peak,
        }
        try:
            answer = functions[function](**arguments)
        except Exception as error:
            answer = {"error": reason(error)}
        print(json.dumps(answer), file=answers, flush=True)
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
