# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The table of what more than one core gains."""

import pytest

from pock.benchmarks import devices


def test_a_program_is_timed_on_one_core_and_on_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "CASES", (("tiny", 2, "sparse"),))
    monkeypatch.setattr(devices, "_TURNS", 1)
    monkeypatch.setattr(devices, "_TURN", 0.01)
    devices.main()
    row = capsys.readouterr().out.splitlines()[-1].strip("| ").split(" | ")
    assert row[:3] == ["tiny", "2", "sparse"] and row[-1] == "one"
    assert all(float(cell) > 0 for cell in (row[3], *row[5:7]))
