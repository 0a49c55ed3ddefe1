# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``pock-train`` as a command: what it prints, and how it ends."""

import json
import os
import signal
import subprocess
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.python.runtime.runtime_programs import softmax_program

TOOL = Path(sysconfig.get_path("scripts")) / "pock-train"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return softmax_program(tmp_path_factory.mktemp("program") / "model.vmfb")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 6)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=(x @ rng.normal(size=(6, 3))).argmax(1))
    return tmp_path / "d.npz"


def pock_train(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TOOL, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )


def test_a_run_shows_a_line_an_epoch(program: Path, data: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.ckpt"
    options = ["--epochs", 3, "--lr", 0.3, "--hyper", "momentum=0.2", "--val-split", 0.2]
    done = pock_train(program, "--data", data, *options, "--checkpoint", checkpoint)
    assert (done.returncode, done.stderr) == (0, "")
    head, columns, *epochs, last = done.stdout.splitlines()
    assert head == "Softmax for cpu on local-task, batch 8, 80 samples, 20 to validate"
    assert " ".join(columns.split()) == "epoch steps loss accuracy val loss val accuracy ms/step"
    assert [line.split()[:2] for line in epochs] == [[str(n), "10"] for n in (1, 2, 3)]
    assert last.startswith("30 steps in ") and last.endswith(f"state after step 30 in {checkpoint}")
    assert int(load_file(checkpoint)["step"]) == 30


def test_the_checkpoint_is_beside_the_program(program: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "m.vmfb").write_bytes(program.read_bytes())
    assert pock_train(tmp_path / "m.vmfb", "--data", data, "--limit-steps", 1).returncode == 0
    assert (tmp_path / "m.ckpt").exists()


SLOW = """
import time
import numpy as np
def batches(epoch):
    rng = np.random.default_rng(epoch)
    for _ in range(40):
        time.sleep(0.02)
        yield rng.normal(size=(8, 6)).astype(np.float32), rng.integers(0, 3, 8)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_leaves_and_resume_goes_on(
    program: Path, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    common = [program, "--data", f"{tmp_path}/slow.py:batches", "--epochs", 1, "--lr", 0.3]
    log, run = tmp_path / "log", tmp_path / "run.ckpt"
    command = [*map(str, (TOOL, *common, "--checkpoint", run, "--log-json", log))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not (log.exists() and '"event": "step"' in log.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    steps = int(load_file(run)["step"])
    assert 0 < steps < 40
    expected = f"stopped after step {steps}: state saved in {run}, go on with --resume"
    assert output.splitlines()[-1] == expected
    assert pock_train(*common, "--checkpoint", run, "--resume").returncode == 0
    assert pock_train(*common, "--checkpoint", tmp_path / "whole.ckpt").returncode == 0
    whole = load_file(tmp_path / "whole.ckpt")
    for name, array in load_file(run).items():
        assert array.tobytes() == whole[name].tobytes(), name


def test_the_log_is_lines_of_json(program: Path, data: Path, tmp_path: Path) -> None:
    options = ["--limit-steps", 2, "--log-json", tmp_path / "log", "--checkpoint", tmp_path / "c"]
    assert pock_train(program, "--data", data, *options).returncode == 0
    events = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert events == ["start", "step", "step", "epoch", "saved"]


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--data", "none.npz"], 1, "no file none.npz"),
        (["--data", "{data}", "--device", "abacus"], 1, "no device 'abacus' here"),
        (["--data", "{data}", "--hyper", "decay=1"], 1, "no input or hyperparameter 'decay'"),
        (["--data", "{data}", "--lr", "1e38", "--hyper", "momentum=1e38"], 1, "the loss became "),
        (["--data", "{data}", "--resume"], 1, "no checkpoint "),
        ([], 2, "Missing option '--data'"),
        (["--data", "{data}", "--hyper", "decay"], 2, "--hyper takes NAME=VALUE with a number, got 'decay'"),
        (["--data", "{data}", "--hyper", "lr=1"], 2, "the learning rate is given by --lr"),
        (["--data", "{data}", "--val", "x.npz", "--val-split", "0.1"], 2, "exclude each other"),
        (["--data", "{data}", "--val-split", "1.5"], 2, "--val-split is a fraction between 0 and 1, got 1.5"),
        (["--data", "{data}", "--resume", "--overwrite"], 2, "exclude each other"),
        (["--data", "{data}", "--epochs", "0"], 2, "--epochs': Input should be greater than or equal to 1"),
        (["--data", "{data}", "--lr-schedule", "wavy"], 2, "'wavy' is not one of"),
    ],
)
def test_a_mistake_is_one_line(
    program: Path, data: Path, tmp_path: Path, options: list[str], status: int, message: str
) -> None:
    arguments = [option.format(data=data) for option in options]
    done = pock_train(program, *arguments, "--checkpoint", tmp_path / "run.ckpt")
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith("error: ") and message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run.ckpt").exists()


def test_the_help_says_what_data_is(program: Path) -> None:
    done = subprocess.run(
        [TOOL, "--help"], capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "100"}
    )
    for words in ("file.npz", "x.npy,y.npy", "file.py:function", "--resume", "Ctrl-C", "Examples:"):
        assert words in done.stdout
