# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``pock-bench`` as a command: what it lists, shows and refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pock.benchmarks.profile import session as profile_session
from pock.benchmarks.profile.session import Case
from pock.tools.pock_bench import main
from tests.python.benchmarks.profile.profiles import profile
from tests.python.benchmarks.rows import failed, results, row


def pock_bench(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Status, standard output and standard error."""
    monkeypatch.setattr(sys, "argv", ["pock-bench", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    out, err = capsys.readouterr()
    return int(exit_.value.code or 0), out, err


@pytest.mark.parametrize(
    ("arguments", "status", "wanted"),
    [
        (["--workload", "resnet5"], 1, "no workload matches 'resnet5'; did you mean 'resnet50'?"),
        (["--peer", "caffe"], 1, "no peer matches 'caffe'; there are pock, torch"),
        (["--scheme", "half"], 2, "--scheme takes some of full, bias-only, sparse, got 'half'"),
        (["--batch", "0"], 2, "--batch takes numbers above 0, separated by commas, got '0'"),
        (["--optimizer", "sdg"], 1, "no optimizer is named 'sdg'"),
        (["--rounds", "0"], 2, "--rounds"),
        (["--json", "/nonexistent/x.json"], 2, "there is no folder /nonexistent"),
        (["--profile", "--json", "/nonexistent/x.json"], 2, "there is no folder /nonexistent"),
        (["--profile-picture", "x.jpg"], 2, "give a name that ends in .svg, .png, .pdf"),
        (["--show", "/nonexistent/x.json"], 1, "cannot read /nonexistent/x.json: No such file or directory"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    status: int,
    wanted: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended, out, err = pock_bench(arguments, monkeypatch, capsys)
    assert (ended, out) == (status, "")
    assert err.startswith("error: ") and wanted in err and err.count("\n") == 1


def test_a_profile_is_printed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = ["--workload=tiny", "--batch=2", "--scheme=sparse", "--threads=1", "--optimizer=sgd:momentum=0.9"]
    files = [f"--json={tmp_path / 'tiny.json'}", f"--profile-picture={tmp_path / 'tiny.png'}"]
    status, out, err = pock_bench(["--profile", *case, *files], monkeypatch, capsys)
    assert status == 0, err
    assert out.startswith("tiny (sparse, sgd:momentum=0.9, batch 2): a step takes ")
    assert "block.depthwise" in out and "outside of dispatches" in out
    data = json.loads((tmp_path / "tiny.json").read_text())
    assert data["batch"] == "batch 2" and data["scheme"] == "sparse" and data["threads"] == 1
    assert (tmp_path / "tiny.png").read_bytes().startswith(b"\x89PNG")


def test_a_case_that_cannot_be_profiled_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = [Case("net-1-full", profile()), Case("net-1-sparse", "compiling: no room")]
    monkeypatch.setattr(profile_session, "profiles", lambda *_: iter(cases))
    status, out, err = pock_bench(["--profile", "--quick"], monkeypatch, capsys)
    assert status == 1 and out.startswith("Net (full, sgd): a step takes ")
    assert err.splitlines()[-1] == "error: net-1-sparse: compiling: no room"


def test_the_list_has_what_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = pock_bench(["--list"], monkeypatch, capsys)
    assert status == 0
    for name in ("mobilenetv2-0.35", "llama-small", "torch-nhwc", "tensorflow-xla", "bias-only"):
        assert f"  {name}" in out
    assert "crash" not in out and "tiny" not in out


def test_a_file_is_shown_again_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, time in (("before", 20.0), ("after", 10.0)):
        (tmp_path / name).write_text(results(row("pock", time), row("torch", 30), failed("jax")).to_json())
    status, out, _ = pock_bench(["--show", str(tmp_path / "after")], monkeypatch, capsys)
    assert status == 0 and "net batch 1 full: jax: crashed" in out and "against" not in out.splitlines()[-1]
    both = ["--show", str(tmp_path / "before"), "--show", str(tmp_path / "after")]
    status, out, _ = pock_bench(both, monkeypatch, capsys)
    assert status == 0 and "pock: x faster" in out


def test_listing_imports_no_framework() -> None:
    code = (
        "import sys; import pock.tools.pock_bench as b; b.listing();"
        "print(sorted({'torch', 'torch_mlir', 'jax', 'tensorflow', 'iree.runtime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
