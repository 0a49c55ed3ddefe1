# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The training loop: what it computes, where it stops, and that resuming is exact."""

import json
import math
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pock.runtime import CheckpointError, DataError, InputError, PockRuntimeError, Trainer, TrainingDiverged
from pock.runtime.data import ArrayData
from pock.runtime.job import Job, run
from pock.runtime.metadata import Metadata
from pock.runtime.observer import Epoch, Observer, Step
from pock.runtime.training import Outcome, StopSignals, classifies, evaluate


class Recorder(Observer):
    """Remembers everything, and calls ``after`` after each step."""

    def __init__(self, after: Callable[[int], None] = lambda step: None) -> None:
        self.steps: list[Step] = []
        self.epochs: list[Epoch] = []
        self.notes: list[str] = []
        self.saves: list[int] = []
        self.after = after

    def step(self, step: Step) -> None:
        self.steps.append(step)
        self.after(step.step + 1)

    def epoch(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)

    def saved(self, path: Path, step: int) -> None:
        self.saves.append(step)

    def note(self, text: str) -> None:
        self.notes.append(text)


def samples(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 6)).astype(np.float32)
    y: np.ndarray = (x @ np.random.default_rng(9).normal(size=(6, 3))).argmax(1)
    return x, y


@pytest.fixture
def job(softmax: Path, tmp_path: Path) -> Job:
    x, y = samples(60)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    return Job(softmax, str(tmp_path / "d.npz"), 3, lr=0.3, checkpoint=tmp_path / "run.ckpt")


def state(job: Job) -> dict[str, bytes]:
    assert job.checkpoint is not None
    trainer = Trainer.restore(job.program, job.checkpoint)
    return {name: array.tobytes() for name, array in trainer.state_dict(optimizer=True).items()}


def stop_after(step: int) -> tuple[Recorder, Callable[[], bool]]:
    recorder = Recorder()
    return recorder, lambda: bool(recorder.steps) and recorder.steps[-1].step + 1 >= step


def test_it_learns(job: Job) -> None:
    recorder = Recorder()
    summary = run(replace(job, epochs=20, validation_split=0.2), [recorder])
    assert (summary.outcome, summary.step, summary.steps) == (Outcome.FINISHED, 120, 120)
    assert [e.steps for e in recorder.epochs] == [6] * 20
    first, last = recorder.epochs[0], recorder.epochs[-1]
    assert last.loss < 0.7 * first.loss
    assert last.accuracy is not None and last.accuracy > 0.6
    assert last.validation is not None and last.validation.samples == 12


def test_an_epoch_reports_its_steps(job: Job) -> None:
    recorder = Recorder()
    run(replace(job, hyper={"momentum": 0.0}), [recorder])
    trainer = Trainer(job.program)
    x, y = samples(60)
    data = ArrayData.of([x, y], trainer.metadata, shuffle=True, seed=0)
    for epoch in recorder.epochs:
        losses, correct = [], 0
        for batch, real in data.training(epoch.epoch, 0):
            if real == 8:
                losses.append(trainer.step(*batch, lr=0.3, momentum=0.0))
                correct += int((trainer.outputs[0].argmax(1) == batch[1]).sum())
        assert epoch.loss == sum(losses) / 7
        assert epoch.accuracy == correct / 56
    assert recorder.notes == ["partial batches are dropped (4 of 8 samples)"]
    assert recorder.saves == [7, 14, 21]


@pytest.mark.parametrize("count", [1, 3, 8, 13, 16, 23])
def test_evaluation_counts_every_sample_once(softmax: Path, count: int) -> None:
    trainer = Trainer(softmax)
    for seed in range(5):
        trainer.step(*samples(8, seed), lr=0.5)
    x, y = samples(count, seed=50)
    found = evaluate(trainer, ArrayData.of([x, y], trainer.metadata, shuffle=False, seed=0))
    state = trainer.state_dict()
    scale = np.linspace(0.5, 1.5, 6)
    logits = (x.astype(np.float64) * scale) @ state["fc.weight"].T + state["fc.bias"]
    loss = np.log(np.exp(logits).sum(1)) - logits[np.arange(count), y]
    assert found is not None and found.loss is not None
    assert found.samples == count
    assert found.accuracy == (logits.argmax(1) == y).mean()
    assert found.loss == pytest.approx(loss.mean(), rel=1e-5)


def test_an_unknown_reduction_leaves_the_partial_batch_out_of_the_loss(softmax: Path) -> None:
    trainer = Trainer(softmax)
    trainer.metadata = replace(trainer.metadata, loss_reduction=None)
    x, y = samples(11)
    whole = trainer.evaluate(x[:8], y[:8])[0]
    found = evaluate(trainer, ArrayData.of([x, y], trainer.metadata, shuffle=False, seed=0))
    assert found is not None and (found.loss, found.samples) == (whole, 11)
    found = evaluate(trainer, ArrayData.of([x[:3], y[:3]], trainer.metadata, shuffle=False, seed=0))
    assert found is not None and found.loss is None and found.accuracy is not None


def test_what_classifies() -> None:
    def metadata(output: list[int], target: list[int], dtype: str = "int64") -> Metadata:
        from tests.python.runtime.runtime_programs import softmax_metadata, spec

        changes = {"outputs": [spec("o", output)], "targets": [spec("y", target, dtype)]}
        return Metadata.from_json(json.dumps(softmax_metadata(**changes)))

    assert classifies(metadata([8, 3], [8]))
    assert not classifies(metadata([8, 3], [8], "float32"))
    assert not classifies(metadata([8, 3, 2], [8, 2]))
    assert not classifies(metadata([8, 3], [8, 3]))


@pytest.mark.parametrize("at", [1, 5, 6, 7, 14, 18])
def test_a_stopped_and_resumed_run_is_an_uninterrupted_one(job: Job, tmp_path: Path, at: int) -> None:
    job = replace(job, lr_schedule="cosine", warmup_steps=3, validation_split=0.1, seed=4)
    whole, whole_job = Recorder(), replace(job, checkpoint=tmp_path / "whole.ckpt")
    run(whole_job, [whole])
    first, stop = stop_after(at)
    summary = run(job, [first], stop)
    assert (summary.outcome, summary.step) == (Outcome.STOPPED, at)
    second = Recorder()
    summary = run(replace(job, resume=True), [second])
    assert summary.outcome is Outcome.FINISHED
    assert first.steps + second.steps == whole.steps
    reports = [replace(e, milliseconds=0.0) for e in first.epochs + second.epochs]
    assert reports == [replace(e, milliseconds=0.0) for e in whole.epochs]
    assert state(job) == state(whole_job)


def test_a_run_resumes_from_a_checkpoint_in_the_middle_of_an_epoch(job: Job, tmp_path: Path) -> None:
    whole_job = replace(job, checkpoint=tmp_path / "whole.ckpt")
    whole = Recorder()
    run(whole_job, [whole])

    class Killed(Exception):
        pass

    def kill(step: int) -> None:
        if step == 12:
            raise Killed

    with pytest.raises(Killed):
        run(replace(job, checkpoint_every=5), [Recorder(kill)])
    recorder = Recorder()
    run(replace(job, resume=True), [recorder])
    assert recorder.steps == whole.steps[10:]
    assert state(job) == state(whole_job)


def test_a_limit_counts_the_steps_before_it_was_resumed(job: Job) -> None:
    recorder = Recorder()
    limited = replace(job, limit_steps=9)
    assert run(limited, [recorder]).outcome is Outcome.LIMITED
    assert [(e.epoch, e.steps) for e in recorder.epochs] == [(0, 7), (1, 2)]
    assert run(replace(limited, resume=True), []).steps == 0
    again = Recorder()
    assert run(replace(job, limit_steps=14, resume=True), [again]).step == 14
    assert [(e.epoch, e.steps) for e in again.epochs] == [(1, 7)]


def test_more_epochs_can_be_added(job: Job, tmp_path: Path) -> None:
    whole_job = replace(job, checkpoint=tmp_path / "whole.ckpt")
    run(whole_job, [])
    run(replace(job, epochs=2), [])
    run(replace(job, resume=True), [])
    assert state(job) == state(whole_job)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "seed was 0 and is 1 now"),
        ({"shuffle": False}, "shuffle was True and is False now"),
        ({"validation_split": 0.5}, "samples was 60 and is 30 now"),
    ],
)
def test_other_data_cannot_be_resumed(job: Job, changes: dict[str, Any], message: str) -> None:
    run(replace(job, epochs=1), [])
    with pytest.raises(CheckpointError, match=f"cannot resume from .*: {message}"):
        run(replace(job, resume=True, **changes), [])


def test_other_settings_are_noted(job: Job) -> None:
    run(replace(job, epochs=1), [])
    recorder = Recorder()
    run(replace(job, resume=True, lr=0.1, hyper={"momentum": 0.9}), [recorder])
    assert recorder.notes[:2] == [
        "learning rate was 0.3 and is 0.1 now",
        "hyperparameters was {} and is {'momentum': 0.9} now",
    ]


def test_a_foreign_checkpoint_cannot_be_resumed(job: Job) -> None:
    assert job.checkpoint is not None
    with pytest.raises(CheckpointError, match="no checkpoint "):
        run(replace(job, resume=True), [])
    Trainer(job.program).save(job.checkpoint)
    with pytest.raises(CheckpointError, match="was not written by pock-train"):
        run(replace(job, resume=True), [])


def test_a_checkpoint_is_not_overwritten_by_accident(job: Job, tmp_path: Path) -> None:
    run(replace(job, epochs=1), [])
    with pytest.raises(CheckpointError, match=r"run\.ckpt exists: --resume goes on from it, --overwrite"):
        run(job, [])
    assert run(replace(job, overwrite=True), []).step == 21
    with pytest.raises(CheckpointError, match="no directory"):
        run(replace(job, checkpoint=tmp_path / "none" / "run.ckpt"), [])


def test_divergence_keeps_the_last_good_checkpoint(job: Job, tmp_path: Path) -> None:
    run(replace(job, epochs=1), [])
    good = state(job)
    x, y = samples(60)
    x[:, 0] = np.inf
    np.savez(tmp_path / "bad.npz", x=x, y=y)
    with pytest.raises(
        TrainingDiverged, match=r"^the loss became nan in step 8 \(epoch 2\): .* after step 7$"
    ):
        run(replace(job, data=str(tmp_path / "bad.npz"), resume=True), [])
    assert state(job) == good
    fresh = replace(job, data=str(tmp_path / "bad.npz"), checkpoint=tmp_path / "new.ckpt")
    with pytest.raises(TrainingDiverged, match=r"in step 1 \(epoch 1\): no checkpoint was written$"):
        run(fresh, [])
    assert not (tmp_path / "new.ckpt").exists()


def test_a_state_that_diverged_behind_a_finite_loss_is_not_saved(job: Job, tmp_path: Path) -> None:
    # The momentum overflows in the third step, and no loss has seen it yet.
    recorder = Recorder()
    with pytest.raises(
        TrainingDiverged, match=r"^'fc.weight' has .* not finite in step 3 .* keeps the state after step 2$"
    ):
        run(replace(job, lr=0.0, hyper={"momentum": 1e38}, checkpoint_every=1), [recorder])
    assert [math.isfinite(step.loss) for step in recorder.steps] == [True] * 3
    assert recorder.saves == [1, 2]
    assert b"nan" not in repr(Trainer.restore(job.program, str(job.checkpoint)).state_dict()).encode()


def test_too_little_data_is_an_error(job: Job, tmp_path: Path) -> None:
    x, y = samples(5)
    np.savez(tmp_path / "few.npz", x=x, y=y)
    with pytest.raises(DataError, match="no whole batch of 8"):
        run(replace(job, data=str(tmp_path / "few.npz")), [])


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"hyper": {"decay": 0.1}},
            InputError,
            r"no input or hyperparameter 'decay' \(hyperparameters: lr, mom",
        ),
        ({"lr": math.inf}, InputError, "hyperparameter 'lr' must be a finite number"),
        ({"data": "none.npz"}, DataError, "no file none.npz"),
        ({"program": Path("none.vmfb")}, PockRuntimeError, "no file none.vmfb"),
        ({"log_json": Path("/nowhere/log")}, PockRuntimeError, "cannot write the log /nowhere/log: no such"),
    ],
)
def test_mistakes_are_found_before_training(
    job: Job, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(replace(job, **changes), [])
    assert job.checkpoint is not None and not job.checkpoint.exists()


ENDLESS = """
import numpy as np
def batches(epoch):
    rng = np.random.default_rng(epoch)
    for _ in range(5):
        yield rng.normal(size=(8, 6)).astype(np.float32), rng.integers(0, 3, 8)
"""


def test_batches_from_a_function_train_and_resume(job: Job, tmp_path: Path) -> None:
    (tmp_path / "make.py").write_text(ENDLESS)
    job = replace(job, data=f"{tmp_path}/make.py:batches")
    whole, whole_job = Recorder(), replace(job, checkpoint=tmp_path / "whole.ckpt")
    run(whole_job, [whole])
    assert [e.steps for e in whole.epochs] == [5] * 3
    first, stop = stop_after(7)
    run(job, [first], stop)
    second = Recorder()
    run(replace(job, resume=True), [second])
    assert first.steps + second.steps == whole.steps
    assert state(job) == state(whole_job)
    with pytest.raises(DataError, match="a cosine schedule needs to know the number of steps"):
        run(replace(job, lr_schedule="cosine", overwrite=True), [])
    assert run(replace(job, lr_schedule="cosine", overwrite=True, limit_steps=8), []).step == 8
    with pytest.raises(DataError, match="makes its own batches: it cannot be split"):
        run(replace(job, validation_split=0.5, overwrite=True), [])


def test_the_log_has_a_line_for_each_event(job: Job, tmp_path: Path) -> None:
    job = replace(job, log_json=tmp_path / "log", epochs=1, validation_split=0.2)
    run(job, [])
    run(replace(job, resume=True, epochs=2), [])
    events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    kinds = ["start", *["step"] * 6, "epoch", "saved"]
    assert [e["event"] for e in events] == kinds * 2
    assert [e["step"] for e in events if e["event"] == "step"] == list(range(12))
    epoch = next(e for e in events if e["event"] == "epoch")
    assert set(epoch["validation"]) == {"loss", "accuracy", "samples"}


def test_signals_ask_for_a_stop_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals() as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop() and stop.received == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) == before
    with pytest.raises(KeyboardInterrupt), StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        os.kill(os.getpid(), signal.SIGINT)
