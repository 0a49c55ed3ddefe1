# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``pock-bench``: measure pock and its peers side by side."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from typer import BadParameter, Option

from pock.benchmarks import peers, workloads
from pock.benchmarks.errors import BenchmarkError
from pock.benchmarks.report import comparison, listing, show
from pock.benchmarks.results import Results
from pock.benchmarks.session import Request, run
from pock.benchmarks.workload import SCHEMES
from pock.compiler.errors import PockError, UsageError
from pock.compiler.files import write_bytes
from pock.compiler.optimizers import parse_optimizer

from .command import run as run_command
from .profiling import WIDE, Outputs, print_profile


def pock_bench(
    workload: Annotated[
        str | None, Option(metavar="GLOBS", help="Workloads, by globs separated by commas; by default all.")
    ] = None,
    batch: Annotated[
        str | None, Option(metavar="N,N", help="Batch sizes, separated by commas; by default 1,8.")
    ] = None,
    scheme: Annotated[
        str | None, Option(metavar="NAMES", help=f"Of {', '.join(SCHEMES)}; by default all.")
    ] = None,
    peer: Annotated[
        str, Option(metavar="GLOBS", help="Peers, by globs separated by commas; pock is always there.")
    ] = "*",
    rounds: Annotated[
        int | None, Option(min=1, metavar="N", help="How many turns each contestant takes; by default 10.")
    ] = None,
    turn: Annotated[
        float | None,
        Option(min=0.0, metavar="SECONDS", help="How long a turn is, at least a step; by default 0.4."),
    ] = None,
    optimizer: Annotated[
        str, Option(metavar="OPTIMIZER", help="As for pock-compile; the peers have SGD, with momentum too.")
    ] = "sgd",
    threads: Annotated[
        int | None, Option(min=1, metavar="N", help="Threads of each contestant; by default 2.")
    ] = None,
    quick: Annotated[
        bool,
        Option("--quick", help="A look: what is not given is the smallest workload, batch 1, 3 short turns."),
    ] = False,
    json: Annotated[Path | None, Option(metavar="FILE", help="Write everything measured to FILE.")] = None,
    show_: Annotated[
        list[Path] | None,
        Option(
            "--show",
            metavar="FILE",
            help="Show a file again; given twice, compare the first with the second.",
        ),
    ] = None,
    profile: Annotated[
        bool,
        Option(
            "--profile",
            help="Instead of racing, print which layers and dispatches pock's steps spend their time in; "
            "--json then takes the profile, and with several cases each has a file.",
        ),
    ] = False,
    profile_picture: Annotated[
        Path | None, Option(metavar="FILE", help="Draw the profiles: .svg, .png or .pdf (needs matplotlib).")
    ] = None,
    list_: Annotated[bool, Option("--list", help="List the workloads, contestants and schemes.")] = False,
) -> int:
    """Measure pock and its peers side by side on the same work, and say how they compare.

    Every contestant runs in a process of its own, and in each round each takes a turn. A contestant that is
    not installed, or cannot do the work, or crashes, is a line of the table with the reason.

    \b
    Examples:
      pock-bench --quick
      pock-bench --workload 'mobilenet*' --batch 8 --scheme full,sparse --peer 'torch*' --json out.json
      pock-bench --show before.json --show after.json
      pock-bench --profile --workload resnet50 --batch 8 --scheme full --profile-picture resnet50.svg
    """
    console = Console() if sys.stdout.isatty() else Console(width=WIDE)
    if list_:
        console.print(listing())
        return 0
    if show_:
        return _show([Results.load(path) for path in show_], console)
    request = Request(
        workloads=workloads.select(_words(workload or ("mobilenetv2-0.35" if quick else "*"))),
        batches=_batches(batch or ("1" if quick else "1,8")),
        schemes=_schemes(scheme or ",".join(SCHEMES)),
        contestants=peers.select(_words(peer)),
        rounds=rounds or (3 if quick else 10),
        turn=turn if turn is not None else 0.05 if quick else 0.4,
        optimizer=parse_optimizer(optimizer).to_string(),
        threads=threads or min(2, os.cpu_count() or 2),
    )
    outputs = Outputs(json, profile_picture)
    outputs.check()
    if profile or profile_picture is not None:
        return _profile(request, outputs)
    with Screen() as screen:
        # A run can take hours: what there is is kept.
        results = run(request, screen, lambda results: _write(json, results))
    show(results, console)
    return 0


def _profile(request: Request, outputs: Outputs) -> int:
    """Print and write the profiles of all cases; 1 if one of them failed."""
    from pock.benchmarks.profile.session import profiles

    several = len(request.workloads) * len(request.batches) * len(request.schemes) > 1
    cases = []
    with Screen() as screen:
        for case in profiles(request, screen):
            cases.append(case)
            if not isinstance(case.result, str):
                outputs.write(case.result, case.name if several else "")
    for case in cases:
        if isinstance(case.result, str):
            print(f"error: {case.name}: {case.result}", file=sys.stderr)
        else:
            print_profile(case.result)
    return 1 if any(isinstance(case.result, str) for case in cases) else 0


def _write(path: Path | None, results: Results) -> None:
    if path is not None:
        write_bytes(str(path), results.to_json().encode())


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _batches(text: str) -> list[int]:
    words = _words(text)
    if not words or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise BadParameter(f"--batch takes numbers above 0, separated by commas, got '{text}'")
    return [int(word) for word in words]


def _schemes(text: str) -> list[str]:
    for word in _words(text):
        if word not in SCHEMES:
            raise BadParameter(f"--scheme takes some of {', '.join(SCHEMES)}, got '{word}'")
    return [name for name in SCHEMES if name in _words(text)]


def _show(results: Sequence[Results], console: Console) -> int:
    if len(results) > 2:
        raise BadParameter("--show takes one file, or two to compare")
    show(results[-1], console)
    if len(results) == 2:
        console.print(comparison(*results))
    return 0


class Screen:
    """A bar for the run, on standard error: standard output is for the tables.

    Where standard error is no terminal, a line whenever another case begins.
    """

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("")
        self._case = ""

    def __enter__(self) -> "Screen":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, units: int) -> None:
        self._progress.update(self._task, total=units)

    def doing(self, what: str) -> None:
        self._progress.update(self._task, description=what)
        case = what.partition(":")[0]
        if self._progress.disable and case != self._case:
            print(case, file=sys.stderr, flush=True)
        self._case = case

    def advance(self, units: int = 1) -> None:
        self._progress.advance(self._task, units)


def _explain(error: Exception) -> tuple[int, Sequence[str]] | None:
    if isinstance(error, PockError):
        return (2 if isinstance(error, UsageError) else 1), error.lines()
    return (1, [f"error: {error}"]) if isinstance(error, BenchmarkError) else None


def main() -> NoReturn:
    """The console script."""
    # As Ctrl-C: the child processes and temporary files go.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    run_command(pock_bench, _explain, sys.argv[1:])
