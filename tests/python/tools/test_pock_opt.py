# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``pock-opt`` answers whatever it is given with a status, at most a few lines, and no half-written file."""

import dataclasses
import io
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pock.compiler import opt
from pock.compiler.errors import PassFailure
from pock.compiler.opt import parse_module
from pock.compiler.passes import pass_names
from pock.compiler.passes.base import Pass
from pock.dialects import sparsebp
from pock.tools.pock_opt import main

SCRIPT = Path(sys.executable).with_name("pock-opt")
CONTEXT = sparsebp.context()
PROGRAM = """\
"sparsebp.parameter"() {sym_name = "a.w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter",
  mask = #sparsebp.mask<"range", "i", array<i64: 0, 1>>} : () -> ()
func.func @step(%x: !torch.vtensor<[4,1],f32>) -> !torch.vtensor<[4,2],f32> {
  %0 = "sparsebp.read"() {symbol = @a.w} : () -> !torch.vtensor<[4,2],f32>
  "sparsebp.update"(%x) {symbol = @a.w, mask = #sparsebp.mask<"range", "i", array<i64: 0, 1>>}
    : (!torch.vtensor<[4,1],f32>) -> ()
  return %0 : !torch.vtensor<[4,2],f32>
}
"""


@dataclasses.dataclass
class Outcome:
    status: int
    out: str
    err: str


@pytest.fixture
def pock_opt(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Runs the command in this process; ``input`` is its standard input."""

    def run(*arguments: str | Path, input: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "argv", ["pock-opt", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(input)))
        with pytest.raises(SystemExit) as exited:
            main()
        captured = capfd.readouterr()
        return Outcome(int(str(exited.value.code)), captured.out, captured.err)

    return run


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.mlir"
    path.write_text(PROGRAM)
    return path


def test_the_console_script_runs() -> None:
    done = subprocess.run([SCRIPT, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("pock-opt ")


def test_help_names_the_flags(pock_opt: Any) -> None:
    outcome = pock_opt("--help")
    assert outcome.status == 0
    for flag in ("--pass-pipeline", "--list-passes", "--split-input-file", "--verify-diagnostics"):
        assert flag in outcome.out


def test_every_pass_is_listed_with_its_options(pock_opt: Any) -> None:
    outcome = pock_opt("--list-passes")
    assert outcome.status == 0
    listed = [line.split()[0] for line in outcome.out.splitlines() if not line.startswith(" ")]
    assert listed == pass_names()
    assert "  scheme " in outcome.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sparsebp-prune-backwards"], "did you mean 'sparsebp-prune-backward'?"),
        (["--nonsense"], "no option or pass is named '--nonsense'"),
        (["--cse=depth=3"], "no such option depth"),
        (["--sparsebp-prune-backward=depth=3"], "pass 'sparsebp-prune-backward' has no option 'depth'"),
        (["--pass-pipeline=cse"], "a pass pipeline is 'builtin.module(…)', got 'cse'"),
        (["--pass-pipeline=builtin.module(cse"], "a pass pipeline is 'builtin.module(…)'"),
        (["--pass-pipeline=builtin.module(cse,{)"], "pass pipeline leaves a bracket open"),
        (["--pass-pipeline=builtin.module(nonsense)"], "'nonsense' does not refer to a registered pass"),
        (["--pass-pipeline=builtin.module(cse)", "--cse"], "--pass-pipeline and '--cse' exclude each other"),
        (["other.mlir"], "takes one input, got"),
        (["-o"], "Option '-o' requires an argument"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_call_is_one_line_and_status_2(
    pock_opt: Any, program: Path, arguments: list[str], message: str
) -> None:
    outcome = pock_opt(program, *arguments)
    assert (outcome.status, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert line.startswith("error: ")
    assert message in line


def one_error(outcome: Outcome) -> str:
    assert (outcome.status, outcome.out) == (1, "")
    (line,) = outcome.err.splitlines()
    return line


def test_files_that_cannot_be_read(pock_opt: Any, tmp_path: Path) -> None:
    missing = tmp_path / "missing.mlir"
    assert one_error(pock_opt(missing)) == f"error: cannot read {missing}: No such file or directory"
    assert one_error(pock_opt(tmp_path)) == f"error: cannot read {tmp_path}: Is a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(pock_opt: Any, program: Path) -> None:
    program.chmod(0)
    assert one_error(pock_opt(program)) == f"error: cannot read {program}: Permission denied"


def test_text_that_is_not_utf_8(pock_opt: Any, tmp_path: Path) -> None:
    path = tmp_path / "latin1.mlir"
    path.write_bytes(b"func.func @f() {\n  // caf\xe9\n}")
    assert one_error(pock_opt(path)) == f"{path}:2:9: error: byte 0xe9 is not UTF-8 text"


def test_escapes_that_are_not_utf_8(pock_opt: Any) -> None:
    symbol = pock_opt(input=rb'"sparsebp.state"() {sym_name = "\FF"} : () -> ()')
    assert "error" in one_error(symbol)
    operation = pock_opt(input=rb'module { "builtin.\FF"() : () -> () }')
    assert "error" in one_error(operation)


@pytest.mark.parametrize("brackets", ["[", "{", "(", "tuple<", 'module { "'])
def test_deeper_nesting_than_the_parser_stands(pock_opt: Any, tmp_path: Path, brackets: str) -> None:
    path = tmp_path / "deep.mlir"
    path.write_text('"a.b"() {x = ' + 100_000 * brackets)
    outcome = pock_opt(path)
    assert outcome.status == 1
    assert len(outcome.err) < 1000


def test_nesting_is_measured_outside_strings_and_comments(pock_opt: Any) -> None:
    text = "// " + 2000 * "(" + f'\nmodule attributes {{pock.text = "{2000 * "["}"}} {{}}'
    assert pock_opt(input=text.encode()).status == 0


def test_operations_of_the_dialect_have_no_custom_form(pock_opt: Any) -> None:
    line = one_error(
        pock_opt(input=b'// sparsebp.update\n"sparsebp.read"() {a = "sparsebp.x"}; %0 = sparsebp.assign')
    )
    assert line.startswith("-:2:")
    line = one_error(pock_opt(input=PROGRAM.replace('"sparsebp.update"(', "sparsebp.update(").encode()))
    assert (
        line
        == "-:5:3: error: 'sparsebp.update' is written in the generic form only, \"sparsebp.update\"(...)"
    )


def test_much_garbage(pock_opt: Any, tmp_path: Path) -> None:
    path = tmp_path / "garbage.mlir"
    path.write_bytes(bytes(random.Random(0).choices(range(32, 127), k=5_000_000)))
    assert f"{path}:1:" in one_error(pock_opt(path))


def test_bytecode_is_read_and_truncated_bytecode_refused(pock_opt: Any, tmp_path: Path) -> None:
    stream = io.BytesIO()
    parse_module(PROGRAM, sparsebp.context()).operation.write_bytecode(stream)
    path = tmp_path / "program.mlirbc"
    path.write_bytes(stream.getvalue())
    assert "sparsebp.update" in pock_opt(path).out
    path.write_bytes(stream.getvalue()[:-20])
    outcome = pock_opt(path)
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.startswith(f"{path}:0:0: error: ")


def test_a_verifier_error_points_at_the_operation(pock_opt: Any, program: Path) -> None:
    program.write_text(
        PROGRAM.replace('mask = #sparsebp.mask<"range", "i", array<i64: 0, 1>>}\n', 'mask = "i"}\n')
    )
    expected = f"{program}:5:3: error: 'sparsebp.update' op mask must be a #sparsebp.mask, got \"i\""
    assert one_error(pock_opt(program)) == expected
    program.write_text(PROGRAM.replace("symbol = @a.w}", "symbol = @b}"))
    expected = ":4:8: error: 'sparsebp.read' op refers to @b, which nothing declares"
    assert one_error(pock_opt(program)) == f"{program}{expected}"
    assert one_error(pock_opt(input=program.read_bytes())) == f"-{expected}"


def test_output_that_cannot_be_written(pock_opt: Any, program: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "no" / "folder.mlir"
    assert (
        one_error(pock_opt(program, "-o", nowhere))
        == f"error: cannot write {nowhere}: No such file or directory"
    )
    assert one_error(pock_opt(program, "-o", tmp_path)) == f"error: cannot write {tmp_path}: Is a directory"
    full = "error: cannot write /dev/full: No space left on device"
    assert one_error(pock_opt(program, "-o", "/dev/full")) == full


def test_standard_output_on_a_full_disk(program: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([SCRIPT, program], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: cannot write standard output: No space left on device\n"


def test_a_failure_leaves_the_old_output_and_nothing_else(
    pock_opt: Any, program: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.mlir"
    output.write_text("old")
    program.write_text("func.func @f(")
    assert pock_opt(program, "-o", output).status == 1
    assert output.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == [output, program]


def test_the_input_may_be_the_output(pock_opt: Any, program: Path) -> None:
    assert pock_opt(program, "-o", program).status == 0
    assert program.read_text().startswith("module {")


def test_passes_run_in_the_order_of_the_command_line(
    pock_opt: Any, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []
    monkeypatch.setattr(opt, "run_stage", lambda module, stage, check: ran.append(stage))
    pock_opt("--cse", program, "--canonicalize", "--cse")
    assert ran == ["cse", "canonicalize", "cse"]


#: Valid MLIR that is no training program.
OTHER_PROGRAMS = {
    "empty": "",
    "no @step": "func.func @f() { return }",
    "@step without a body": "func.func private @step(%x: tensor<?xf32>)",
    "builtin tensors": "func.func @step(%x: tensor<?xf32>) { return }",
    "control flow": "func.func @step() {\n  cf.br ^b\n^b:\n  return\n}",
    "dynamic shapes": "func.func @step(%x: !torch.vtensor<[?],f32>) -> !torch.vtensor<[?],f32> {\n"
    "  %0 = torch.aten.exp %x : !torch.vtensor<[?],f32> -> !torch.vtensor<[?],f32>\n"
    "  return %0 : !torch.vtensor<[?],f32>\n}",
    "unknown types": "func.func @step(%x: !torch.vtensor) -> !torch.vtensor {\n"
    "  %0 = torch.aten.exp %x : !torch.vtensor -> !torch.vtensor\n"
    "  return %0 : !torch.vtensor\n}",
}


@pytest.mark.parametrize("name", pass_names())
@pytest.mark.parametrize("text", OTHER_PROGRAMS.values(), ids=list(OTHER_PROGRAMS))
def test_passes_leave_other_programs_alone_or_say_what_is_wrong(pock_opt: Any, name: str, text: str) -> None:
    flag = f"--{name}"
    if name == "sparsebp-apply-scheme":
        flag += "=rules=[]"
    outcome = pock_opt(flag, input=text.encode())
    if outcome.status == 0:
        assert outcome.err == ""
    else:
        assert "cannot handle" not in one_error(outcome)


@dataclasses.dataclass(frozen=True)
class Broken(Pass):
    """Fails."""

    name: ClassVar[str] = "sparsebp-broken"

    def apply(self, module: Any) -> None:
        {}["absent"]


def test_a_bug_in_a_pass_is_one_line_that_says_where(
    pock_opt: Any, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opt, "get_pass", lambda name: Broken)
    line = one_error(pock_opt(program, "--sparsebp-broken"))
    assert line.startswith(
        "error: pass 'sparsebp-broken' cannot handle the program: KeyError: 'absent' (test_pock_opt.py:"
    )


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_program_is_valid_or_has_diagnostics(data: st.DataObject) -> None:
    text = PROGRAM
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        stop = start + data.draw(st.integers(0, 12))
        text = text[:start] + data.draw(st.text(st.sampled_from(PROGRAM), max_size=4)) + text[stop:]
    try:
        module = parse_module(text, CONTEXT)
    except PassFailure as failure:
        assert failure.diagnostics
    else:
        assert module.operation.verify()
