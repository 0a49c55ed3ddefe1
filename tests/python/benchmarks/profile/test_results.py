# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a profile adds up to."""

import json

import pytest

from pock.benchmarks.profile.results import ELSEWHERE
from pock.compiler.analysis.commands import Command
from pock.compiler.source import Part
from tests.python.benchmarks.profile.profiles import COMMANDS, PEAKS, profile


def test_the_roofline_is_the_slower_of_computing_and_moving() -> None:
    assert PEAKS.least(100, 0) == pytest.approx(1e-9)
    assert PEAKS.least(0, 1_000) == pytest.approx(10e-9)
    assert PEAKS.least(0, 1_001) == pytest.approx(100.1e-9), "what does not fit the cache comes from memory"
    assert PEAKS.least(0, 10_000_000) == pytest.approx(1e-3), "and so does what is larger than was measured"
    assert PEAKS.least(1_000, 100) == pytest.approx(10e-9)


def test_a_layer_has_the_time_of_its_dispatches_by_part() -> None:
    conv, head, other = profile().layers()
    assert (conv.name, head.name, other.name) == ("blocks.0.conv", "head", ELSEWHERE)
    assert conv.parts == pytest.approx({Part.FORWARD: 2e-3, Part.BACKWARD: 3.2e-3, Part.UPDATE: 0.0})
    assert head.parts == pytest.approx({Part.FORWARD: 0.0, Part.BACKWARD: 0.0, Part.UPDATE: 0.1e-6})
    # The fill counts as its layer's; its bytes do, and its time is not known.
    assert conv.total.count == 4 and conv.total.size == 3 * 8_000_000 + 4096
    assert conv.total.flop_rate == pytest.approx(196_000_000 / 5.2e-3)
    assert conv.total.roofline == pytest.approx((1.0 + 0.8 + 0.8) / 5.2)


def test_equal_dispatches_are_one_group() -> None:
    groups = profile().groups()
    assert [(g.name, g.total.count) for g in groups] == [
        ("conv_1", 1), ("conv_2", 2), ("update", 1), ("lost", 1), ("fill", 1), ("copy", 1),
    ]  # fmt: skip
    assert groups[1].total.seconds == pytest.approx(3.2e-3)
    assert groups[1].total.roofline == pytest.approx(0.5)


def test_what_no_dispatch_takes_is_outside() -> None:
    found = profile()
    assert found.total.seconds + found.outside == pytest.approx(found.step)
    assert found.outside == pytest.approx(6e-3 - 5.2101e-3)


def test_the_file_has_everything() -> None:
    data = json.loads(profile().to_json())
    assert data["scheme"] == "full" and data["threads"] == 2 and data["step"] == 6e-3
    assert data["peaks"]["bytes_per_second"] == {"1000": 100e9, "1000000": 10e9}
    assert sum(layer["seconds"] for layer in data["layers"]) == pytest.approx(data["total"]["seconds"])
    assert data["total"]["seconds"] + data["outside_of_dispatches"] == pytest.approx(data["step"])
    assert (
        data["layers"][0]["forward"] == pytest.approx(2e-3) and data["layers"][0]["layer"] == "blocks.0.conv"
    )
    assert [c["seconds"] for c in data["commands"][-2:]] == [None, None]
    own = [{key: c[key] for key in Command.__dataclass_fields__} for c in data["commands"]]
    assert [Command.from_json(c) for c in own] == [m.command for m in COMMANDS]
