# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A profile's tables: their rows add up, and say what they are of."""

import io
import re

from rich.console import Console

from pock.benchmarks.profile.report import show
from pock.benchmarks.profile.results import Profile
from pock.compiler.source import Part, Source
from tests.python.benchmarks.profile.profiles import dispatch, profile

NONE = "\N{EN DASH}"


def shown(found: Profile, rows: int = 25) -> str:
    console = Console(file=io.StringIO(), width=200)
    show(found, console, rows)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def cells(text: str, table: str, row: str) -> list[str]:
    """The cells of the row of a table that has ``row`` in it."""
    part = text.split(f"\n{table}")[1].split("\ndispatches")[0]
    (line,) = [line for line in part.splitlines() if re.search(rf"(│ |\s){re.escape(row)}\s*(│|$)", line)]
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_the_headline_says_what_was_measured_where() -> None:
    text = shown(profile())
    assert text.startswith(
        "Net (full, sgd): a step takes 6.000 ms on the device (mean of 10, the faster half)"
    )
    assert "6.500 ms when it is not profiled" in text
    assert "Some CPU, 2 threads: 100 GFLOP/s, 10 GB/s in memory, 100 GB/s in a cache" in text


def test_layers() -> None:
    text = shown(profile())
    assert cells(text, "layers", "blocks.0.conv") == [
        "blocks.0.conv", "2.000", "3.200", NONE, "5.200", "86.7%", "37.7", "4.6", "50%",
    ]  # fmt: skip
    assert cells(text, "layers", "outside of dispatches")[4:6] == ["0.790", "13.2%"]
    assert cells(text, "layers", "step")[1:6] == ["2.000", "3.200", "0.010", "6.000", "100.0%"]


def test_dispatches() -> None:
    text = shown(profile())
    assert cells(text, "dispatches", "conv_2") == [
        "3.200", "53.3%", "30.0", "5.0", "50%", "6.0", "2",
        "backward", "blocks.0.conv", "head (update)", "conv_2",
    ]  # fmt: skip
    assert cells(text, "dispatches", "lost")[7:] == ["", "", "", "lost"]
    assert cells(text, "dispatches", "fill, 0.004 MB: not measured by itself")[:7] == [*[NONE] * 6, "1"]
    assert cells(text, "dispatches", "outside of dispatches")[:2] == ["0.790", "13.2%"]
    assert cells(text, "dispatches", "step")[:2] == ["6.000", "100.0%"]


def test_what_takes_least_is_one_row() -> None:
    layers = [dispatch(f"kernel_{i}", Source(Part.FORWARD, f"layer.{i}"), us=1000 - i) for i in range(9)]
    text = shown(profile(*layers, step=10e-3), rows=3)
    assert "layer.2" in text and "layer.3" not in text
    assert cells(text, "layers", "6 others")[4] == f"{6 - (3 + 4 + 5 + 6 + 7 + 8) / 1000:.3f}"
    assert cells(text, "dispatches", "6 others")[6] == "6"


def test_short_steps_are_told_in_microseconds() -> None:
    text = shown(profile(dispatch("kernel", Source(Part.FORWARD, "head"), us=0.5), step=2e-6))
    assert "a step takes 2.000 µs" in text and cells(text, "layers", "head")[1] == "0.500"


def test_a_noisy_machine_is_said() -> None:
    assert "note: other processes used 25% of the processors meanwhile" in shown(profile(others=0.25))
    assert "note" not in shown(profile(others=0.01))


def test_names_are_no_markup() -> None:
    text = shown(profile(dispatch("kernel", Source(Part.FORWARD, "blocks[0]"))))
    assert "blocks[0]" in text
