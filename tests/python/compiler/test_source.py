# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The layers that locations name, whatever becomes of them."""

import pytest
from torch_mlir import ir

from pock.compiler.source import Part, Source, sources_of

A, B = Source(Part.FORWARD, "blocks.0.conv"), Source(Part.BACKWARD, "(loss)")
C = Source(Part.UPDATE, "head")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('loc("net.py":3:0)', []),
        ("loc(unknown)", []),
        ('loc("forward:blocks.0.conv"("net.py":3:0))', [A]),
        ('loc("update:head")', [C]),
        ('loc("forward:blocks.0.conv"(callsite("net.py":3:0 at "main.py":9:0)))', [A]),
        ('loc(callsite("backward:(loss)"("net.py":3:0) at "main.py":9:0))', [B]),
        (
            'loc(fused["backward:(loss)"("a.py":1:0), "forward:blocks.0.conv"("a.py":2:0), "b.py":1:0])',
            [B, A],
        ),
        ('loc(fused["update:head", "update:head"("a.py":2:0)])', [C]),
        # Of nested names the outermost: an update's is around that of the gradient.
        ('loc("update:head"("backward:(loss)"("net.py":3:0)))', [C]),
        (
            'loc(fused["update:head"("backward:(loss)"("a.py":1:0)), "forward:blocks.0.conv"("a.py":2:0)])',
            [C, A],
        ),
        # A file, and a name of somebody else's.
        ('loc("forward:net.py":3:0)', []),
        ('loc("sideways:head"("net.py":3:0))', []),
    ],
)
def test_sources_of_locations(text: str, found: list[Source]) -> None:
    """As MLIR prints them: the bindings cannot parse them."""
    assert sources_of(text) == found


def test_a_source_around_a_location_is_found_again() -> None:
    with ir.Context():
        for location in (ir.Location.unknown(), ir.Location.file("net.py", 3, 0)):
            for source in (A, B, C):
                assert sources_of(source.around(location)) == [source]
                assert sources_of(C.around(source.around(location))) == [C]
