# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Measuring: times of dispatches that run at the same time, and of a compiled program."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from pock.benchmarks.profile.errors import ProfileError
from pock.benchmarks.profile.measure import profile, shares
from pock.benchmarks.profile.peaks import measure_peaks
from pock.benchmarks.profile.tools import Call, Event, argument, typed
from pock.compiler import Adam, Artifact, Scheme, TrainingProgram, TrainingTask, compile_program, trace
from pock.compiler.source import Part
from tests.python.benchmarks.profile.profiles import PEAKS

# -- times --------------------------------------------------------------------------------------

INTERVALS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=12)


def events(intervals: list[tuple[int, int]]) -> list[Event]:
    return [Event("", begin, begin + length) for begin, length in intervals]


@given(INTERVALS)
def test_shares_add_up_to_the_time_in_which_anything_runs(intervals: list[tuple[int, int]]) -> None:
    found = shares(events(intervals))
    moments = {t for begin, length in intervals for t in range(begin, begin + length)}
    assert sum(found) == pytest.approx(len(moments))
    for share, (_, length) in zip(found, intervals, strict=True):
        assert -1e-9 <= share <= length + 1e-9


def test_a_moment_is_divided_among_those_that_run() -> None:
    assert shares(events([(0, 4), (10, 2)])) == pytest.approx([4, 2]), "one after the other"
    assert shares(events([(0, 4), (2, 4)])) == pytest.approx([3, 3]), "half of each beside the other"
    assert shares(events([(0, 6), (0, 3), (0, 3)])) == pytest.approx([4, 1, 1])


# -- programs -----------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(20, 64)
        self.hidden = nn.Linear(64, 256)
        self.head = nn.Linear(256, 4)

    def forward(self, tokens: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        x = F.dropout(self.tokens(tokens) * weights[..., None], 0.1, self.training)
        return self.head(torch.tanh(self.hidden(x)).mean(1))


@pytest.fixture(scope="module")
def traced() -> TrainingProgram:
    torch.manual_seed(0)
    inputs = (torch.zeros(8, 32, dtype=torch.int64), torch.ones(8, 32))
    return trace(TrainingTask(Net(), inputs, (torch.zeros(8, dtype=torch.int64),), F.cross_entropy))


@pytest.fixture(scope="module")
def artifact(traced: TrainingProgram) -> Artifact:
    return compile_program(traced, Scheme.full(), Adam())


@pytest.fixture(scope="module")
def path(artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "net.vmfb"
    artifact.save(path)
    return path


@pytest.mark.parametrize("threads", [1, 2])
def test_every_dispatch_is_measured_and_the_sum_is_the_step(
    threads: int, artifact: Artifact, path: Path
) -> None:
    found = profile(path, artifact.commands, threads, PEAKS, about={"scheme": "full"})
    assert tuple(m.command for m in found.commands) == artifact.commands
    measured = [m.seconds for m in found.commands if m.command.kind == "dispatch"]
    assert all(seconds is not None and seconds > 0 for seconds in measured)
    assert 0 < found.total.seconds < found.step and found.unprofiled > 0
    assert found.total.seconds + found.outside == pytest.approx(found.step)
    assert 0 <= found.others <= 1
    assert found.model == "Net" and found.threads == threads and found.about == {"scheme": "full"}


def test_a_large_layer_takes_longer_than_a_small_one(artifact: Artifact, path: Path) -> None:
    """Times are put to the layers whose they are."""
    layers = {layer.name: layer for layer in profile(path, artifact.commands, 1, PEAKS).layers()}
    for part in (Part.FORWARD, Part.BACKWARD):
        assert layers["hidden"].parts[part] > layers["head"].parts[part]


def test_a_batch_of_ones_own(artifact: Artifact, path: Path) -> None:
    batch = [np.full((8, 32), 19), np.ones((8, 32), np.float32), np.full(8, 3)]
    assert profile(path, artifact.commands, 1, PEAKS, batch).step > 0


def test_parameters_beside_the_program(traced: TrainingProgram, tmp_path: Path) -> None:
    path = tmp_path / "external.vmfb"
    artifact = compile_program(traced, Scheme.last_layer("head.*"), parameters="external", output=path)
    artifact.save(path)
    assert profile(path, artifact.commands, 1, PEAKS).step > 0


def test_another_program_s_commands_are_refused(artifact: Artifact, path: Path) -> None:
    commands = [replace(command, name=f"{command.name}_") for command in artifact.commands]
    with pytest.raises(ProfileError, match="reports other dispatches than were compiled"):
        profile(path, commands, 1, PEAKS)
    with pytest.raises(ProfileError, match="iree-profile reports"):
        profile(path, artifact.commands[:3], 1, PEAKS)


def test_what_is_no_program_is_said(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="no file"):
        profile(tmp_path / "nothing.vmfb", [], 1, PEAKS)


def test_a_tool_that_fails_says_why(path: Path) -> None:
    with pytest.raises(ProfileError, match=r"^iree-benchmark-module failed: .*nothing"):
        Call(path, "nothing", [], 1).seconds(1)


def test_a_full_disk_is_one_line(artifact: Artifact, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ProfileError, match="cannot keep temporary files: No space left on device"):
        profile(path, artifact.commands, 1, PEAKS)


def test_arguments_are_spelled_as_iree_does(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.int64).reshape(2, 3)
    assert argument(array.T, tmp_path / "a.bin") == f"3x2xi64=@{tmp_path / 'a.bin'}"
    assert (tmp_path / "a.bin").read_bytes() == array.T.tobytes()
    assert [typed((), "bfloat16"), typed((4,), "bool")] == ["bf16", "4xi1"]


# -- the machine --------------------------------------------------------------------------------


def test_the_machine_has_peaks() -> None:
    peaks = measure_peaks(1)
    assert 1e9 < peaks.flops < 1e13
    assert len(peaks.bandwidth) == 7 and all(1e8 < rate < 1e13 for rate in peaks.bandwidth.values())
    assert peaks.at(1 << 12) >= peaks.at(1 << 27), "memory is no faster than a cache"
