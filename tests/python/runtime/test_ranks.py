# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Programs with ranks: against NumPy and the program without, and when a rank does not come."""

import faulthandler
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pock.runtime import ArtifactError, DeviceError, InputError, PockRuntimeError, Trainer, cores, ranks
from pock.runtime.device import aligned_empty
from pock.runtime.metadata import Ranks
from tests.python.runtime.ranked_programs import (
    FACTORS,
    FEATURES,
    PENALTY,
    ROWS,
    VALUES,
    WEIGHT,
    ranked_metadata,
    ranked_program,
)
from tests.python.runtime.runtime_programs import compile_mlir, reflection

LR = 0.05


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: threads can share one."""
    monkeypatch.setattr(cores, "_cores", lambda: 4)


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """A rank that waits for ever cannot be interrupted."""
    faulthandler.dump_traceback_later(60, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(params=["two", "four"])
def program(request: pytest.FixtureRequest, ranked: Path, ranked4: Path) -> Path:
    return ranked if request.param == "two" else ranked4


def batch(number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    return (
        rng.normal(size=(ROWS, FEATURES)).astype(np.float32),
        rng.normal(size=(ROWS, VALUES)).astype(np.float32),
    )


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "pock-shards"}


def same(first: Trainer, second: Trainer) -> bool:
    states = [trainer.state_dict(optimizer=True) for trainer in (first, second)]
    return all(np.array_equal(states[0][name], states[1][name]) for name in states[0])


class Reference:
    """``ranked_program`` in NumPy, float64."""

    def __init__(self) -> None:
        self.weight, self.bias = WEIGHT.astype(np.float64), np.zeros(VALUES)
        self.scale, self.shift = np.split(FACTORS.astype(np.float64), 2)
        self.momentum = np.zeros_like(self.weight)

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        values = (x * self.scale + self.shift) @ self.weight.T + self.bias
        penalty = PENALTY * float((self.weight @ self.weight.T).sum())
        return float(((values - y) ** 2).mean()) + penalty, values

    def step(self, x: np.ndarray, y: np.ndarray, lr: float, momentum: float) -> tuple[float, np.ndarray]:
        loss, values = self.evaluate(x, y)
        grad = (values - y) * 2 / y.size
        inward = grad @ self.weight
        self.momentum = self.momentum * momentum + grad.T @ (x * self.scale + self.shift)
        self.weight = self.weight - lr * self.momentum
        self.bias = self.bias - lr * grad.sum(0)
        self.scale = self.scale - lr * (inward * x).sum(0)
        self.shift = self.shift - lr * inward.sum(0)
        return loss, values


def test_a_program_with_ranks_computes_what_numpy_does(program: Path) -> None:
    trainer, reference = Trainer(program), Reference()
    for number in range(5):
        x, y = batch(number)
        assert np.allclose(trainer.predict(x), reference.evaluate(x, y)[1], rtol=1e-4, atol=1e-5)
        loss, values = trainer.evaluate(x, y)
        assert loss == pytest.approx(reference.evaluate(x, y)[0], rel=1e-5)
        assert trainer.step(x, y, lr=LR, momentum=0.9) == loss
        assert np.array_equal(trainer.outputs[0], values)
        assert reference.step(x, y, LR, 0.9)[0] == pytest.approx(loss, rel=1e-5)
    state = trainer.state_dict(optimizer=True)
    factors = np.concatenate([reference.scale, reference.shift])
    for name, wanted in (
        ("fc.weight", reference.weight),
        ("fc.weight.momentum", reference.momentum),
        ("fc.bias", reference.bias),
        ("factors", factors),
    ):
        assert np.allclose(state[name], wanted, rtol=1e-4, atol=1e-5), name
    assert (int(state["step"]), int(state["seed"]), trainer.steps) == (5, 17, 5)


def test_the_device_that_is_named_changes_no_bit(ranked: Path) -> None:
    trainers = [Trainer(ranked, device) for device in (None, "local-sync", "local-task")]
    assert [trainer.device for trainer in trainers] == ["local-sync", "local-sync", "local-task"]
    for number in range(3):
        assert len({trainer.step(*batch(number), lr=LR) for trainer in trainers}) == 1
    assert same(trainers[0], trainers[1]) and same(trainers[0], trainers[2])


def test_turns_are_equal_after_each_call(program: Path) -> None:
    trainer = Trainer(program)
    x, y = batch()
    turns = _stepping(trainer)._turns[:, 0]
    for count, call in ((2, lambda: trainer.step(x, y)), (1, lambda: trainer.predict(x))):
        before = turns[0]
        call()
        assert (turns == before + count).all()


@pytest.mark.parametrize("start", [2**31 - 3, 2**31 - 2, 2**31 - 1])
def test_turns_may_overflow(ranked: Path, start: int) -> None:
    trainer, other = Trainer(ranked), Trainer(ranked)
    _stepping(trainer)._turns[:, 0] = start
    for number in range(3):
        assert trainer.step(*batch(number)) == other.step(*batch(number))


def test_state_stays_where_it_is(ranked: Path) -> None:
    trainer = Trainer(ranked)
    x, y = (_aligned(array) for array in batch())
    trainer.step(x, y)
    assert trainer._state.settled

    def places() -> list[list[tuple[int, int]]]:
        return [[trainer._range(ref) for ref in refs] for refs in trainer._state.refs]

    before, kept = places(), []
    assert len({place for rank in before for place in rank}) == 12
    for _ in range(3):
        trainer.step(x, y)
        kept.append(list(trainer._packed.values()))
    assert places() == before
    assert kept[0] and all(lists == kept[0] for lists in kept)


def _aligned(array: np.ndarray) -> np.ndarray:
    there = aligned_empty(array.shape, array.dtype)
    there[...] = array
    return there


def test_too_few_cores_are_said_once_a_line(ranked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_cores", lambda: 1)
    with pytest.warns(UserWarning, match="for 2 cores and this process may use 1.*--cores 1$") as caught:
        trainer = Trainer(ranked)
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert trainer.step(*batch()) > 0
        monkeypatch.setattr(cores, "_cores", lambda: 2)
        Trainer(ranked)


# ---- state --------------------------------------------------------------------------------------------


def test_checkpoints_go_from_program_to_program(
    unranked: Path, ranked: Path, ranked4: Path, tmp_path: Path
) -> None:
    """Whatever the number of ranks, and none."""
    trainer = Trainer(ranked)
    for number in range(3):
        trainer.step(*batch(number), lr=LR)
    state = trainer.state_dict(optimizer=True)
    assert [state[name].shape for name in ("fc.weight", "factors")] == [(VALUES, FEATURES), (2 * FEATURES,)]
    for path in (ranked4, unranked, ranked):
        trainer.save(tmp_path / "state.ckpt")
        restored = Trainer.restore(path, tmp_path / "state.ckpt")
        assert same(restored, trainer)
        restored.save(tmp_path / "again.ckpt")
        assert (tmp_path / "again.ckpt").read_bytes() == (tmp_path / "state.ckpt").read_bytes()
        other = Trainer(path)
        other.load_state_dict(trainer.state_dict(optimizer=True))
        for number in range(3):
            loss = trainer.step(*batch(number), lr=LR)
            assert restored.step(*batch(number), lr=LR) == pytest.approx(loss, rel=1e-5)
            assert other.step(*batch(number), lr=LR) == pytest.approx(loss, rel=1e-5)
        assert same(restored, other)
        trainer = restored


def test_a_checkpoint_goes_on_as_if_nothing_had_been(program: Path, tmp_path: Path) -> None:
    trainer = Trainer(program)
    for number in range(3):
        trainer.step(*batch(number), lr=LR)
    trainer.save(tmp_path / "state.ckpt")
    restored = Trainer.restore(program, tmp_path / "state.ckpt")
    for number in range(3, 6):
        assert restored.step(*batch(number), lr=LR) == trainer.step(*batch(number), lr=LR)
    assert same(restored, trainer)
    assert restored.steps == 6


def test_state_can_be_put_back(program: Path) -> None:
    trainer = Trainer(program)
    initial = trainer.state_dict(optimizer=True)
    assert np.array_equal(initial["fc.weight"], WEIGHT) and np.array_equal(initial["factors"], FACTORS)
    first = [trainer.step(*batch(), lr=LR) for _ in range(3)]
    trainer.load_state_dict(initial)
    assert [trainer.step(*batch(), lr=LR) for _ in range(3)] == first
    trainer.reset(seed=5)
    assert int(trainer.state_dict(optimizer=True)["seed"]) == 5
    assert [trainer.step(*batch(), lr=LR) for _ in range(3)] == first
    trainer.load_state_dict({"factors": FACTORS}, strict=False)
    assert np.array_equal(trainer.state_dict()["factors"], FACTORS)


def test_inputs_are_refused_before_anything_runs(ranked: Path) -> None:
    trainer = Trainer(ranked)
    x, y = batch()
    with pytest.raises(InputError, match="'x' has shape"):
        trainer.step(x[:2], y)
    with pytest.raises(InputError, match="'y' is float64"):
        trainer.evaluate(x, y.astype(np.float64))
    assert trainer.steps == 0
    assert trainer.step(y=y.tolist(), x=np.asfortranarray(x)) == Trainer(ranked).step(x, y)


# ---- failing ------------------------------------------------------------------------------------------


def _stepping(trainer: Trainer) -> Any:
    return trainer._stepping


def _break(trainer: Trainer, rank: int, error: type[BaseException], called: bool) -> Callable[[], None]:
    """Have a rank's next calls fail, after they were made or before; returns what undoes it."""
    lane = _stepping(trainer)._lanes[rank]
    whole = lane.run

    def fail(*call: Any) -> None:
        if called:
            whole(*call)
        raise error("'step' failed on local-sync: lost")

    lane.run = fail
    return lambda: setattr(lane, "run", whole)


@pytest.mark.parametrize("called", [True, False])
@pytest.mark.parametrize("failing", [0, 1, 3])
def test_a_rank_that_fails_takes_the_state_with_it(
    ranked4: Path, failing: int, called: bool, tmp_path: Path
) -> None:
    trainer = Trainer(ranked4)
    trainer.step(*batch(), lr=LR)
    trainer.save(tmp_path / "good.ckpt")
    mend = _break(trainer, failing, DeviceError, called)
    with pytest.raises(DeviceError, match=r"failed on local-sync: lost; the state is lost, load a check"):
        trainer.step(*batch(1))
    assert not _stepping(trainer)._turns.any()
    with pytest.raises(PockRuntimeError, match=r"load a checkpoint or reset\(\)"):
        trainer.step(*batch(1))
    mend()
    trainer.load_checkpoint(tmp_path / "good.ckpt")
    restored = Trainer.restore(ranked4, tmp_path / "good.ckpt")
    for number in range(3):
        assert trainer.step(*batch(number), lr=LR) == restored.step(*batch(number), lr=LR)
    assert same(trainer, restored)


@pytest.mark.parametrize("failing", [0, 1])
def test_a_prediction_that_fails_leaves_the_state(ranked: Path, failing: int) -> None:
    trainer, other = Trainer(ranked), Trainer(ranked)
    x, y = batch()
    assert trainer.step(x, y) == other.step(x, y)
    for call in (lambda: trainer.predict(x), lambda: trainer.evaluate(x, y)):
        mend = _break(trainer, failing, DeviceError, False)
        with pytest.raises(DeviceError, match=r"lost$"):
            call()
        mend()
    assert np.array_equal(trainer.predict(x), other.predict(x))
    assert trainer.step(x, y) == other.step(x, y)


@pytest.mark.parametrize("rank", [0, 1])
def test_an_interrupt_while_ranks_wait_loses_the_state(ranked: Path, rank: int) -> None:
    """Between asking the others and the own call, and once a call has ended."""
    trainer = Trainer(ranked)
    mend = _break(trainer, rank, KeyboardInterrupt, False)
    with pytest.raises(KeyboardInterrupt):
        trainer.step(*batch())
    mend()
    with pytest.raises(PockRuntimeError, match="state is lost"):
        trainer.predict(batch()[0])
    trainer.reset()
    assert trainer.step(*batch()) == Trainer(ranked).step(*batch())


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_an_interrupt_while_the_others_are_asked(
    ranked4: Path, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has begun, or some have and wait."""
    trainer = Trainer(ranked4)
    first = trainer.step(*batch(), lr=LR)
    worker = _stepping(trainer)._workers[asked]
    ask = worker.ask

    def interrupted(argument: Any) -> None:
        if argument is None:
            ask(argument)
        else:
            time.sleep(0.02)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(worker, "ask", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trainer.step(*batch(1), lr=LR)
    other = Trainer(ranked4)
    assert other.step(*batch(), lr=LR) == first
    if asked > 0:
        with pytest.raises(PockRuntimeError, match="state is lost"):
            trainer.step(*batch(1))
        trainer.reset()
        assert trainer.step(*batch(), lr=LR) == first
    assert trainer.step(*batch(1), lr=LR) == other.step(*batch(1), lr=LR)


def test_a_thread_that_cannot_start_is_not_waited_for(ranked4: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(ranked4)
    worker = _stepping(trainer)._workers[1]

    def refuse() -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(worker, "_start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            trainer.step(*batch())
    trainer.reset()
    assert trainer.step(*batch()) == Trainer(ranked4).step(*batch())


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
def test_an_interrupt_may_come_at_any_time(ranked: Path) -> None:
    """A step has then been taken or not, or the state is lost, and the trainer says so."""
    trainer, other = Trainer(ranked), Trainer(ranked)
    trainer.step(*batch(), lr=LR)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    lost = 0
    try:
        for number in range(200):
            try:
                signal.setitimer(signal.ITIMER_REAL, 5e-6 * (1 + number % 50))
                while True:
                    trainer.step(*batch(), lr=LR)
            except KeyboardInterrupt:
                pass
            if trainer._lost:
                lost += 1
                trainer.reset()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    for _ in range(trainer.steps):
        other.step(*batch(), lr=LR)
    assert same(trainer, other)
    assert trainer.step(*batch(1)) == other.step(*batch(1))


# ---- programs that are not what they say --------------------------------------------------------------


def test_a_program_without_a_ranks_functions_says_so(tmp_path: Path) -> None:
    path = compile_mlir(
        f"""module @pock {{
func.func @init() -> tensor<f32>{reflection(ranked_metadata(2))} {{
%0 = arith.constant dense<0.0> : tensor<f32>
return %0 : tensor<f32>
}}
}}""",
        tmp_path / "bare.vmfb",
    )
    with pytest.raises(PockRuntimeError, match=r"^the program has no function 'init_1'$"):
        Trainer(path)


def test_parts_that_a_rank_has_not_are_refused(tmp_path: Path) -> None:
    metadata = ranked_metadata(2)
    metadata["ranks"]["state"][0] = {"axis": 0, "blocks": 1}
    path = ranked_program(tmp_path / "model.vmfb", 2, metadata)
    with pytest.raises(ArtifactError, match=r"'fc.weight' as \[4, 4\], \[2, 8\] is its part$"):
        Trainer(path)


def test_more_memory_than_there_is_is_refused(tmp_path: Path) -> None:
    metadata = ranked_metadata(2)
    metadata["ranks"]["exchange"] = 2**62
    with pytest.raises(DeviceError, match="no memory for what ranks exchange") as caught:
        Trainer(ranked_program(tmp_path / "model.vmfb", 2, metadata))
    assert "\n" not in str(caught.value)
    with pytest.raises(DeviceError, match="no memory for what ranks exchange"):
        ranks._memory(Ranks(2, (), 2**70))


def test_an_exchange_that_is_too_small_is_refused(tmp_path: Path) -> None:
    metadata = ranked_metadata(2)
    metadata["ranks"]["exchange"] = 0
    trainer = Trainer(ranked_program(tmp_path / "model.vmfb", 2, metadata))
    with pytest.raises(DeviceError) as caught:
        trainer.step(*batch())
    assert "\n" not in str(caught.value)


# ---- threads ------------------------------------------------------------------------------------------


def test_threads_start_with_the_first_call_and_end_with_the_trainer(ranked4: Path) -> None:
    gc.collect()
    before = threads()
    trainer = Trainer(ranked4)
    assert not threads() - before
    trainer.predict(batch()[0])
    mine = threads() - before
    assert len(mine) == 3
    trainer.step(*batch())
    assert threads() - before == mine
    del trainer
    gc.collect()
    for thread in mine:
        thread.join(5)
    assert not mine & threads()


def test_a_trainer_that_is_closed_has_no_threads(ranked: Path) -> None:
    before = threads()
    trainer = Trainer(ranked)
    trainer.step(*batch())
    trainer._close()
    assert not threads() - before
    with pytest.raises(PockRuntimeError, match="state is lost"):
        trainer.step(*batch())


def test_programs_side_by_side(ranked: Path, sharded: Path) -> None:
    """Each in a thread of its own, where they share the devices: none waits for what another's rank runs."""
    trainers = [Trainer(ranked) for _ in range(3)]
    shards = Trainer(sharded)
    rows = (np.ones((8, 6), np.float32), np.zeros(8, np.int64))
    alone = Trainer(ranked)
    wanted = [alone.step(*batch(number), lr=LR) for number in range(8)]
    losses: dict[int, list[float]] = {k: [] for k in range(len(trainers))}

    def go_on(k: int) -> None:
        losses[k] += [trainers[k].step(*batch(number), lr=LR) for number in range(8)]

    steppers = [threading.Thread(target=go_on, args=(k,)) for k in losses]
    steppers.append(threading.Thread(target=lambda: [shards.step(*rows) for _ in range(8)]))
    for stepper in steppers:
        stepper.start()
    for stepper in steppers:
        stepper.join()
    assert all(each == wanted for each in losses.values())


EXIT = """
import sys
import numpy as np
from pock.runtime import Trainer, cores
cores._cores = lambda: 4
x, y = np.ones((4, 8), np.float32), np.zeros((4, 4), np.float32)
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
from pock.runtime import Trainer, cores
cores._cores = lambda: 4
x, y = np.ones((4, 8), np.float32), np.zeros((4, 4), np.float32)
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
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    return done.returncode, done.stdout, done.stderr


def test_the_interpreter_exits_with_threads_waiting(ranked: Path) -> None:
    assert _run(EXIT, ranked) == (0, "done\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_steps_on_with_threads_of_its_own(ranked: Path) -> None:
    # What the threads that did not come along hold, the child cannot let go of, and IREE says so.
    status, out, _ = _run(FORK, ranked)
    losses = out.split()
    assert (status, len(losses), len(set(losses))) == (0, 2, 1)
