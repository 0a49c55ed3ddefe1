# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Memory that programs use between calls: kept for the next, and given back."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pock.runtime import Trainer
from tests.python.runtime.runtime_programs import slab_program

ROWS, COLUMNS = 4096, 5120
SLAB = ROWS * COLUMNS * 4
"""Bytes that each function of the program uses between two dispatches: 80 MB."""

PAGE = resource.getpagesize()
X = np.ones(ROWS, np.float32)

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")


@pytest.fixture(scope="module")
def slab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return slab_program(tmp_path_factory.mktemp("slab") / "model.vmfb", ROWS, COLUMNS)


@pytest.fixture(params=["local-sync", "local-task"])
def trainer(slab: Path, request: pytest.FixtureRequest) -> Trainer:
    return Trainer(slab, device=request.param)


def fresh_pages(call: Callable[[], object]) -> int:
    """Pages that ``call`` touched for the first time."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    call()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def allocated(trainer: Trainer) -> int:
    """Bytes that the device has ever allocated."""
    return int(trainer._device.allocator.statistics["device_bytes_allocated"])


def step(trainer: Trainer) -> None:
    assert trainer.step(X, lr=0.0) == ROWS * COLUMNS


def test_the_second_step_allocates_nothing(trainer: Trainer) -> None:
    step(trainer)
    before = allocated(trainer)
    pages = [fresh_pages(lambda: step(trainer)) for _ in range(5)]
    assert allocated(trainer) - before < SLAB // 100
    assert max(pages) < SLAB // PAGE // 100


def test_so_does_the_second_prediction(trainer: Trainer) -> None:
    trainer.predict(X)
    assert fresh_pages(lambda: trainer.predict(X)) < SLAB // PAGE // 100


def test_memory_is_that_of_one_function(trainer: Trainer) -> None:
    """What another function has kept is given back."""
    calls = [lambda: step(trainer), lambda: trainer.predict(X), lambda: trainer.evaluate(X)]
    step(trainer)
    before = resident()
    for _ in range(5):
        for call in calls:
            call()
            # Where the C library keeps what is freed, it is one more: there are three functions.
            assert resident() - before < SLAB * 5 // 4


@pytest.mark.parametrize("device", ["local-sync", "local-task"])
def test_memory_does_not_grow_step_after_step(slab: Path, device: str) -> None:
    """Threads may still be freeing what the last call used when the next one begins."""
    trainer = Trainer(slab, device=device)
    before = resident()
    for _ in range(12):
        step(trainer)
        trainer.predict(X)
        assert resident() - before < SLAB * 9 // 4


def test_programs_side_by_side_do_not_accumulate(slab: Path) -> None:
    """They share the device, and what one has freed the other may use."""
    trainers = [Trainer(slab, device="local-sync") for _ in range(3)]
    for each in trainers:
        step(each)
    before = resident()
    for _ in range(5):
        for each in trainers:
            step(each)
            each.predict(X)
    # Where the C library keeps what is freed, it is one more: there are three programs.
    assert resident() - before < SLAB * 5 // 4


EXIT = """
import sys
import numpy as np
from pock.runtime import Trainer
x = np.ones(4096, np.float32)
kept = []
for device in sys.argv[2:]:
    for keep in (True, False):
        trainer = Trainer(sys.argv[1], device=device)
        trainer.step(x, lr=0.0)
        outputs = trainer.predict(x)
        if keep:
            kept.append((trainer, outputs, trainer.state_dict()))
kept.append(kept)
print("done")
"""


@pytest.mark.parametrize(
    "devices", [("local-sync",), ("local-task", "local-task"), ("local-sync", "local-task")]
)
def test_the_interpreter_exits_with_programs_open(slab: Path, devices: tuple[str, ...]) -> None:
    """Also where a cycle holds them, which is taken down in any order."""
    command = [sys.executable, "-c", EXIT, str(slab), *devices]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
