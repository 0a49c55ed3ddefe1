# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A result as tables on a terminal."""

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .peers import POCK
from .results import Results, Row
from .summary import Line, name_of, summarize

NOISY = 0.05
"""The part of the processors that others may use before a result says that it cannot be trusted."""

_NONE = "\N{EN DASH}"


def show(results: Results, console: Console) -> None:
    """A table of all rows, and the summary."""
    console.print(cases_table(results))
    console.print(summary_table(summarize(results)))
    if results.others > NOISY:
        console.print(
            noise(results.others, "during the timed turns"), style="red", soft_wrap=True, highlight=False
        )
    for case in results.cases():
        for row in results.of(case):
            if row.error is not None:
                text = f"{name_of(case)}: {row.contestant}: {row.error}"
                console.print(text, markup=False, highlight=False, soft_wrap=True, style="yellow")


def noise(others: float, when: str) -> str:
    """What is said where other processes used too much of the processors."""
    return (
        f"note: other processes used {others:.0%} of the processors {when}; measure again on a quiet machine"
    )


def cases_table(results: Results) -> Table:
    """All rows, by case."""
    peak = results.flops_peak
    about = "peak not measured" if math.isnan(peak) else f"measured f32 peak {peak / 1e9:.0f} GFLOP/s"
    table = Table(
        title=f"{results.date}  {results.machine}, {results.threads} threads, {about}", title_justify="left"
    )
    table.add_column("", no_wrap=True)
    for column in (
        "ms a step",
        "quartiles",
        "x pock",
        "quartiles",
        "GFLOP/s",
        "of peak",
        "memory\nof training",
        "process",
        "compile",
        "artifact",
        "loss",
    ):
        table.add_column(column, justify="right", no_wrap=True)
    for case in results.cases():
        table.add_row(Text(name_of(case), style="bold"))
        fastest = results.fastest(case)
        for row in results.of(case):
            style = "cyan" if row.contestant == POCK else "bold" if row is fastest else ""
            table.add_row(*_cells(row, peak), style=style)
        table.add_section()
    return table


def _cells(row: Row, peak: float) -> Sequence[str]:
    name = f"  {row.contestant}"
    if row.error is not None:
        reason = row.error if len(row.error) <= 18 else "see below"
        return [name, _NONE, reason]
    rate = row.flops / row.median
    seconds = row.compile_seconds + (0 if math.isnan(row.trace_seconds) else row.trace_seconds)
    return [
        name,
        f"{row.median * 1e3:.2f}",
        f"{row.low * 1e3:.2f}-{row.high * 1e3:.2f}",
        _number(row.ratio, ".2f"),
        _NONE if math.isnan(row.ratio) else f"{row.ratio_low:.2f}-{row.ratio_high:.2f}",
        f"{rate / 1e9:.1f}" if row.flops else _NONE,
        f"{rate / peak:.0%}" if row.flops and not math.isnan(peak) else _NONE,
        f"{row.memory / 1e6:.0f} MB",
        f"{row.process / 1e6:.0f} MB",
        f"{seconds:.1f} s",
        f"{row.artifact / 1e6:.1f} MB" if row.artifact else _NONE,
        _loss(row),
    ]


def _number(value: float, form: str) -> str:
    return _NONE if math.isnan(value) else f"{value:{form}}"


def _loss(row: Row) -> str:
    if math.isnan(row.difference):
        return "unchecked"
    return f"WRONG by {row.difference:.0e}" if row.wrong else f"agrees, {row.difference:.0e}"


def summary_table(lines: Sequence[Line]) -> Table:
    """What the run comes to, beside what is wanted."""
    table = Table(title="summary", title_justify="left")
    for column, justify in (
        ("", "left"),
        ("measured", "right"),
        ("wanted", "right"),
        ("", "left"),
        ("cases", "right"),
        ("worst case", "left"),
    ):
        table.add_column(column, justify="right" if justify == "right" else "left", overflow="fold")
    for line in lines:
        verdict = {True: "met", False: "not met", None: "not measured"}[line.met]
        style = {True: "green", False: "red", None: "dim"}[line.met]
        failed = f"failed: {', '.join(line.failed)}" if line.failed else ""
        table.add_row(
            line.what,
            _quantity(line.value, line.unit),
            f"{'>=' if line.at_least else '<='} {_quantity(line.wanted, line.unit)}",
            Text(verdict, style=style),
            str(line.cases),
            "; ".join(filter(None, (line.worst, failed))),
        )
    return table


def _quantity(value: float, unit: str) -> str:
    if math.isnan(value):
        return _NONE
    return f"{value:.2f}x" if unit == "x" else f"{value:.0f}%" if unit == "%" else f"{value:.3g} {unit}"


def comparison(before: Results, after: Results) -> Table:
    """pock's times in two results, case by case, and the peers' own change as a measure of the noise."""
    table = Table(title=f"{before.date} against {after.date}", title_justify="left")
    table.add_column("")
    for column in ("ms before", "ms after", "pock: x faster", "peers: x faster", "x of fastest peer", "then"):
        table.add_column(column, justify="right")
    for case in after.cases():
        old, new = before.pock(case), after.pock(case)
        if old is None and new is None:
            continue
        table.add_row(
            name_of(case),
            *(_NONE if row is None else f"{row.median * 1e3:.2f}" for row in (old, new)),
            _number(math.nan if old is None or new is None else old.median / new.median, ".2f"),
            _number(_peers_change(before, after, case), ".2f"),
            *(_lead(results, case) for results in (before, after)),
        )
    return table


def _peers_change(before: Results, after: Results, case: tuple[str, int, str]) -> float:
    from .statistics import geometric_mean

    then = {row.contestant: row for row in before.of(case) if row.counts and row.contestant != POCK}
    now = [row for row in after.of(case) if row.counts and row.contestant in then]
    return geometric_mean([then[row.contestant].median / row.median for row in now])


def _lead(results: Results, case: tuple[str, int, str]) -> str:
    fastest = results.fastest(case)
    return _number(math.nan if fastest is None else fastest.ratio, ".2f")


def listing() -> Table:
    """What can be measured."""
    from .peers import PEERS
    from .workload import SCHEMES
    from .workloads import WORKLOADS

    table = Table(show_header=False, box=None)
    for title, entries in (("workloads", WORKLOADS), ("contestants", PEERS)):
        table.add_row(Text(title, style="bold"))
        for entry in entries.values():
            if not entry.hidden:
                table.add_row(f"  {entry.name}", entry.about)
    table.add_row(Text("schemes", style="bold"))
    for name in SCHEMES:
        table.add_row(f"  {name}")
    return table
