# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Results of runs that never were."""

from typing import Any

from pock.benchmarks.results import Results, Row


def row(
    contestant: str, milliseconds: float, case: tuple[str, int, str] = ("net", 1, "full"), **values: Any
) -> Row:
    """A row with a time, whose ratio is by a pock of 10 ms unless given, and whose loss agrees."""
    workload, batch, scheme = case
    seconds = milliseconds / 1e3
    known = {"median": seconds, "low": seconds, "high": seconds, "difference": 0.0}
    known["ratio"] = known["ratio_low"] = known["ratio_high"] = milliseconds / 10
    return Row(workload, batch, scheme, contestant, **{**known, **values})


def failed(contestant: str, case: tuple[str, int, str] = ("net", 1, "full"), why: str = "crashed") -> Row:
    """A row of a contestant that came to nothing."""
    return Row(*case, contestant, error=why)


def results(*rows: Row, peak: float = 100e9) -> Results:
    """Those rows on a machine of 100 GFLOP/s."""
    return Results("2026-01-01T00:00:00+00:00", "a machine", 2, {}, {"torch": peak}, 0.0, rows)
