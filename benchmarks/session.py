# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Running a benchmark: every case's contestants side by side, each in its process, taking turns."""

import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any, Protocol

from .errors import Unsupported, reason
from .machine import processor
from .peers import POCK, REFERENCE, Entry
from .process import Child, busy_seconds
from .protocol import Job, Ran, Ready
from .results import Results, Row
from .statistics import Spread, difference, ratios
from .workload import Workload

#: Seconds after which a child is taken to hang.
_LONGEST_START, _LONGEST_TURN = 1800.0, 600.0

#: Steps whose losses are compared, and steps of pock outside of the timed ones.
_CHECKED, _MEASURED = 4, 30

TIMED_RATE = 1e-7
"""The learning rate of timed steps, which repeat one batch.

It costs what any other costs, and keeps the loss from zero: some processors are slow with the tiny numbers
there, and some contestants avoid them.
"""


@dataclass(frozen=True)
class Request:
    """What to measure.

    ``optimizer`` is pock's textual form. Each contestant takes one turn in each of ``rounds``, of about
    ``turn`` seconds, at least one step.
    """

    workloads: Sequence[Workload]
    batches: Sequence[int]
    schemes: Sequence[str]
    contestants: Sequence[Entry]
    rounds: int
    turn: float
    optimizer: str
    threads: int


class Observer(Protocol):
    """Is told how a run is getting on."""

    def begin(self, units: int) -> None:
        """The run begins, which is so many units of work."""

    def doing(self, what: str) -> None:
        """Something begins."""

    def advance(self, units: int = 1) -> None:
        """So many units are done."""


def run(request: Request, observer: Observer, keep: Callable[[Results], None] = lambda _: None) -> Results:
    """Measure everything that is asked for; what fails is a row with its reason.

    ``keep`` is given what there is whenever a workload is done.
    """
    contestants = len(request.contestants)
    each = len(request.schemes) * (1 + contestants + request.rounds)
    groups = list(product(request.workloads, request.batches))
    observer.begin(2 + len(groups) * (1 + each))
    observer.doing("measuring the machine's peak")
    peak = _peak(request.threads)
    observer.advance()
    options = {"rounds": request.rounds, "turn": request.turn, "optimizer": request.optimizer}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    machine = f"{processor()}, {os.cpu_count()} processors"
    results = Results(date, machine, request.threads, options, peak, 0.0, ())
    others: list[tuple[float, float]] = []
    for workload, batch in groups:
        with tempfile.TemporaryDirectory(prefix="pock-bench-") as folder:
            rows = _group(request, workload, batch, Path(folder), observer, others)
        results = replace(results, others=_share(others), rows=(*results.rows, *rows))
        keep(results)
    observer.doing("measuring the machine's peak again")
    results = replace(results, peak=_better(results.peak, _peak(request.threads)))
    observer.advance()
    keep(results)
    return results


def _share(parts: Sequence[tuple[float, float]]) -> float:
    whole = sum(part[1] for part in parts)
    return sum(part[0] for part in parts) / whole if whole else 0.0


def _peak(threads: int) -> dict[str, float]:
    try:
        return ask("peak", {"threads": threads}, threads)
    except Unsupported:
        return {}


def _better(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """The best that was measured: what slows the machine for a while is not its peak."""
    return {name: max(first.get(name, 0.0), second.get(name, 0.0)) for name in {**first, **second}}


def ask(function: str, arguments: dict[str, Any], threads: int) -> dict[str, Any]:
    """Call a function of ``prepare`` in a process of its own; raises ``Unsupported``."""
    child = Child("pock.benchmarks.prepare", {"do": function, "with": arguments}, threads)
    try:
        return child.answer(_LONGEST_START)
    finally:
        child.end()


def _group(
    request: Request,
    workload: Workload,
    batch: int,
    folder: Path,
    observer: Observer,
    others: list[tuple[float, float]],
) -> list[Row]:
    """All schemes of a workload and a batch size, which share a trace; adds to ``others``."""
    about = f"{workload.name}, batch {batch}"
    observer.doing(f"{about}: tracing")
    arguments = {"folder": str(folder), "workload": workload.name, "batch": batch}
    try:
        traced = ask("trace", {**arguments, "schemes": list(request.schemes)}, request.threads)
    except Unsupported as error:
        observer.advance(1 + len(request.schemes) * (1 + len(request.contestants) + request.rounds))
        return [
            Row(workload.name, batch, scheme, entry.name, error=f"tracing: {reason(error)}")
            for scheme in request.schemes
            for entry in request.contestants
        ]
    observer.advance()
    rows = []
    for scheme in request.schemes:
        case = _Case(request, workload, batch, scheme, folder, traced, observer)
        rows += case.run()
        others += case.others
    return rows


class _Case:
    """A workload, batch size and scheme: its contestants are started, take turns, and end together."""

    def __init__(
        self,
        request: Request,
        workload: Workload,
        batch: int,
        scheme: str,
        folder: Path,
        traced: dict[str, Any],
        observer: Observer,
    ) -> None:
        self._request, self._observer, self._traced = request, observer, traced
        self._workload, self._scheme, self._folder = workload, scheme, folder
        self._about = f"{workload.name}, batch {batch}, {scheme}"
        self._graph: dict[str, Any] = traced["schemes"][scheme]
        known = {"flops": self._graph.get("flops", 0), "trained": self._graph["trained"]}
        self._rows = {
            entry.name: Row(workload.name, batch, scheme, entry.name, **known)
            for entry in request.contestants
        }
        self._children: dict[str, Child] = {}
        self._ready: dict[str, Ready] = {}
        self._turns: dict[str, list[Ran]] = defaultdict(list)
        self.others: list[tuple[float, float]] = []
        """Of each turn, the processor time that other processes used, and all that there was."""

    def run(self) -> list[Row]:
        try:
            self._compile()
            for entry in self._request.contestants:
                self._observer.doing(f"{self._about}: starting {entry.name}")
                if self._rows[entry.name].error is None:
                    self._start(entry.name)
                self._observer.advance()
            for number in range(self._request.rounds):
                self._observer.doing(f"{self._about}: round {number + 1} of {self._request.rounds}")
                self._round(number)
                self._observer.advance()
            if POCK in self._children:
                self._measure()
            for name in self._children:
                self._finish(name)
        finally:
            for child in self._children.values():
                child.end()
        return [self._checked(row) for row in self._rows.values()]

    def _compile(self) -> None:
        """Compile pock's program; if that fails, its row says so."""
        self._observer.doing(f"{self._about}: compiling")
        arguments = {
            "folder": str(self._folder),
            "scheme": self._scheme,
            "patterns": list(self._workload.patterns(self._scheme)),
            "optimizer": self._request.optimizer,
            "cores": self._request.threads,
        }
        try:
            compiled = ask("compile", arguments, self._request.threads)
        except Unsupported as error:
            self._fail(POCK, f"compiling: {error}")
        else:
            self._rows[POCK] = replace(
                self._rows[POCK],
                compile_seconds=compiled["compile_seconds"],
                trace_seconds=self._traced["trace_seconds"],
                artifact=compiled["artifact"],
                further={"predicted_memory": compiled["predicted_memory"]},
            )
        self._observer.advance()

    def _start(self, name: str) -> None:
        if name != POCK and "error" in self._graph:
            self._fail(name, self._graph["error"])
            return
        job = Job(
            name,
            str(self._folder / self._scheme),
            _optimizer(self._request.optimizer),
            self._graph.get("rate", TIMED_RATE),
            TIMED_RATE,
            self._request.threads,
            _CHECKED,
            self._request.turn,
        )
        try:
            self._children[name] = Child("pock.benchmarks.child", asdict(job), self._request.threads)
            self._ready[name] = Ready(**self._children[name].answer(_LONGEST_START))
        except Unsupported as error:
            self._fail(name, str(error))

    def _round(self, number: int) -> None:
        """One turn of each, beginning with another one in each round."""
        names = list(self._children)
        shift = number % len(names) if names else 0
        for name in (*names[shift:], *names[:shift]):
            steps = max(1, min(1000, round(self._request.turn / self._ready[name].step_seconds)))
            ran = self._turn(name, steps)
            if ran is not None:
                self._turns[name].append(ran)

    def _turn(self, name: str, steps: int) -> Ran | None:
        """A turn, and what other processes used of the processors meanwhile."""
        child, before = self._children[name], busy_seconds()
        used = child.cpu_seconds()
        ran = self._tell(name, {"run": steps})
        if ran is not None:
            after = busy_seconds()
            others = after[0] - before[0] - (child.cpu_seconds() - used)
            self.others.append((max(0.0, others), after[1] - before[1]))
        return ran

    def _tell(self, name: str, message: dict[str, int]) -> Ran | None:
        try:
            self._children[name].tell(message)
            return Ran(**self._children[name].answer(_LONGEST_TURN))
        except Unsupported as error:
            self._fail(name, str(error))
            return None

    def _measure(self) -> None:
        ran = self._tell(POCK, {"measure": _MEASURED})
        if ran is not None:
            row = self._rows[POCK]
            self._rows[POCK] = replace(row, further={**row.further, **ran.further})

    def _fail(self, name: str, why: str) -> None:
        self._rows[name] = replace(self._rows[name], error=why)
        self._children.pop(name, None)

    def _finish(self, name: str) -> None:
        """Put what a contestant has measured into its row."""
        turns, ready = self._turns[name], self._ready[name]
        spread = Spread.of([seconds for turn in turns for seconds in turn.seconds])
        row = self._rows[name]
        self._rows[name] = replace(
            row,
            version=ready.version,
            median=spread.median,
            low=spread.low,
            high=spread.high,
            best=min(min(turn.seconds) for turn in turns),
            steps=sum(len(turn.seconds) for turn in turns),
            compile_seconds=row.compile_seconds if name == POCK else ready.build_seconds,
            memory=max(turn.peak - turn.base for turn in turns),
            process=max(turn.peak for turn in turns),
            losses=ready.losses,
            rounds=tuple(Spread.of(turn.seconds).median for turn in turns),
        )
        if POCK in self._children:
            mine = [turn.seconds for turn in self._turns[POCK]]
            ratio = Spread.of(ratios([turn.seconds for turn in turns], mine))
            self._rows[name] = replace(
                self._rows[name], ratio=ratio.median, ratio_low=ratio.low, ratio_high=ratio.high
            )

    def _checked(self, row: Row) -> Row:
        """The row with how far its losses are from the reference's: PyTorch eager's, in any layout."""
        references = [r for r in self._rows.values() if r.contestant.startswith(REFERENCE) and r.losses]
        if not row.losses or not references:
            return row
        return replace(row, difference=difference(row.losses, references[0].losses))


def _optimizer(text: str) -> dict[str, Any]:
    from pock.compiler.optimizers import parse_optimizer

    return parse_optimizer(text).to_dict()
