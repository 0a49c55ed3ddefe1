# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A profile's picture."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pock.benchmarks.profile.picture import ROWS, check_picture, picture
from pock.compiler.errors import UsageError
from pock.compiler.source import Part, Source
from tests.python.benchmarks.profile.profiles import dispatch, profile


@pytest.mark.parametrize(("kind", "begins"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_formats(kind: str, begins: bytes) -> None:
    assert picture(profile(), kind).startswith(begins)


def words(svg: bytes) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg.decode())


def test_it_names_layers_parts_and_ceilings() -> None:
    found = words(picture(profile(), "svg"))
    for word in (
        "blocks.0.conv",
        "head",
        "forward",
        "backward",
        "update",
        "memory: 10 GB/s",
        "cache: 100 GB/s",
    ):
        assert word in found
    assert any("a step takes 6.00 ms, 0.79 ms outside of dispatches" in word for word in found)
    assert " 86.7%" in found


def test_many_layers_are_cut() -> None:
    layers = [dispatch(f"k{i}", Source(Part.FORWARD, f"layer.{i}"), us=99 - i) for i in range(ROWS + 2)]
    found = words(picture(profile(*layers), "svg"))
    assert f"layer.{ROWS - 1}" in found and f"layer.{ROWS}" not in found and "2 others" in found


def test_nothing_that_computes_makes_a_picture_too() -> None:
    assert picture(profile(dispatch("copy", Source(Part.FORWARD, "head"))), "png")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("profile.jpg", "give a name that ends in .svg, .png, .pdf"),
        ("profile", "give a name that ends in"),
        ("nowhere/profile.svg", "there is no folder"),
    ],
)
def test_what_cannot_be_written_is_said_before(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        check_picture(tmp_path / name)
    check_picture(tmp_path / "profile.SVG")


def test_matplotlib_may_be_missing(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["matplotlib"] = None
from pathlib import Path
from pock.benchmarks.profile.picture import check_picture
check_picture(Path({str(tmp_path / "x.svg")!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'pock[profile]'" in done.stderr.splitlines()[-1]
