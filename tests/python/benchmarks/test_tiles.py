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
    monkeypatch.setattr(tiles, "TRANSPOSITIONS", ((64, 32),))
    monkeypatch.setattr(tiles, "CONVOLUTIONS", ((2, 9, 16, 3, 2, False), (1, 8, 16, 5, 1, True)))
    tiles.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert rows[2][:3] == ["64 x 64 x 512", "k, m", "k, n"]
    assert [row[:4] for row in rows[-2:]] == [
        ["2 x 9 x 9 x 16", "3 x 3", "2", "output"],
        ["1 x 8 x 8 x 16", "5 x 5", "1", "weight gradient"],
    ]
    (copied,) = (row for row in rows if row[0] == "64 x 32")
    assert all(
        float(cell) > 0 for row in (copied[1:], rows[2][3:], rows[-2][4:], rows[-1][4:]) for cell in row
    )


def test_a_transposition_with_tiles_is_another_program() -> None:
    text = tiles.transposition(64, 32)
    assert tiles.compiled(text, tiled=True) != tiles.compiled(text, tiled=False)


@pytest.mark.parametrize("case", [(2, 9, 16, 3, 2, False), (1, 8, 16, 5, 1, True)])
def test_a_convolution_with_tiles_is_another_program(case: tuple[int, int, int, int, int, bool]) -> None:
    text, shapes = tiles.convolution(*case)
    assert [shape[-1] for shape in shapes] == [16, 16]
    assert tiles.compiled(text, tiled=True) != tiles.compiled(text, tiled=False)
