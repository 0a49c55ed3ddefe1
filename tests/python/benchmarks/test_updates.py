# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The table of what one pass over a weight gains."""

import pytest

from pock.benchmarks import updates


def test_one_way_is_two_loops_and_the_other_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = updates.source(2, 512, 128)
    sums = '["parallel", "reduction"]'
    assert sums in updates.lowered(text, 2) and sums not in updates.lowered(text, 1)
    monkeypatch.setattr(updates, "WEIGHTS", ((512, 128),))
    monkeypatch.setattr(updates, "ROWS", (2,))
    updates.main()
    row = capsys.readouterr().out.splitlines()[-1].removesuffix(" |").split(" | ")
    assert row[:2] == ["| 512 x 128", "2"] and all(float(cell) > 0 for cell in row[2:])
