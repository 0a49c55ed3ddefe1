# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Steps that are divided among cores: against NumPy, on threads and on one, and when something fails."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pock.runtime import (
    DeviceError,
    InputError,
    PockRuntimeError,
    Trainer,
    TrainingDiverged,
    cores,
)
from pock.runtime.device import aligned_empty
from pock.runtime.workers import Worker
from tests.python.runtime.runtime_programs import (
    BATCH,
    CLASSES,
    FEATURES,
    WEIGHT,
    compile_mlir,
    reflection,
    sharded_program,
    shards_metadata,
)

LR = 0.3


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: threads can share one."""
    monkeypatch.setattr(cores, "_cores", lambda: 4)


@pytest.fixture(params=["two", "four"])
def program(request: pytest.FixtureRequest, sharded: Path, sharded4: Path) -> Path:
    return sharded if request.param == "two" else sharded4


def batch(number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    return rng.normal(size=(BATCH, FEATURES)).astype(np.float32), rng.integers(0, CLASSES, BATCH)


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "pock-shards"}


def same(first: Trainer, second: Trainer) -> bool:
    states = [trainer.state_dict(optimizer=True) for trainer in (first, second)]
    return all(np.array_equal(states[0][name], states[1][name]) for name in states[0])


class Reference:
    """``sharded_program`` in NumPy, float64 but for what is integer, without shards."""

    def __init__(self) -> None:
        self.weight, self.bias = WEIGHT.astype(np.float64), np.zeros(CLASSES)
        self.momentum = np.zeros((CLASSES, FEATURES))

    def step(self, x: np.ndarray, y: np.ndarray, lr: float, momentum: float) -> tuple[float, np.ndarray]:
        x = x - x.mean(0)
        logits = x @ self.weight.T + self.bias
        rows = np.arange(BATCH)
        loss = float(np.mean(np.log(np.exp(logits).sum(1)) - logits[rows, y]))
        grad = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        grad[rows, y] -= 1
        grad /= BATCH
        self.momentum = self.momentum * momentum + grad.T @ x
        self.weight -= lr * self.momentum
        self.bias -= lr * grad.sum(0)
        return loss, logits


def test_steps_are_those_of_numpy(program: Path) -> None:
    trainer, reference = Trainer(program), Reference()
    for number in range(5):
        x, y = batch(number)
        loss, logits = reference.step(x, y, LR, 0.9)
        assert trainer.step(x, y, lr=LR, momentum=0.9) == pytest.approx(loss, rel=1e-5)
        assert np.allclose(trainer.outputs[0], logits, rtol=1e-4, atol=1e-6)
    state = trainer.state_dict(optimizer=True)
    assert np.allclose(state["fc.weight"], reference.weight, rtol=1e-4, atol=1e-6)
    assert np.allclose(state["fc.bias"], reference.bias, rtol=1e-4, atol=1e-6)
    assert np.allclose(state["fc.weight.momentum"], reference.momentum, rtol=1e-4, atol=1e-6)
    assert (int(state["step"]), trainer.steps) == (5, 5)


@pytest.mark.parametrize("available", [1, 2, 3, 4])
def test_the_number_of_cores_changes_no_bit(
    sharded4: Path, available: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three cores have one, one and two shards; a device that is named has all."""
    before = threads()
    monkeypatch.setattr(cores, "_cores", lambda: available)
    alone, trainer = Trainer(sharded4, device="local-sync"), Trainer(sharded4)
    for number in range(4):
        x, y = batch(number)
        assert trainer.step(x, y, lr=LR) == alone.step(x, y, lr=LR)
        assert np.array_equal(trainer.outputs[0], alone.outputs[0])
    assert same(trainer, alone)
    assert len(threads() - before) == available - 1


def test_a_device_that_is_named_runs_all_but_shards(sharded: Path) -> None:
    trainer, alone = Trainer(sharded, device="local-task"), Trainer(sharded, device="local-sync")
    x, y = batch()
    assert (trainer.device, alone.device) == ("local-task", "local-sync")
    assert trainer.step(x, y) == alone.step(x, y)
    assert np.array_equal(trainer.predict(x), alone.predict(x))
    assert same(trainer, alone)


def test_a_program_that_does_little_runs_its_shards_on_threads_too(tmp_path: Path, sharded: Path) -> None:
    """Its own device is then the caller's thread."""
    metadata = shards_metadata(2, work={"dispatches": 10, "bytes": 10, "flops": 0})
    trainer, before = Trainer(sharded_program(tmp_path / "small.vmfb", 2, metadata)), threads()
    other = Trainer(sharded)
    for number in range(3):
        assert trainer.step(*batch(number)) == other.step(*batch(number))
    assert trainer.device == "local-sync"
    assert len(threads() - before) == 2


def test_state_and_partial_sums_stay_where_they_are(sharded: Path) -> None:
    trainer = Trainer(sharded)
    x, y = (_aligned(array) for array in batch())
    trainer.step(x, y)
    assert trainer._state.settled
    before = [trainer._range(ref) for ref in trainer._state.refs[0]]
    packed = []
    for _ in range(3):
        trainer.step(x, y)
        packed.append(list(trainer._packed.values()))
    assert [trainer._range(ref) for ref in trainer._state.refs[0]] == before
    assert packed[0] and all(lists == packed[0] for lists in packed)
    stepped: Any = trainer._stepped
    partials = [[trainer._range(part.get_as_ref(i)) for i in (1, 2, 3)] for part in stepped.parts]
    assert partials == [[(a.ctypes.data, a.ctypes.data + a.nbytes) for a in m] for m in _memory(trainer)]


def _memory(trainer: Trainer) -> list[list[np.ndarray]]:
    stepping: Any = trainer._stepping
    memory: list[list[np.ndarray]] = stepping._memory
    return memory


def _aligned(array: np.ndarray) -> np.ndarray:
    there = aligned_empty(array.shape, array.dtype)
    there[...] = array
    return there


# ---- inputs -------------------------------------------------------------------------------------------


def _layouts(x: np.ndarray) -> dict[str, Any]:
    misaligned = np.empty(x.nbytes + 4, np.uint8)[4:].view(np.float32).reshape(x.shape)
    frozen = _aligned(x)
    misaligned[...] = x
    frozen.flags.writeable = False
    return {
        "aligned": _aligned(x),
        "misaligned": misaligned,
        "read-only": frozen,
        "column-major": np.asfortranarray(x),
        "reversed": x[::-1].copy()[::-1],
        "list": x.tolist(),
    }


def test_every_layout_is_read_alike(program: Path) -> None:
    x, y = batch()
    trainer, wanted = Trainer(program), Trainer(program).step(x, y)
    for name, layout in _layouts(x).items():
        trainer.reset()
        assert trainer.step(layout, y.astype(np.uint8)) == wanted, name


@pytest.mark.parametrize(("unaligned", "copied"), [(False, 1), (True, 0)])
def test_parts_are_read_where_they_lie_if_they_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unaligned: bool, copied: int
) -> None:
    """The second half of x begins 96 bytes after the first, which is no multiple of 64; so do y's, at 32."""
    metadata = shards_metadata(2, unaligned_inputs=unaligned)
    trainer = Trainer(sharded_program(tmp_path / "model.vmfb", 2, metadata))
    x, y = (_aligned(array) for array in batch())
    staged = []
    stage = type(trainer._feeds[0]).stage

    def record(feed: Any, array: np.ndarray) -> Any:
        staged.append(array.shape)
        return stage(feed, array)

    monkeypatch.setattr(type(trainer._feeds[0]), "stage", record)
    loss = trainer.step(x, y)
    assert staged.count((4, 6)) == staged.count((4,)) == copied
    monkeypatch.undo()
    assert loss == Trainer(tmp_path / "model.vmfb", device="local-sync").step(x, y)


def test_an_array_is_read_anew_in_each_step(sharded: Path) -> None:
    again, fresh = Trainer(sharded), Trainer(sharded, device="local-sync")
    x, y = batch()
    array = _aligned(x)
    for number in range(1, 5):
        array[...] = x * np.float32(number)
        assert again.step(array, y, lr=LR) == fresh.step(x * np.float32(number), y, lr=LR)
        array[...] = np.nan
        gone = weakref.ref(array.base)
        array = _aligned(x)
        assert gone() is None
    assert same(again, fresh)


def test_inputs_are_refused_as_wholes(sharded: Path) -> None:
    trainer = Trainer(sharded)
    x, y = batch()
    with pytest.raises(InputError, match=r"'x' has shape \[4, 6\], float32\[8, 6\] is wanted"):
        trainer.step(x[:4], y)
    with pytest.raises(InputError, match="'x' is float64"):
        trainer.step(x.astype(np.float64), y)
    with pytest.raises(InputError, match="momentum"):
        trainer.step(x, y, momentum=np.nan)
    assert trainer.steps == 0
    assert trainer.step(y=y, x=x) == Trainer(sharded).step(x, y)


# ---- state --------------------------------------------------------------------------------------------


def test_a_checkpoint_goes_on_as_if_nothing_had_been(sharded: Path, tmp_path: Path) -> None:
    trainer = Trainer(sharded)
    for number in range(3):
        trainer.step(*batch(number), lr=LR)
    trainer.save(tmp_path / "state.ckpt")
    for device in (None, "local-sync"):
        trainer.load_checkpoint(tmp_path / "state.ckpt")
        restored = Trainer.restore(sharded, tmp_path / "state.ckpt", device)
        for number in range(3, 6):
            assert restored.step(*batch(number), lr=LR) == trainer.step(*batch(number), lr=LR)
        assert same(restored, trainer)
        assert restored.steps == 6


def test_steps_see_state_that_is_replaced(sharded: Path) -> None:
    trainer = Trainer(sharded)
    initial = trainer.state_dict(optimizer=True)
    first = [trainer.step(*batch(), lr=LR) for _ in range(3)]
    trainer.load_state_dict(initial)
    assert [trainer.step(*batch(), lr=LR) for _ in range(3)] == first
    trainer.reset()
    assert [trainer.step(*batch(), lr=LR) for _ in range(3)] == first


def test_predictions_between_steps_change_nothing(sharded: Path) -> None:
    trainer, other = Trainer(sharded), Trainer(sharded)
    x, y = batch()
    for _ in range(3):
        assert trainer.step(x, y) == other.step(x, y)
        outputs = trainer.outputs[0].copy()
        trainer.predict(-x)
        assert np.array_equal(trainer.outputs[0], outputs)
    assert same(trainer, other)


# ---- failing ------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_is_raised(sharded: Path) -> None:
    x, y = batch()
    x[0, 0] = np.inf
    with pytest.raises(TrainingDiverged, match="the loss became nan in step 1"):
        Trainer(sharded).step(x, y, check_finite=True)


Lane = Callable[[Any], Any]


def _broken(lane: Lane, error: type[BaseException]) -> Lane:
    def fail(lists: Any) -> None:
        lane(lists)
        raise error("'gradients' failed on local-sync: lost")

    return fail


def _shards(trainer: Trainer) -> list[Lane]:
    """What runs shards on the caller's thread and on the others."""
    stepping: Any = trainer._stepping
    lanes: list[Lane] = stepping._lanes
    return lanes


def _replace(trainer: Trainer, number: int, lane: Lane) -> None:
    stepping: Any = trainer._stepping
    if number == 0:
        stepping._lanes[0] = lane
    else:
        stepping._workers[number - 1].close()
        stepping._workers[number - 1] = Worker(lane)


@pytest.mark.parametrize("failing", [0, 1, 2, 3])
def test_a_shard_that_fails_takes_the_state_with_it(sharded4: Path, failing: int, tmp_path: Path) -> None:
    trainer = Trainer(sharded4)
    trainer.step(*batch(), lr=LR)
    trainer.save(tmp_path / "good.ckpt")
    shards = _shards(trainer)
    whole = shards[failing]
    _replace(trainer, failing, _broken(whole, DeviceError))
    with pytest.raises(DeviceError, match=r"failed on local-sync: lost; the state is lost, load a check"):
        trainer.step(*batch(1))
    with pytest.raises(PockRuntimeError, match=r"load a checkpoint or reset\(\)"):
        trainer.step(*batch(1))
    _replace(trainer, failing, whole)
    trainer.load_checkpoint(tmp_path / "good.ckpt")
    restored = Trainer.restore(sharded4, tmp_path / "good.ckpt")
    for number in range(3):
        assert trainer.step(*batch(number), lr=LR) == restored.step(*batch(number), lr=LR)
    assert same(trainer, restored)


def test_an_interrupt_waits_for_the_shards_and_changes_nothing(sharded: Path) -> None:
    trainer, other = Trainer(sharded), Trainer(sharded)
    assert trainer.step(*batch(), lr=LR) == other.step(*batch(), lr=LR)
    shards, ended = list(_shards(trainer)), []

    def slow(lists: Any) -> Any:
        time.sleep(0.05)
        ended.append(True)
        return shards[1](lists)

    _replace(trainer, 0, _broken(shards[0], KeyboardInterrupt))
    _replace(trainer, 1, slow)
    with pytest.raises(KeyboardInterrupt):
        trainer.step(*batch(1), lr=LR)
    assert ended == [True]
    _replace(trainer, 0, shards[0])
    assert trainer.steps == 1
    for number in range(2, 5):
        assert trainer.step(*batch(number), lr=LR) == other.step(*batch(number), lr=LR)
    assert same(trainer, other)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
def test_an_interrupt_may_come_at_any_time(sharded4: Path) -> None:
    """A step has then been taken or not, and the next one is right."""
    trainer, other = Trainer(sharded4), Trainer(sharded4, device="local-sync")
    trainer.step(*batch(), lr=LR)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for number in range(150):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-5 * (1 + number % 50))
                while True:
                    trainer.step(*batch(), lr=LR)
            except KeyboardInterrupt:
                pass
    finally:
        signal.signal(signal.SIGALRM, before)
    for _ in range(trainer.steps):
        other.step(*batch(), lr=LR)
    assert same(trainer, other)
    assert trainer.step(*batch(1)) == other.step(*batch(1))


def test_a_program_without_its_functions_says_so(tmp_path: Path) -> None:
    path = compile_mlir(
        f"""module @pock {{
func.func @init() -> tensor<f32>{reflection(shards_metadata(2))} {{
%0 = arith.constant dense<0.0> : tensor<f32>
return %0 : tensor<f32>
}}
func.func @predict(%x: tensor<f32>) -> tensor<f32> {{
return %x : tensor<f32>
}}
}}""",
        tmp_path / "bare.vmfb",
    )
    with pytest.raises(PockRuntimeError, match=r"^the program has no function 'gradients'$"):
        Trainer(path)


def _claims(**changes: Any) -> dict[str, Any]:
    metadata = shards_metadata(2)
    return {**metadata, "shards": {**metadata["shards"], **changes}}


@pytest.mark.parametrize(
    "shapes", [((), (3, 6)), ((), (1, 6), (3,)), ((), (3, 6), (2**16,)), ((), (3, 6), (3,), (3,)), ((0,),)]
)
def test_partial_sums_that_the_program_has_not_are_refused(
    tmp_path: Path, shapes: tuple[tuple[int, ...], ...]
) -> None:
    partials = [{"shape": list(shape), "dtype": "float32"} for shape in shapes]
    path = sharded_program(tmp_path / "model.vmfb", 2, _claims(partials=partials))
    with pytest.raises(DeviceError) as caught:
        Trainer(path).step(*batch())
    assert "\n" not in str(caught.value)


def test_more_memory_than_there_is_is_refused(tmp_path: Path) -> None:
    partials = [{"shape": [2**31, 2**31, 2**31], "dtype": "float32"}]
    path = sharded_program(tmp_path / "model.vmfb", 2, _claims(partials=partials))
    with pytest.raises(DeviceError, match="no memory for the partial sums of a shard"):
        Trainer(path)


# ---- threads ------------------------------------------------------------------------------------------


def test_threads_start_with_the_first_step_and_end_with_the_trainer(sharded4: Path) -> None:
    gc.collect()
    before = threads()
    trainer = Trainer(sharded4)
    trainer.predict(batch()[0])
    assert not threads() - before
    for _ in range(3):
        trainer.step(*batch())
    mine = threads() - before
    assert len(mine) == 3
    del trainer
    gc.collect()
    for thread in mine:
        thread.join(5)
    assert not mine & threads()


def test_programs_side_by_side(sharded: Path, sharded4: Path) -> None:
    """In turn, and each in a thread of its own, where they share the devices."""
    trainers = [Trainer(path) for path in (sharded, sharded4, sharded, sharded4)]
    alone = {path: Trainer(path, device="local-sync") for path in (sharded, sharded4)}
    wanted = {path: [each.step(*batch(i), lr=LR) for i in range(40)] for path, each in alone.items()}
    losses: dict[int, list[float]] = {0: [], 1: [], 2: [], 3: []}
    for number in range(10):
        for k, trainer in enumerate(trainers):
            losses[k].append(trainer.step(*batch(number), lr=LR))

    def go_on(k: int) -> None:
        losses[k] += [trainers[k].step(*batch(number), lr=LR) for number in range(10, 40)]

    steppers = [threading.Thread(target=go_on, args=(k,)) for k in losses]
    for stepper in steppers:
        stepper.start()
    for stepper in steppers:
        stepper.join()
    for k, path in enumerate((sharded, sharded4, sharded, sharded4)):
        assert losses[k] == wanted[path]


EXIT = """
import os
import sys
import numpy as np
from pock.runtime import Trainer, cores
cores._cores = lambda: 4
x, y = np.ones((8, 6), np.float32), np.zeros(8, np.int64)
kept = []
for keep in (True, False):
    trainer = Trainer(sys.argv[1])
    trainer.step(x, y)
    if keep:
        kept.append((trainer, trainer.outputs, trainer.state_dict()))
kept.append(kept)
del trainer
print("done", flush=True)
"""

FORK = """
import os
import sys
import numpy as np
from pock.runtime import Trainer, cores, program
cores._cores = lambda: 4
# The threads of local-task do not go along with a fork.
program.default_device = lambda metadata: "local-sync"
x, y = np.ones((8, 6), np.float32), np.zeros(8, np.int64)
trainer = Trainer(sys.argv[1])
trainer.step(x, y)
child = os.fork()
loss = trainer.step(x, y)
if child:
    assert os.waitpid(child, 0)[1] == 0
print(loss, flush=True)
"""


def _run(program: str, path: Path) -> tuple[int, str, str]:
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_the_interpreter_exits_with_threads_waiting(sharded4: Path) -> None:
    assert _run(EXIT, sharded4) == (0, "done\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_steps_on_with_threads_of_its_own(sharded4: Path) -> None:
    # What the threads that did not come along hold, the child cannot let go of, and IREE says so.
    status, out, _ = _run(FORK, sharded4)
    losses = out.split()
    assert (status, len(losses), len(set(losses))) == (0, 2, 1)


def test_threads_cost_a_step_little(sharded: Path) -> None:
    """Some 60 us to wake one and to hear from it; much more where other processes run on all cores."""

    def typical(trainer: Trainer) -> float:
        times = []
        for _ in range(300):
            begin = time.perf_counter()
            trainer.step(*arrays, lr=LR)
            times.append(time.perf_counter() - begin)
        return float(np.percentile(times, 20))

    arrays = [_aligned(array) for array in batch()]
    beyond = typical(Trainer(sharded)) - typical(Trainer(sharded, device="local-sync"))
    assert beyond < 0.5e-3, f"{beyond * 1e3:.3f} ms"
