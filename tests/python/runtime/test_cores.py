# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which programs run on one core."""

import json
from pathlib import Path
from typing import Any

import pytest

from pock.runtime import Metadata, Trainer, cores
from pock.runtime.cores import WORTH_SHARING, default_device
from tests.python.runtime.runtime_programs import softmax_metadata


def chosen(work: Any, **changes: Any) -> str:
    """The device of a program that does ``work``: dispatches, bytes, flops."""
    if work is not None:
        changes["work"] = dict(zip(("dispatches", "bytes", "flops"), work, strict=True))
    return default_device(Metadata.from_json(json.dumps(softmax_metadata(**changes))))


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_cores", lambda: 2)


def test_dispatches_that_do_little_run_on_one_core() -> None:
    enough = 10 * WORTH_SHARING
    assert chosen((10, enough, 0)) == "local-task"
    assert chosen((10, enough - 1, 0)) == "local-sync"
    assert chosen((11, enough, 0)) == "local-sync"
    assert chosen((0, 0, 0)) == "local-sync"


def test_computing_counts_too() -> None:
    assert chosen((10, 0, 10 * WORTH_SHARING)) == "local-sync"
    assert chosen((10, 0, 10 * WORTH_SHARING * cores.FLOPS_PER_BYTE)) == "local-task"


def test_where_there_is_one_core_there_is_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_cores", lambda: 1)
    assert chosen((10, 10**9, 0)) == "local-sync"


def test_programs_that_do_not_say_what_they_do_keep_their_device() -> None:
    assert chosen(None) == "local-task"


@pytest.mark.parametrize("device", ["vulkan", "cuda", "local-sync"])
def test_other_devices_are_not_exchanged(device: str) -> None:
    assert chosen((10, 10**9, 0), device=device) == chosen((10, 1, 0), device=device) == device


@pytest.mark.parametrize("device", ["local-sync", "local-task"])
def test_a_device_that_is_named_is_taken(softmax: Path, device: str) -> None:
    assert Trainer(softmax, device=device)._device.uri == device
