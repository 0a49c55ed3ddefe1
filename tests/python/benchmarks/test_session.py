# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A whole run: children, turns, what fails, and the result."""

import math
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import pytest

from pock.benchmarks import session
from pock.benchmarks.errors import Unsupported
from pock.benchmarks.export import export
from pock.benchmarks.fold import fold_batch_norms
from pock.benchmarks.peers import PEERS, select
from pock.benchmarks.process import Child
from pock.benchmarks.protocol import Job
from pock.benchmarks.results import Results
from pock.benchmarks.workloads import WORKLOADS
from pock.benchmarks.workloads.tiny import tiny


class Counter:
    """Counts the units of a run."""

    def __init__(self) -> None:
        self.units = self.done = 0

    def begin(self, units: int) -> None:
        self.units = units

    def doing(self, what: str) -> None:
        assert what

    def advance(self, units: int = 1) -> None:
        self.done += units


@pytest.fixture(scope="module")
def counter() -> Counter:
    return Counter()


@pytest.fixture(scope="module")
def ran(counter: Counter) -> Results:
    """One case of the tiny workload against PyTorch and a contestant that crashes."""
    request = session.Request(
        workloads=[WORKLOADS["tiny"]],
        batches=[2],
        schemes=["sparse"],
        contestants=select(["torch", "crash"]),
        rounds=3,
        turn=0.001,
        optimizer="sgd",
        threads=1,
    )
    with pytest.MonkeyPatch.context() as patch:
        # Measured elsewhere, and seconds long.
        patch.setattr(session, "_peak", lambda _: {"torch": 1e9})
        return session.run(request, counter)


def test_every_contestant_is_a_row(ran: Results) -> None:
    assert [row.contestant for row in ran.rows] == ["pock", "torch", "crash"]


def test_pock_and_its_peer_are_measured_and_agree(ran: Results) -> None:
    pock, torch, _ = ran.rows
    for row in (pock, torch):
        assert row.counts and row.low <= row.median <= row.high and row.best > 0
        assert len(row.rounds) == 3 and row.steps >= 3
        assert 0 < row.memory < row.process
        assert row.flops > 0 and row.compile_seconds > 0 and len(row.losses) == 4
        assert row.trained == 20 + 32 + 8 + 8 + 4 and row.losses[3] / row.losses[0] == pytest.approx(
            0.97, abs=0.005
        )
    assert pock.ratio == 1.0 and torch.ratio > 0
    assert pock.difference < 1e-4 and pock.losses[-1] < pock.losses[0]
    assert pock.artifact > 0 and pock.further["beyond_invocation"] > 0


def test_a_crash_is_a_row_with_its_reason(ran: Results) -> None:
    crash = ran.rows[2]
    assert crash.error == "crashed (Killed)" and math.isnan(crash.median)


def test_the_progress_is_all_there_is(ran: Results, counter: Counter) -> None:
    assert ran.rows and counter.done == counter.units > 0


def test_what_goes_wrong_in_a_child_is_its_reason() -> None:
    child = Child("pock.benchmarks.child", asdict(Job("pock", "/nonexistent", {}, 0.1, 0.1, 1, 1, 0.0)), 1)
    with pytest.raises(Unsupported, match="nonexistent"):
        child.answer(60)


def test_a_module_that_is_not_there_ends_with_its_last_line() -> None:
    child = Child("pock.benchmarks.nothing", {}, 1)
    with pytest.raises(Unsupported, match=r"No module named pock\.benchmarks\.nothing"):
        child.answer(60)


def test_a_child_that_says_nothing_is_given_up() -> None:
    child = Child("pock.benchmarks.child", {}, 1)
    with pytest.raises(Unsupported, match="took longer than 0 s"):
        child.answer(0.0)


def test_hidden_contestants_are_selected_by_name_only() -> None:
    assert [entry.name for entry in select(["*"])] == [n for n, e in PEERS.items() if not e.hidden]


@pytest.mark.parametrize(
    ("peer", "module"), [("jax", "jax"), ("tensorflow", "tensorflow"), ("tensorflow-xla", "tensorflow")]
)
def test_peers_that_are_installed_learn_as_pytorch_does(peer: str, module: str, tmp_path: Path) -> None:
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    names = [name for name, _ in tiny(2).model.named_parameters()]
    fold_batch_norms(export(tiny(2), WORKLOADS["tiny"].trained("full", names))).save(tmp_path)
    losses = {}
    for name in ("torch", peer):
        job = Job(name, str(tmp_path), {"name": "sgd", "momentum": 0.9}, 0.1, 0.0, 1, 4, 0.0)
        child = Child("pock.benchmarks.child", asdict(job), 1)
        losses[name] = child.answer(120)["losses"]
        child.end()
    assert losses[peer] == pytest.approx(losses["torch"], rel=1e-5)
