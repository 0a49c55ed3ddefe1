# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The table of what computing constants saves."""

import pytest

from pock.benchmarks import constants


def test_programs_are_measured_without_and_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "CASES", ("tiny",))
    constants.main()
    name, without, folded = capsys.readouterr().out.splitlines()[-1].strip("| ").split(" | ")
    assert name == "tiny"
    first, second = ([float(number) for number in cell.split(", ")] for cell in (without, folded))
    assert first[0] > 10 and second[0] > 10 and first[2] > 0 and second[2] > 0
