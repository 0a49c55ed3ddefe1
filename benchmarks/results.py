# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a run of the benchmark gives: rows, the machine, and the file that holds them."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from .errors import BenchmarkError
from .peers import POCK

FORMAT = 1

TOLERANCE = 1e-3
"""By how much losses may differ from the reference's, relatively."""


@dataclass(frozen=True)
class Row:
    """One contestant in one case. Times in seconds, memory in bytes; ``error`` says why there are no others.

    ``ratio`` is the contestant's time by pock's, median over the rounds, with its quartiles.
    ``difference`` is that of the checked losses to the reference's, relatively. ``memory`` is the growth of
    the process from after its imports to its peak in training, ``process`` that peak. ``trained`` is how many
    values the scheme trains.
    """

    workload: str
    batch: int
    scheme: str
    contestant: str
    error: str | None = None
    version: str = ""
    median: float = math.nan
    low: float = math.nan
    high: float = math.nan
    best: float = math.nan
    steps: int = 0
    ratio: float = math.nan
    ratio_low: float = math.nan
    ratio_high: float = math.nan
    compile_seconds: float = math.nan
    trace_seconds: float = math.nan
    artifact: int = 0
    memory: int = 0
    process: int = 0
    flops: int = 0
    trained: int = 0
    difference: float = math.nan
    losses: tuple[float, ...] = ()
    further: Mapping[str, float] = field(default_factory=dict)
    rounds: tuple[float, ...] = ()
    """The median of each round."""

    @property
    def case(self) -> tuple[str, int, str]:
        """Workload, batch size and scheme."""
        return (self.workload, self.batch, self.scheme)

    @property
    def wrong(self) -> bool:
        """Whether the losses are not the reference's; without a reference nothing is known."""
        return self.difference > TOLERANCE

    @property
    def counts(self) -> bool:
        """Whether the row has a time, of the right computation."""
        return self.error is None and not self.wrong


@dataclass(frozen=True)
class Results:
    """A run: when and where, the options, ``peak`` as ``machine.measure_peak`` gives it, and the rows.

    ``others`` is the part of the machine's processor time that other processes used during the timed turns.
    """

    date: str
    machine: str
    threads: int
    options: Mapping[str, Any]
    peak: Mapping[str, float]
    others: float
    rows: tuple[Row, ...]

    @property
    def flops_peak(self) -> float:
        """The machine's f32 peak in FLOP/s, not a number if it was not measured."""
        return max(self.peak.values(), default=math.nan)

    def cases(self) -> list[tuple[str, int, str]]:
        """The cases in order, each once."""
        return list(dict.fromkeys(row.case for row in self.rows))

    def of(self, case: tuple[str, int, str]) -> list[Row]:
        """The rows of a case."""
        return [row for row in self.rows if row.case == case]

    def pock(self, case: tuple[str, int, str]) -> Row | None:
        """pock's row of a case, if it counts."""
        return next((r for r in self.of(case) if r.contestant == POCK and r.counts), None)

    def fastest(self, case: tuple[str, int, str], among: Iterable[str] | None = None) -> Row | None:
        """The fastest peer of a case, or of those named."""
        names = None if among is None else set(among)
        peers = [r for r in self.of(case) if r.contestant != POCK and r.counts]
        return min(
            (r for r in peers if names is None or r.contestant in names), key=lambda r: r.median, default=None
        )

    def to_json(self) -> str:
        """As a document; what is not a number is null."""
        document = {"format": FORMAT, **asdict(self), "summary": self._summary()}
        return json.dumps(_finite(document), indent=1) + "\n"

    def _summary(self) -> list[dict[str, Any]]:
        from .summary import summarize

        return [asdict(line) for line in summarize(self)]

    @staticmethod
    def load(path: Path) -> "Results":
        """Read a file that ``to_json`` made; raises ``BenchmarkError``."""
        try:
            document = json.loads(path.read_text())
        except OSError as error:
            raise BenchmarkError(f"cannot read {path}: {error.strerror or error}") from None
        except ValueError:
            raise BenchmarkError(f"{path} is no result of pock-bench: it is not JSON") from None
        try:
            if document["format"] != FORMAT:
                raise BenchmarkError(
                    f"{path} has format {document['format']}, this pock-bench reads {FORMAT}"
                )
            known = [f.name for f in fields(Results) if f.name != "rows"]
            rows = tuple(_row(row) for row in document["rows"])
            return Results(**{name: document[name] for name in known}, rows=rows)
        except (KeyError, TypeError) as error:
            raise BenchmarkError(
                f"{path} is no result of pock-bench: {error!r} is wrong or missing"
            ) from None


def _row(document: Mapping[str, Any]) -> Row:
    values = {f.name: document[f.name] for f in fields(Row)}
    numbers = {f.name for f in fields(Row) if f.type is float}
    values |= {name: math.nan for name in numbers if values[name] is None}
    for name in ("losses", "rounds"):
        values[name] = tuple(values[name])
    return Row(**values)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return value
