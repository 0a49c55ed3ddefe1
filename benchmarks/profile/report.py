# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A profile as tables."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pock.benchmarks.report import NOISY, noise
from pock.compiler.analysis.commands import DISPATCH
from pock.compiler.source import Part, Source

from .results import Profile, Total

ROWS = 25
"""Rows of each table; what takes less time is one row at the end."""

#: Steps that take less have their times in microseconds.
_LEAST_MS = 1e-3

_NONE = "\N{EN DASH}"


def show(profile: Profile, console: Console, rows: int = ROWS) -> None:
    """The layers and the dispatches, those that take longest first."""
    console.print(headline(profile), soft_wrap=True, markup=False, highlight=False)
    console.print(layers_table(profile, rows))
    console.print(dispatches_table(profile, rows))
    if profile.others > NOISY:
        console.print(noise(profile.others, "meanwhile"), style="red", soft_wrap=True, highlight=False)


def headline(profile: Profile) -> str:
    """What was measured, where, and what the machine can do."""
    fastest, slowest = (function(profile.peaks.bandwidth.values()) for function in (max, min))
    unit = _Unit(profile)
    threads = "1 thread" if profile.threads == 1 else f"{profile.threads} threads"
    about = ", ".join(str(value) for value in profile.about.values())
    step, unprofiled = (f"{unit.of(seconds)} {unit.name}" for seconds in (profile.step, profile.unprofiled))
    return (
        f"{profile.model}{f' ({about})' if about else ''}: a step takes {step} on the device (mean of "
        f"{profile.steps}, the faster half), {unprofiled} when it is not profiled\n"
        f"{profile.machine}, {threads}: {profile.peaks.flops / 1e9:.0f} GFLOP/s, "
        f"{slowest / 1e9:.0f} GB/s in memory, {fastest / 1e9:.0f} GB/s in a cache"
    )


def layers_table(profile: Profile, rows: int = ROWS) -> Table:
    """Each layer's time in the parts of the step."""
    unit = _Unit(profile)
    table = Table(title="layers", title_justify="left")
    table.add_column("layer", overflow="fold")
    for part in Part:
        table.add_column(f"{part}\n{unit.name}", justify="right", no_wrap=True)
    _add_columns(table, (f"total\n{unit.name}", "of step", *_RATES))
    layers = sorted(profile.layers(), key=lambda layer: layer.total.seconds, reverse=True)
    for layer in layers[:rows]:
        parts = [unit.of(layer.parts[part]) if layer.parts[part] else _NONE for part in Part]
        table.add_row(Text(layer.name), *parts, *_cells(layer.total, profile))
    if rest := layers[rows:]:
        parts = [unit.of(sum(layer.parts[part] for layer in rest)) for part in Part]
        total = _sum([layer.total for layer in rest])
        table.add_row(f"{len(rest)} others", *parts, *_cells(total, profile))
    table.add_section()
    table.add_row("outside of dispatches", *[_NONE] * len(Part), *_outside(profile))
    parts = [unit.of(sum(layer.parts[part] for layer in layers)) for part in Part]
    table.add_row("step", *parts, *_all(profile), style="bold")
    return table


def dispatches_table(profile: Profile, rows: int = ROWS) -> Table:
    """Each dispatch: its time, its layer and the others that are fused with it."""
    unit = _Unit(profile)
    table = Table(title="dispatches", title_justify="left")
    _add_columns(table, (unit.name, "of step", *_RATES, "FLOP/B", "count"))
    for column in ("part", "layer", "with", "dispatch"):
        table.add_column(column, overflow="fold")
    groups = sorted(profile.groups(), key=lambda group: group.total.seconds, reverse=True)
    dispatches = [group for group in groups if group.kind == DISPATCH]
    for group in dispatches[:rows]:
        table.add_row(
            *_cells(group.total, profile), *_counts(group.total), *_places(group.sources), group.name
        )
    if rest := dispatches[rows:]:
        total = _sum([group.total for group in rest])
        table.add_row(*_cells(total, profile), *_counts(total), "", "", "", f"{len(rest)} others")
    table.add_section()
    for group in groups:
        if group.kind != DISPATCH:
            size = f"{group.total.size / 1e6:.3f} MB: not measured by itself"
            table.add_row(*[_NONE] * 6, str(group.total.count), "", "", "", f"{group.kind}, {size}")
    table.add_row(*_outside(profile), _NONE, _NONE, "", "", "", "outside of dispatches")
    table.add_row(*_all(profile), *_counts(profile.total), "", "", "", "step", style="bold")
    return table


class _Unit:
    """The unit of a profile's times: one in which they can be told apart."""

    def __init__(self, profile: Profile) -> None:
        self.name, self._times = ("ms", 1e3) if profile.step >= _LEAST_MS else ("\N{MICRO SIGN}s", 1e6)

    def of(self, seconds: float) -> str:
        """Seconds as a number of the unit."""
        return f"{seconds * self._times:.3f}"


_RATES = ("GFLOP/s", "GB/s", "of roofline")


def _add_columns(table: Table, names: Sequence[str]) -> None:
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)


def _cells(total: Total, profile: Profile) -> list[str]:
    """Time, its share of the step, rates, and the share of what the machine could do."""
    return [_Unit(profile).of(total.seconds), _share(total.seconds, profile.step), *_rates(total)]


def _rates(total: Total) -> list[str]:
    if not total.seconds:
        return [_NONE] * len(_RATES)
    flops = f"{total.flop_rate / 1e9:.1f}" if total.flops else _NONE
    return [flops, f"{total.byte_rate / 1e9:.1f}", f"{total.roofline:.0%}"]


def _counts(total: Total) -> list[str]:
    return [f"{total.intensity:.1f}" if total.flops else _NONE, str(total.count)]


def _outside(profile: Profile) -> list[str]:
    return [_Unit(profile).of(profile.outside), _share(profile.outside, profile.step), *[_NONE] * len(_RATES)]


def _all(profile: Profile) -> list[str]:
    """The cells of the whole step, whose time is more than that of its dispatches."""
    total = profile.total
    whole = Total(total.count, profile.step, total.flops, total.size, total.least)
    return _cells(whole, profile)


def _places(sources: tuple[Source, ...]) -> list[Text]:
    """Part and layer of a dispatch, and where else it comes from."""
    if not sources:
        return [Text(""), Text(""), Text("")]
    first, *others = sources
    named = (s.layer if s.part == first.part else f"{s.layer} ({s.part})" for s in others)
    return [Text(str(first.part)), Text(first.layer), Text(", ".join(named))]


def _sum(totals: Sequence[Total]) -> Total:
    return Total(
        sum(t.count for t in totals),
        sum(t.seconds for t in totals),
        sum(t.flops for t in totals),
        sum(t.size for t in totals),
        sum(t.least for t in totals),
    )


def _share(seconds: float, whole: float) -> str:
    return f"{seconds / whole:.1%}" if whole else _NONE
