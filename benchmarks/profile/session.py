# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Profiles of workloads: each is traced and compiled in processes of its own, as for a benchmark."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from pock.benchmarks.errors import Unsupported
from pock.benchmarks.graph import load_batch
from pock.benchmarks.peers.pock import PROGRAM
from pock.benchmarks.prepare import COMMANDS
from pock.benchmarks.session import Observer, Request, ask
from pock.benchmarks.workload import Workload
from pock.compiler.analysis.commands import Command
from pock.compiler.errors import PockError

from .measure import profile
from .peaks import measure_peaks
from .results import Peaks, Profile


@dataclass(frozen=True)
class Case:
    """A workload, batch size and scheme, and its profile, or why there is none."""

    name: str
    result: Profile | str


def profiles(request: Request, observer: Observer) -> Iterator[Case]:
    """The profiles of all workloads, batch sizes and schemes of a request; it asks for nothing else."""
    groups = list(product(request.workloads, request.batches))
    observer.begin(1 + len(groups) * (1 + len(request.schemes)))
    observer.doing("measuring the machine's peaks")
    peaks = measure_peaks(request.threads)
    observer.advance()
    for workload, batch in groups:
        with tempfile.TemporaryDirectory(prefix="pock-bench-") as name:
            yield from _group(request, workload, batch, Path(name), peaks, observer)


def _group(
    request: Request, workload: Workload, batch: int, folder: Path, peaks: Peaks, observer: Observer
) -> Iterator[Case]:
    """All schemes of a workload and a batch size, which share a trace."""
    about = f"{workload.name}, batch {batch}"
    observer.doing(f"{about}: tracing")
    arguments = {"folder": str(folder), "workload": workload.name, "batch": batch, "peers": False}
    failed = None
    try:
        ask("trace", {**arguments, "schemes": list(request.schemes)}, request.threads)
    except Unsupported as error:
        failed = f"tracing: {error}"
    observer.advance()
    for scheme in request.schemes:
        observer.doing(f"{about}, {scheme}: profiling")
        try:
            result = failed or _profiled(request, workload, batch, scheme, folder, peaks)
        except (Unsupported, PockError) as error:
            result = str(error)
        observer.advance()
        yield Case(f"{workload.name}-{batch}-{scheme}", result)


def _profiled(
    request: Request, workload: Workload, batch: int, scheme: str, folder: Path, peaks: Peaks
) -> Profile:
    patterns = list(workload.patterns(scheme))
    arguments = {"folder": str(folder), "scheme": scheme, "patterns": patterns}
    ask("compile", {**arguments, "optimizer": request.optimizer}, request.threads)
    own = folder / scheme
    commands = [Command.from_json(data) for data in json.loads((own / COMMANDS).read_text())]
    about = {"scheme": scheme, "optimizer": request.optimizer, "batch": f"batch {batch}"}
    arrays = list(load_batch(own).values())
    return profile(own / PROGRAM, commands, request.threads, peaks, arrays, about)
