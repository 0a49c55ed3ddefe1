# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checkpoints: exact, durable, whole or refused, and of this program."""

import copy
import errno
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from pock.runtime import CheckpointError, Metadata, Trainer, TrainingDiverged
from pock.runtime.checkpoint import Checkpoint, describe
from tests.python.runtime.runtime_programs import BATCH, CLASSES, FEATURES, softmax_metadata, softmax_program


def batch(number: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    x = rng.normal(size=(BATCH, FEATURES)).astype(np.float32)
    return x, rng.integers(0, CLASSES, BATCH)


def assert_same(first: Trainer, second: Trainer) -> None:
    state = second.state_dict(optimizer=True)
    for name, array in first.state_dict(optimizer=True).items():
        assert array.tobytes() == state[name].tobytes(), name


@pytest.fixture
def saved(softmax: Path, tmp_path: Path) -> Path:
    trainer = Trainer(softmax)
    for number in range(3):
        trainer.step(*batch(number), lr=0.3)
    trainer.save(tmp_path / "run.ckpt", {"epoch": 2})
    return tmp_path / "run.ckpt"


def test_a_resumed_run_is_an_uninterrupted_one(softmax: Path, saved: Path) -> None:
    whole = Trainer(softmax)
    losses = [whole.step(*batch(number), lr=0.3) for number in range(6)]
    resumed = Trainer.restore(softmax, saved)
    assert resumed.steps == 3
    assert [resumed.step(*batch(number), lr=0.3) for number in range(3, 6)] == losses[3:]
    assert_same(whole, resumed)


def test_a_checkpoint_replaces_whatever_state_there_is(softmax: Path, saved: Path) -> None:
    trainer = Trainer(softmax, seed=99)
    trainer.step(*batch(7))
    assert trainer.load_checkpoint(saved) == {"epoch": 2}
    assert_same(trainer, Trainer.restore(softmax, saved))


def test_a_checkpoint_is_a_safetensors_file_with_pytorch_names(saved: Path) -> None:
    tensors = load_file(saved)
    assert set(tensors) == {"fc.weight", "fc.bias", "norm.mean", "fc.weight.momentum", "step", "seed"}
    assert int(tensors["step"]) == 3
    with safe_open(saved, framework="np") as file:
        about = json.loads(file.metadata()["pock"])
    assert (about["format"], about["model"], about["steps"], about["extra"]) == (
        1,
        "Softmax",
        3,
        {"epoch": 2},
    )


def test_the_same_state_gives_the_same_bytes(softmax: Path, saved: Path, tmp_path: Path) -> None:
    Trainer.restore(softmax, saved).save(tmp_path / "again.ckpt", {"epoch": 2})
    assert (tmp_path / "again.ckpt").read_bytes() == saved.read_bytes()


def test_a_checkpoint_has_the_permissions_of_any_new_file(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    assert saved.stat().st_mode == (tmp_path / "plain").stat().st_mode


# ---- damage -----------------------------------------------------------------------------------------


def test_every_flipped_bit_is_noticed(softmax: Path, saved: Path, tmp_path: Path) -> None:
    trainer = Trainer(softmax)
    before = trainer.state_dict(optimizer=True)
    raw, flipped = saved.read_bytes(), tmp_path / "flipped.ckpt"
    for place in range(len(raw)):
        damaged = bytearray(raw)
        damaged[place] ^= 1 << place % 8
        flipped.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"^[^\n]*$"):
            trainer.load_checkpoint(flipped)
    for name, array in trainer.state_dict(optimizer=True).items():
        assert np.array_equal(array, before[name])


def test_every_truncation_is_noticed(softmax: Path, saved: Path, tmp_path: Path) -> None:
    trainer, raw, cut = Trainer(softmax), saved.read_bytes(), tmp_path / "cut.ckpt"
    for length in range(0, len(raw), 7):
        cut.write_bytes(raw[:length])
        with pytest.raises(CheckpointError, match=r"^[^\n]*$"):
            trainer.load_checkpoint(cut)


def test_other_files_are_no_checkpoints(softmax: Path, tmp_path: Path) -> None:
    trainer = Trainer(softmax)
    with pytest.raises(CheckpointError, match=r"no checkpoint .*none"):
        trainer.load_checkpoint(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"cannot read checkpoint|is no checkpoint"):
        trainer.load_checkpoint(tmp_path)
    (tmp_path / "junk").write_bytes(b"junk" * 100)
    with pytest.raises(CheckpointError, match="junk is no checkpoint, or is damaged"):
        trainer.load_checkpoint(tmp_path / "junk")
    save_file({"a": np.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(CheckpointError, match="a safetensors file but no checkpoint of pock's"):
        trainer.load_checkpoint(tmp_path / "foreign")


def test_a_newer_format_is_refused(softmax: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        newer.setattr("pock.runtime.checkpoint.FORMAT", 5)
        Trainer(softmax).save(tmp_path / "new.ckpt")
    with pytest.raises(CheckpointError, match="checkpoint format 5, this runtime reads up to 1: update pock"):
        Trainer(softmax).load_checkpoint(tmp_path / "new.ckpt")


# ---- other programs ---------------------------------------------------------------------------------


def _changed(index: int, **changes: Any) -> dict[str, Any]:
    states = copy.deepcopy(softmax_metadata()["state"])
    states[index].update(changes)
    return softmax_metadata(state=states)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (_changed(0, shape=[3, 7]), r"'fc.weight' has shape \[3, 6\], the program's has \[3, 7\]"),
        (
            _changed(
                0, mask={"update": "range", "dimension": "input_channels", "axis": 1, "indices": [2, 6]}
            ),
            r"'fc.weight' has mask range \[0, 4\] of axis 1, the program's has range \[2, 6\] of axis 1",
        ),
        (_changed(1, dtype="float16"), "'fc.bias' has dtype float32, the program's has float16"),
        (_changed(2, kind="parameter"), "'norm.mean' has kind buffer, the program's has parameter"),
        (_changed(3, name="fc.weight.exp_avg"), "has 'fc.weight.momentum', the program has not"),
        (
            softmax_metadata(state=[*softmax_metadata()["state"], {**_changed(1, name="x")["state"][1]}]),
            "it lacks 'x'",
        ),
    ],
)
def test_a_checkpoint_of_another_program_names_what_differs(
    saved: Path, other: dict[str, Any], message: str
) -> None:
    metadata = Metadata.from_json(json.dumps(other))
    with pytest.raises(CheckpointError, match=f"run.ckpt is of another program: .*{message}"):
        Checkpoint.load(saved).check_fits(metadata, saved)


def test_the_trainer_refuses_it_before_anything_has_changed(saved: Path, tmp_path: Path) -> None:
    other = Trainer(softmax_program(tmp_path / "m.vmfb", metadata=_changed(3, name="fc.weight.exp_avg")))
    with pytest.raises(CheckpointError, match="another program"):
        other.load_checkpoint(saved)
    assert other.steps == 0


def test_a_description_is_what_json_gives_back() -> None:
    for state in Metadata.from_json(json.dumps(softmax_metadata())).state:
        assert json.loads(json.dumps(describe(state))) == describe(state)


# ---- disks ------------------------------------------------------------------------------------------


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_old_checkpoint(softmax: Path, tiny_disk: Path) -> None:
    trainer = Trainer(softmax)
    path = tiny_disk / "run.ckpt"
    trainer.save(path)
    old = path.read_bytes()
    (tiny_disk / "filler").write_bytes(b"x" * 4096)
    trainer.step(*batch(0))
    with pytest.raises(
        CheckpointError, match=r"^cannot write .*run\.ckpt: no space left on device \(the one"
    ):
        trainer.save(path)
    assert path.read_bytes() == old
    assert left(tiny_disk) == ["filler", "run.ckpt"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failing_write_leaves_the_old_checkpoint(
    softmax: Path, saved: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    old = saved.read_bytes()
    trainer = Trainer(softmax)
    with monkeypatch.context() as broken:
        broken.setattr({"fsync": os, "replace": Path}[failing], failing, fail)
        with pytest.raises(CheckpointError, match="no space left on device"):
            trainer.save(saved)
    assert saved.read_bytes() == old
    assert left(saved.parent) == ["run.ckpt"]


def test_an_interrupted_write_leaves_the_old_checkpoint(
    softmax: Path, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    old = saved.read_bytes()
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Trainer(softmax).save(saved)
    assert saved.read_bytes() == old
    assert left(saved.parent) == ["run.ckpt"]


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(
    softmax: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def record_fsync(handle: int) -> None:
        events.append("fsync folder" if Path(f"/proc/self/fd/{handle}").resolve().is_dir() else "fsync file")
        fsync(handle)

    def record_replace(path: Path, target: Path) -> Path:
        events.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "replace", record_replace)
    Trainer(softmax).save(tmp_path / "run.ckpt")
    assert events == ["fsync file", "rename", "fsync folder"]


def test_a_missing_folder_is_an_error(softmax: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^cannot write checkpoint .*: no such file or directory$"):
        Trainer(softmax).save(tmp_path / "none" / "run.ckpt")


def test_a_state_that_is_not_finite_is_not_saved_if_asked(softmax: Path, saved: Path) -> None:
    old = saved.read_bytes()
    trainer = Trainer(softmax)
    trainer.load_state_dict({"fc.bias": np.array([0, np.nan, 0], np.float32)}, strict=False)
    with pytest.raises(TrainingDiverged, match=r"'fc\.bias' has values that are not finite"):
        trainer.save(saved, check_finite=True)
    assert saved.read_bytes() == old
    trainer.save(saved)
    assert np.isnan(Trainer.restore(softmax, saved).state_dict()["fc.bias"][1])
