# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``pock-compile``: what it writes, what it says, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pock.compiler import driver
from pock.compiler.driver import Request, compile_task
from pock.compiler.errors import PockError, UsageError
from pock.runtime import Trainer

SCRIPT = Path(sys.executable).with_name("pock-compile")

NET = """
import torch
from torch import nn
from pock.compiler import TrainingTask

print("the user's own output")

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x)))

def task():
    torch.manual_seed(0)
    return TrainingTask(Net(), (torch.ones(2, 4),), (torch.tensor([0, 2]),), nn.functional.cross_entropy)

whole = task()
number = 3

def broken():
    return 1 // 0  # here

def empty():
    return TrainingTask(Net(), (), (), nn.functional.cross_entropy)
"""

WITHOUT_TORCH = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == "torch" or name.startswith("torch."):
            raise ModuleNotFoundError(f"No module named '{name}'", name="torch")
sys.meta_path.insert(0, Blocker())
sys.argv[0] = "pock-compile"
from pock.tools.pock_compile import main
main()
"""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "net.py"
    path.write_text(NET)
    return path


@pytest.fixture(scope="module")
def saved(net: Path) -> Path:
    """The traced program of ``net``."""
    compile_task(request(f"{net}:task", emit="program", output=str(net.with_suffix(".pock"))))
    return net.with_suffix(".pock")


def request(task: str, **given: str) -> Request:
    usual = {"scheme": "full", "optimizer": "sgd", "target": "cpu", "output": "-", "emit": "pruned"}
    return Request(**{"task": task, "parameters": "embedded", **usual, **given})


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


def test_a_task_is_compiled_and_summed_up(net: Path, tmp_path: Path) -> None:
    done = run(f"{net.name}:whole", "-s", "bias-only", "-o", tmp_path / "net.vmfb", cwd=net.parent)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    said = [line.split()[0] for line in done.stderr.splitlines()]
    assert said[-5:] == ["wrote", "trains", "model", "memory", "time"]
    assert "2 of 4 parameters, 8 of 43 values (18.6%)" in done.stderr
    assert sorted(Trainer(tmp_path / "net.vmfb").state_dict()) == ["fc1.bias", "fc2.bias"]
    assert [p.name for p in tmp_path.iterdir()] == ["net.vmfb"]


@pytest.mark.parametrize("parameters", ["embedded", "external"])
def test_a_saved_program_needs_no_pytorch(saved: Path, tmp_path: Path, parameters: str) -> None:
    output = tmp_path / "net.vmfb"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, saved, "-q", f"--parameters={parameters}", "-o", output],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(Trainer(output).state_dict()) == 4
    assert (tmp_path / "net.safetensors").exists() == (parameters == "external")


def test_a_task_without_pytorch_is_one_line(net: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, f"{net}:task"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: a task in Python needs PyTorch") and done.stderr.count("\n") == 1


def test_hash_seeds_do_not_change_a_byte(saved: Path, tmp_path: Path) -> None:
    for seed in ("1", "2"):
        output = tmp_path / seed
        assert run(saved, "-q", "-o", output, env={**os.environ, "PYTHONHASHSEED": seed}).returncode == 0
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


@pytest.mark.parametrize("stage", ["torch", "sparsebp", "pruned", "linalg"])
def test_stages_go_to_a_file_or_to_standard_output(
    saved: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], stage: str
) -> None:
    assert compile_task(request(str(saved), emit=stage)).files == ()
    shown = capfd.readouterr().out
    compile_task(request(str(saved), emit=stage, output=str(tmp_path / "out.mlir")))
    assert "func.func @step" in shown and (tmp_path / "out.mlir").read_text() == shown


def test_what_the_user_prints_is_not_in_the_result(net: Path, capfd: pytest.CaptureFixture[str]) -> None:
    compile_task(request(f"{net}:task"))
    out, err = capfd.readouterr()
    assert "the user's own output" in err and "own output" not in out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"emit": "prune"}, "--emit must be one of .*, got 'prune'; did you mean 'pruned'"),
        ({"parameters": "extern"}, "--parameters must be one of .*; did you mean 'external'"),
        ({"target": "vulcan"}, "did you mean 'vulkan'"),
        ({"scheme": "bias_only"}, "no scheme is named 'bias_only'; did you mean 'bias-only'"),
        ({"scheme": "missing.yaml"}, "missing.yaml"),
        ({"optimizer": "sdg"}, "sdg"),
        ({"emit": "vmfb"}, "--emit=vmfb is not text; give a file with -o"),
        ({"output": "/missing/out.mlir"}, "there is no folder /missing"),
        ({"output": "/tmp"}, "it is a folder"),
        ({"task": "net.py"}, "name the task in net.py, as in 'net.py:task'"),
        ({"task": "gone.py:task"}, "gone.py: no such file"),
        ({"task": "gone.pock"}, "gone.pock: no such file"),
        ({"task": __file__}, "name the task in"),
    ],
)
def test_mistakes_in_arguments(
    monkeypatch: pytest.MonkeyPatch, saved: Path, given: dict[str, str], message: str
) -> None:
    # All are found before a model is traced.
    monkeypatch.setattr(driver, "_tracer", lambda: pytest.fail("PyTorch was imported"))
    with pytest.raises(PockError, match=message) as error:
        compile_task(request(**{"task": str(saved), **given}))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        (NET, "tsk", r"has no 'tsk'; did you mean 'task'\?"),
        (NET, "number", "number must be a TrainingTask or a function that returns one, got int"),
        (NET, "broken", r"task\.py:24: ZeroDivisionError"),
        (NET, "empty", r"task\.py:27: inputs is empty"),
        ("def task(:\n", "task", r"task\.py:1: SyntaxError"),
        ("\nimport nothing_like_it\n", "task", r"task\.py:2: ModuleNotFoundError"),
        ("raise SystemExit(4)\n", "task", r"task\.py:1: ends the process when it is imported"),
    ],
)
def test_mistakes_in_a_task_have_its_line(tmp_path: Path, source: str, name: str, message: str) -> None:
    (tmp_path / "task.py").write_text(source)
    with pytest.raises(PockError, match=message) as error:
        compile_task(request(f"{tmp_path}/task.py:{name}"))
    assert "\n" not in str(error.value)


def test_errors_end_with_a_status_and_one_line(saved: Path, tmp_path: Path) -> None:
    full = ["-o", "/dev/full", "--emit=torch"]
    for arguments, status in ((["--emit=x"], 2), (["--nothing"], 2), (full, 1)):
        done = run(saved, *arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (status, ""), done.stderr
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert not list(tmp_path.iterdir())


def test_a_native_crash_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "crash.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    done = run("crash.py:task", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: the compiler crashed (Segmentation fault) while running crash.py\n"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_leaves_nothing(saved: Path, tmp_path: Path, number: int, status: int) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [SCRIPT, saved, "-o", tmp_path / "net.vmfb"], env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(temporary.glob("pock-*/input.mlir")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == status and "Traceback" not in err, err
    assert not list(temporary.iterdir()) and not (tmp_path / "net.vmfb").exists()


def test_usage_errors_are_told_apart() -> None:
    with pytest.raises(UsageError):
        compile_task(request("x.pock", target="nowhere"))


# -- profiles -----------------------------------------------------------------------------------


def test_a_profile_is_printed_and_written(saved: Path, tmp_path: Path) -> None:
    """Without PyTorch, which profiles do not need."""
    files = ["--profile-json", tmp_path / "net.json", "--profile-picture", tmp_path / "net.svg"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, saved, "--profile", "--profile-threads=1", *files,
         "-o", tmp_path / "net.vmfb"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Net (full, sgd): a step takes ") and ", 1 thread: " in done.stdout
    for word in ("layers", "dispatches", " fc1 ", " fc2 ", " (loss) ", "outside of dispatches"):
        assert word in done.stdout, word
    written = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("wrote")]
    assert [Path(name).name for name in written] == ["net.vmfb", "net.json", "net.svg"]
    data = json.loads((tmp_path / "net.json").read_text())
    layers = {layer["layer"]: layer for layer in data["layers"]}
    assert layers["fc1"]["forward"] > 0 and layers["fc2"]["backward"] + layers["fc2"]["update"] > 0
    assert ">fc1</text>" in (tmp_path / "net.svg").read_text()


def test_a_profile_s_file_asks_for_one(saved: Path, tmp_path: Path) -> None:
    done = run(saved, "-q", "--profile-json=net.json", "--parameters=external", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout
    assert json.loads((tmp_path / "net.json").read_text())["threads"] >= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "--target=vulkan"], "the target has to be 'cpu', got 'vulkan'"),
        (["--profile", "--target=vulcan"], "did you mean 'vulkan'"),
        (
            ["--profile", "--target=cpu:cortex-a72,triple=aarch64-linux-gnu"],
            "the target has to be 'cpu', got",
        ),
        (["--profile", "--emit=linalg"], "which --emit=linalg does not make"),
        (["--profile-picture=net.jpg"], "give a name that ends in .svg"),
        (["--profile-json=/missing/net.json"], "there is no folder /missing"),
        (["--profile", "--profile-threads=0"], "--profile-threads"),
    ],
)
def test_mistakes_about_profiles_are_found_first(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = run("gone.pock", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and message in done.stderr and done.stderr.count("\n") == 1
