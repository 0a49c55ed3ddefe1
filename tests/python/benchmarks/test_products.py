# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The table of what copies of matrices gain."""

import pytest

from pock.benchmarks import products
from pock.compiler.passes.convert_to_linalg import ConvertToLinalg


def test_each_way_is_another_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = products.source(64, 512, 64, "right")
    ways = (None, ConvertToLinalg(), ConvertToLinalg(32))
    assert len({products.lowered(text, way) for way in ways}) == 3
    monkeypatch.setattr(products, "PRODUCTS", (("forward", 64, 512, 64, "right"),))
    products.main()
    row = capsys.readouterr().out.splitlines()[-1].removesuffix(" |").split(" | ")
    assert row[:3] == ["| forward", "64 x 512 x 64", "right"]
    assert len(row) == 7 and all(float(cell) > 0 for cell in row[3:])


@pytest.mark.parametrize("transposed", ["", "left", "right"])
def test_operands_have_the_shapes_that_they_are_given_in(transposed: str) -> None:
    text = products.source(2, 3, 4, transposed)
    shapes = {"left": ("[4,2]", "[4,3]"), "right": ("[2,4]", "[3,4]"), "": ("[2,4]", "[4,3]")}[transposed]
    assert f"%a: !torch.vtensor<{shapes[0]},f32>, %b: !torch.vtensor<{shapes[1]},f32>" in text
