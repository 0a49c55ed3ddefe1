# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The tables of what rows of images gain."""

import pytest

from pock.benchmarks import rows, shards


def test_programs_are_timed_with_rows_and_without(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rows, "CASES", (("tiny", 2),))
    monkeypatch.setattr(rows, "SHARED", ("tiny",))
    monkeypatch.setattr(shards, "_TURNS", 1)
    monkeypatch.setattr(shards, "_TURN", 0.01)
    rows.main()
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    (strips, shared) = (line for line in lines if line[0] == "tiny")
    assert strips[1] == "2" and len(strips) == 2 + len(rows.SIZES)
    assert shared[1] == "1" and all(float(cell) > 0 for cell in shared[2:])
