# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The few numbers that a run comes to, each with what is wanted of it."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .results import Results, Row
from .statistics import geometric_mean

PYTORCH_EAGER = ("torch", "torch-nhwc")
MCU = "mobilenetv2-0.35"
ROOFLINE = ("resnet50", "bert-small")
COMPILED = "mobilenetv2-128"

Case = tuple[str, int, str]


@dataclass(frozen=True)
class Line:
    """One number; ``unit`` is ``x``, ``%``, ``s`` or ``ms``, ``wanted`` the least or the most that it may be.

    ``failed`` are the cases that should have counted but in which pock has no right result. ``worst`` names
    the case that the number is of, or the worst of those that it is a mean of.
    """

    what: str
    value: float
    unit: str
    wanted: float
    at_least: bool
    cases: int
    failed: tuple[str, ...]
    worst: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the number is as wanted; None if it was not measured."""
        if self.failed:
            return False
        if math.isnan(self.value):
            return None
        return self.value >= self.wanted if self.at_least else self.value <= self.wanted


def summarize(results: Results) -> list[Line]:
    """The lines of a run, those not measured included."""
    cases = results.cases()
    same = _Speedups(results, {case: _fastest(results, case) for case in cases})
    sparse = [case for case in cases if case[2] == "sparse"]
    full = {c: _fastest(results, (c[0], c[1], "full")) for c in sparse}
    eager = {
        c: results.fastest((c[0], c[1], "full"), PYTORCH_EAGER) for c in sparse if c[0] == MCU and c[1] == 1
    }
    return [
        same.line("same model and scheme, against the fastest peer: geometric mean", geometric_mean, 2.0),
        same.line("... and in the worst case", lambda values: min(values, default=math.nan), 1.0),
        _Speedups(results, full).line(
            "sparse, against the fastest peer's full training: geometric mean", geometric_mean, 5.0
        ),
        _Speedups(results, eager).line(
            f"sparse, {MCU}, batch 1, against PyTorch's full training", geometric_mean, 12.0
        ),
        *(_roofline(results, workload) for workload in ROOFLINE),
        _most(
            results,
            f"compile time, {COMPILED}, full",
            [c for c in cases if c[0] == COMPILED and c[2] == "full"],
            lambda row: row.compile_seconds + row.trace_seconds,
            "s",
            30.0,
        ),
        _most(
            results,
            "Trainer.step beyond the compiled program",
            cases,
            lambda row: 1e3 * row.further.get("beyond_invocation", math.nan),
            "ms",
            0.2,
        ),
    ]


def name_of(case: Case) -> str:
    """A case in words."""
    return f"{case[0]} batch {case[1]} {case[2]}"


def _fastest(results: Results, case: Case) -> Row | None:
    return results.fastest(case)


class _Speedups:
    """How many times faster pock is in each case than a peer's row, which may be of another case."""

    def __init__(self, results: Results, peers: dict[Case, Row | None]) -> None:
        self.ratios: dict[Case, float] = {}
        self.failed: list[str] = []
        for case, peer in peers.items():
            own = results.pock(case)
            if own is None:
                self.failed.append(name_of(case))
            elif peer is not None:
                # Within a case rounds alternate, and their ratios are less noisy than that of medians.
                self.ratios[case] = peer.ratio if peer.case == case else peer.median / own.median

    def line(self, what: str, mean: Callable[[list[float]], float], wanted: float) -> Line:
        worst = min(self.ratios, key=lambda case: self.ratios[case], default=None)
        value = mean(list(self.ratios.values()))
        named = "" if worst is None else f"{name_of(worst)} {self.ratios[worst]:.2f}x"
        return Line(what, value, "x", wanted, True, len(self.ratios), tuple(self.failed), named)


def _roofline(results: Results, workload: str) -> Line:
    cases = [case for case in results.cases() if case == (workload, 8, "full")]
    rows = [row for case in cases if (row := results.pock(case)) is not None]
    shares = [100 * row.flops / row.median / results.flops_peak for row in rows]
    failed = tuple(name_of(case) for case in cases if results.pock(case) is None)
    what = f"share of the machine's measured f32 peak, {workload}, full, batch 8"
    return Line(what, shares[0] if shares else math.nan, "%", 50.0, True, len(shares), failed)


def _most(
    results: Results,
    what: str,
    cases: Iterable[Case],
    measure: Callable[[Row], float],
    unit: str,
    wanted: float,
) -> Line:
    """The largest of a measure of pock's rows."""
    cases = list(cases)
    rows = [row for case in cases if (row := results.pock(case)) is not None]
    failed = tuple(name_of(case) for case in cases if results.pock(case) is None)
    measured = [row for row in rows if not math.isnan(measure(row))]
    worst = max(measured, key=measure, default=None)
    value = math.nan if worst is None else measure(worst)
    named = "" if worst is None else name_of(worst.case)
    return Line(what, value, unit, wanted, False, len(measured), failed, named)
