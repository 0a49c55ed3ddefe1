# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The table of what fewer multiplications gain."""

import pytest

from pock.benchmarks import winograd


@pytest.mark.parametrize("kind", winograd.KINDS)
def test_one_way_has_sixteen_products(kind: str) -> None:
    text, _ = winograd.source(kind, 1, 8, 64)
    assert "tensor<16x16x64xf32>" in winograd.lowered(text, 1)
    assert "tensor<16x16x64xf32>" not in winograd.lowered(text, 0)


def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(winograd, "CONVOLUTIONS", ((1, 8, 64),))
    winograd.main()
    rows = [line.removesuffix(" |").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:3] for row in rows] == [["| 1 x 8 x 8", "64", kind] for kind in winograd.KINDS]
    assert all(float(cell) > 0 for row in rows for cell in row[3:])
