# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The table of what tile sizes gain."""

import pytest

from pock.benchmarks import tiles


def test_a_product_with_tiles_is_another_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    product = (64, 64, 512, "k, m", "k, n")
    text = tiles.source(*product)
    assert tiles.compiled(text, tiled=True) != tiles.compiled(text, tiled=False)
    monkeypatch.setattr(tiles, "PRODUCTS", (product,))
    tiles.main()
    row = capsys.readouterr().out.splitlines()[-1].split(" | ")
    assert row[:3] == ["| 64 x 64 x 512", "k, m", "k, n"]
    assert all(float(cell.removesuffix(" |")) > 0 for cell in row[3:])
