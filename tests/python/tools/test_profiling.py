# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the commands do with profiles."""

import json
from pathlib import Path

import pytest

from pock.tools.profiling import Outputs, print_profile
from tests.python.benchmarks.profile.profiles import profile


def test_files_are_named_by_their_case(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "a.json", tmp_path / "a.b.SVG")
    assert outputs.write(profile()) == [tmp_path / "a.json", tmp_path / "a.b.SVG"]
    own = [tmp_path / "a-net-1-full.json", tmp_path / "a.b-net-1-full.SVG"]
    assert outputs.write(profile(), "net-1-full") == own
    assert json.loads(own[0].read_text())["model"] == "Net" and b"<svg" in own[1].read_bytes()


def test_nothing_is_written_that_nobody_asked_for() -> None:
    assert Outputs().write(profile()) == []
    Outputs().check()


def test_tables_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    print_profile(profile())
    out, err = capsys.readouterr()
    assert out.startswith("Net (full, sgd)") and err == ""
    assert max(map(len, out.splitlines())) > 120, "wide where no terminal is"
