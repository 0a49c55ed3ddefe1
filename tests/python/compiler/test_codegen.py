# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Driving iree-compile: the same bytes each time, and one line however it goes wrong."""

import errno
import hashlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from iree.compiler.tools.binaries import find_tool

from pock.compiler import codegen
from pock.compiler.codegen import CodegenError, Request, generate
from pock.compiler.program import parameter_bytes
from pock.targets import get_target

MODULE = """
module @pock {
  util.global private @w = #flow.parameter.named<"model"::"w"> : tensor<4xf32>
  func.func @init() -> tensor<4xf32> {
    %w = util.global.load @w : tensor<4xf32>
    return %w : tensor<4xf32>
  }
  func.func @step(%x: tensor<4xf32>, %w: tensor<4xf32> {iree.abi.output = 1 : index})
      -> (tensor<4xf32>, tensor<4xf32>) {
    %new = arith.subf %w, %x : tensor<4xf32>
    return %x, %new : tensor<4xf32>, tensor<4xf32>
  }
}
"""

PADDED = """
#all = affine_map<(i, j) -> (i, j)>
module @pock {
  util.global private @w = #flow.parameter.named<"model"::"w"> : tensor<4xf32>
  func.func @init() -> tensor<4xf32> {
    %w = util.global.load @w : tensor<4xf32>
    return %w : tensor<4xf32>
  }
  func.func @step(%x: tensor<4x4xi8>, %w: tensor<4xf32> {iree.abi.output = 1 : index})
      -> (tensor<6xf32>, tensor<4xf32>) {
    %zero = arith.constant 0.0 : f32
    %empty = tensor.empty() : tensor<4x4xf32>
    %floats = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel"]}
        ins(%x : tensor<4x4xi8>) outs(%empty : tensor<4x4xf32>) {
    ^bb0(%in: i8, %out: f32):
      %float = arith.sitofp %in : i8 to f32
      linalg.yield %float : f32
    } -> tensor<4x4xf32>
    %padded = tensor.pad %floats low[1, 0] high[1, 0] {
    ^bb0(%i: index, %j: index):
      tensor.yield %zero : f32
    } : tensor<4x4xf32> to tensor<6x4xf32>
    %none = tensor.empty() : tensor<6xf32>
    %zeros = linalg.fill ins(%zero : f32) outs(%none : tensor<6xf32>) -> tensor<6xf32>
    %sums = linalg.generic {
      indexing_maps = [#all, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]
    } ins(%padded : tensor<6x4xf32>) outs(%zeros : tensor<6xf32>) {
    ^bb0(%in: f32, %out: f32):
      %sum = arith.addf %in, %out : f32
      linalg.yield %sum : f32
    } -> tensor<6xf32>
    return %sums, %w : tensor<6xf32>, tensor<4xf32>
  }
}
"""


def request(text: str = MODULE) -> Request:
    archive = parameter_bytes({"w": np.arange(4, dtype=np.float32)})
    return Request(text, get_target("cpu").compile_flags(), archive, "model", embed=True)


def vmfb() -> bytes:
    return generate(request(), lambda facts: {"transient": facts.transient_bytes}).vmfb


def error_of(given: Request) -> str:
    """The one line of the error that compiling ends with."""
    with pytest.raises(CodegenError) as raised:
        generate(given, lambda facts: {})
    message = str(raised.value)
    assert message and "\n" not in message
    return message


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def iree_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a shell script in iree-compile's place."""

    def replace(script: str) -> Path:
        tool = tmp_path / "iree-compile"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        monkeypatch.setattr(codegen, "find_tool", lambda name: str(tool))
        return tool

    return replace


DIGEST = "import test_codegen as t, hashlib; print(hashlib.sha256(t.vmfb()).hexdigest())"


def test_the_same_program_gives_the_same_bytes_in_any_process(temporary: Path, tmp_path: Path) -> None:
    digests = {hashlib.sha256(vmfb()).hexdigest()}
    elsewhere = tmp_path / "another place"
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TMPDIR": str(elsewhere)}
    done = subprocess.run(
        [sys.executable, "-c", DIGEST],
        cwd=Path(__file__).parent, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert digests == {done.stdout.strip()}
    assert not list(temporary.iterdir()) and not list(elsewhere.iterdir())


def test_what_makes_code_faster_is_left_out_where_iree_rejects_it(temporary: Path) -> None:
    given = replace(
        request(),
        tuning_flags=["--no-such-flag"],
        tiling=lambda nest, vector_bytes: pytest.fail("a dispatch is formed"),
    )
    assert generate(given, lambda facts: {"transient": facts.transient_bytes}).vmfb == vmfb()


def test_a_kernel_that_pads_what_it_computes_is_not_trusted(temporary: Path) -> None:
    flags = get_target("cpu").tuning_flags()
    assert any("fuse-padding" in flag for flag in flags)
    given = replace(
        request(PADDED),
        tuning_flags=flags,
        tiling=lambda nest, vector_bytes: pytest.fail("a dispatch is formed"),
    )
    plain = generate(request(PADDED), lambda facts: {}).vmfb
    assert generate(given, lambda facts: {}).vmfb == plain


def test_errors_carry_the_users_source_lines(temporary: Path, iree_compile: Callable[[str], Path]) -> None:
    iree_compile(
        """cat >&2 <<'END'
/home/user/my net.py:12:3: error: 'linalg.conv_2d' op is too large
    return self.conv(x)
           ^
/home/user/my net.py:12:3: note: see current operation: ...
loc("net.py":13:0): error: failed to run translation of source executable
/home/user/my net.py:12:3: error: 'linalg.conv_2d' op is too large
END
exit 1"""
    )
    assert error_of(request()) == (
        "iree-compile rejected the program: /home/user/my net.py:12:3: 'linalg.conv_2d' op is too large; "
        'loc("net.py":13:0): failed to run translation of source executable'
    )
    assert not list(temporary.iterdir())


def test_a_program_that_fails_is_verified_to_say_why(
    temporary: Path, iree_compile: Callable[[str], Path]
) -> None:
    iree_compile(
        """case "$*" in
*--verify=false*) kill -SEGV $$ ;;
*) echo "net.py:3:1: error: 'linalg.generic' op has no such dimension" >&2; exit 1 ;;
esac"""
    )
    assert error_of(request()) == (
        "iree-compile rejected the program: net.py:3:1: 'linalg.generic' op has no such dimension"
    )
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("message", "runs"),
    [
        ("net.py:3:1: error: no such dimension", 2),
        # However it is compiled, it is missing.
        ("iree-lld: error: undefined symbol: tanh", 1),
    ],
)
def test_a_program_that_fails_is_compiled_once_more_at_most(
    tmp_path: Path, iree_compile: Callable[[str], Path], message: str, runs: int
) -> None:
    iree_compile(f"echo \"$*\" >> {tmp_path}/runs; echo '{message}' >&2; exit 1")
    error_of(replace(request(), tuning_flags=["--faster"]))
    told = (tmp_path / "runs").read_text().splitlines()
    assert [("--faster" in run, "--verify=false" in run) for run in told] == [(True, True), (False, False)][
        :runs
    ]


def test_an_invalid_program_between_the_phases_is_one_line(iree_compile: Callable[[str], Path]) -> None:
    iree_compile("""echo 'module { %x = "arith.constant"() {value = 1 : i32} : () -> i64 }' > output""")
    message = error_of(request())
    assert message.startswith("iree-compile made an invalid program: ") and "arith.constant" in message


def test_iree_compiles_own_errors_name_the_input_and_stay_short(temporary: Path) -> None:
    bad = MODULE.replace("arith.subf %w, %x", "math.cbrt %w").replace("tensor<4xf32>", "tensor<4xf64>")
    given = request(bad)
    kept = Request(
        bad, [*given.flags, "--iree-input-demote-f64-to-f32=false"], given.parameters, "model", True
    )
    message = error_of(kept)
    assert message.startswith("iree-compile rejected the program: ") and "'math.cbrt'" in message
    assert len(message) < 1000 and str(temporary) not in message


def test_a_function_that_the_target_lacks_is_named(iree_compile: Callable[[str], Path]) -> None:
    iree_compile("echo 'iree-lld: error: undefined symbol: tanh' >&2; exit 1")
    assert error_of(request()) == "the target has no tanh in this precision; use float32 for it"


@pytest.mark.parametrize(
    ("script", "how"),
    [
        ("echo 'Please report issues' >&2; kill -SEGV $$", f"was ended by signal {int(signal.SIGSEGV)}"),
        ("echo nothing of use >&2; exit 3", "failed with status 3"),
        ("exit 0", "failed with status 0"),  # and wrote nothing
    ],
)
def test_a_crash_can_be_reproduced(
    temporary: Path, tmp_path: Path, iree_compile: Callable[[str], Path], script: str, how: str
) -> None:
    tool = iree_compile(script)
    message = error_of(request())
    assert message.startswith(f"iree-compile {how}; input, command and output are in {temporary}")
    folder = Path(message.rsplit(" in ", 1)[1])
    command = shlex.split((folder / "command.txt").read_text())
    # What the command names is in the folder: it can be run there.
    tool.unlink()
    installed = find_tool(command[0])  # the environment of the tests need not be on PATH
    again = subprocess.run([installed, *command[1:]], cwd=folder, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert (folder / "output").stat().st_size > 0
    assert (folder / "input.mlir").read_text() == MODULE
    if "echo" in script:
        assert (folder / "stderr.txt").read_text().strip() in script


def test_an_iree_compile_that_cannot_run_is_one_line(
    iree_compile: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = iree_compile("exit 0")
    tool.chmod(0o644)
    assert error_of(request()) == "cannot run iree-compile: Permission denied"
    tool.unlink()
    assert error_of(request()) == "cannot run iree-compile: No such file or directory"

    def missing(name: str) -> str:
        raise ValueError(f"IREE compiler tool '{name}' is not installed (it should be).\n\nInstall it.")

    monkeypatch.setattr(codegen, "find_tool", missing)
    assert error_of(request()) == (
        "cannot run iree-compile: IREE compiler tool 'iree-compile' is not installed (it should be)."
    )


@pytest.mark.parametrize("file", ["input.mlir", "parameters.safetensors"])
def test_a_full_disk_is_one_line(temporary: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == file:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    message = error_of(request())
    assert message.startswith(f"cannot keep temporary files in {temporary}")
    assert message.endswith(": No space left on device")
    assert not list(temporary.iterdir())


def test_no_place_for_temporary_files_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert "cannot keep temporary files in TMPDIR: No such file or directory" in error_of(request())


def test_an_interrupt_ends_iree_compile_and_leaves_nothing(
    temporary: Path, tmp_path: Path, iree_compile: Callable[[str], Path]
) -> None:
    iree_compile(f"echo $$ > {tmp_path}/pid; touch $TMPDIR/scratch; exec sleep 60")

    def interrupt() -> None:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            pass
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        generate(request(), lambda facts: {})
    thread.join()
    status = Path("/proc") / (tmp_path / "pid").read_text().strip() / "stat"
    assert not status.exists() or " Z " in status.read_text()
    assert not list(temporary.iterdir())


def test_progress_is_told(iree_compile: Callable[[str], Path]) -> None:
    told: list[str] = []
    generate(request(), lambda facts: {}, told.append)
    assert told == ["scheduling with IREE", "generating code with IREE"]
