# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What ``pock-compile`` does: load a task, compile it, write the result, say what came out."""

import importlib.util
import sys
import time
import traceback
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TextIO

from .errors import PockError, UsageError
from .files import write_bytes

if TYPE_CHECKING:
    from .frontend.task import TrainingTask
    from .pipeline import Artifact
    from .program import TrainingProgram
    from .scheme import Scheme

PROGRAM = "program"
"""The value of ``--emit`` that saves the traced program."""


@dataclass(frozen=True)
class Request:
    """The arguments of ``pock-compile``, as text."""

    task: str
    scheme: str
    optimizer: str
    target: str
    output: str
    emit: str
    parameters: str


@dataclass
class _Report:
    """Tells the user what is being done and how long it took, on ``stream`` if there is one."""

    stream: TextIO | None

    def __post_init__(self) -> None:
        self._since = time.perf_counter()
        self._what = ""

    def __call__(self, what: str) -> None:
        """Begin something; what went before has ended."""
        now = time.perf_counter()
        if self.stream is not None and self._what and now - self._since >= 0.5:
            print(f"  {self._what}: {now - self._since:.1f} s", file=self.stream)
        self._what, self._since = what, now


def compile_task(request: Request, report: TextIO | None = None) -> int:
    """Run a request; the exit status. Raises ``PockError`` for the user's mistakes."""
    from .optimizers import parse_optimizer
    from .pipeline import Emit, compile_program, emit

    stages = [*(str(stage) for stage in Emit), PROGRAM]
    if request.emit not in stages:
        raise UsageError(f"--emit must be one of {', '.join(stages)}, got '{request.emit}'")
    started, told = time.perf_counter(), _Report(report)
    # What can be wrong in a word is found before the model is traced.
    scheme, optimizer = load_scheme(request.scheme), parse_optimizer(request.optimizer)
    _check_output(request)
    told("trace")
    program = load_program(request.task)
    if request.emit == PROGRAM:
        program.save(request.output)
        told("")
        return 0
    if request.emit != Emit.VMFB:
        text = emit(program, Emit(request.emit), scheme, optimizer)
        write_bytes(request.output, text.encode())
        return 0
    artifact = compile_program(
        program, scheme, optimizer, request.target, request.parameters, request.output, progress=told
    )
    told("")
    written = artifact.save(request.output)
    if report is not None:
        report.write(summary(artifact, written, time.perf_counter() - started))
    return 0


def _check_output(request: Request) -> None:
    if request.output == "-":
        if request.emit in (PROGRAM, "vmfb"):
            raise UsageError(f"--emit={request.emit} is not text; give a file with -o")
        return
    folder = Path(request.output).absolute().parent
    if not folder.is_dir():
        raise UsageError(f"cannot write {request.output}: there is no folder {folder}")


def summary(artifact: "Artifact", written: list[Path], seconds: float) -> str:
    """A few lines about a compiled program: files, what is trained, memory."""
    state = artifact.metadata["state"]
    parameters = [entry for entry in state if entry["kind"] == "parameter"]
    sliced = sum(entry["mask"]["update"] in ("range", "list") for entry in parameters)
    memory = artifact.metadata["memory"]
    lines = [f"{path}: {path.stat().st_size / 1e6:.2f} MB" for path in written] + [
        f"trains {len(parameters)} parameters ({sliced} of them in part) of {artifact.metadata['model']} "
        f"on {artifact.metadata['target']}",
        f"memory of a step: {memory['transient'] / 1e6:.2f} MB transient, {memory['state'] / 1e6:.2f} MB state",
        *artifact.notes,
        f"compiled in {seconds:.1f} s",
    ]
    return "".join(f"{line}\n" for line in lines)


# -- schemes ------------------------------------------------------------------------------------


def load_scheme(text: str) -> "Scheme":
    """A scheme by name (``full``, ``bias-only``, ``none``) or from a YAML file."""
    from .scheme import Scheme

    named: dict[str, Callable[[], Scheme]] = {
        "full": Scheme.full,
        "bias-only": Scheme.bias_only,
        "none": Scheme.none,
    }
    return named[text]() if text in named else Scheme.from_file(text)


# -- tasks --------------------------------------------------------------------------------------


def load_program(task: str) -> "TrainingProgram":
    """The training program of ``file.py:name`` (traced) or of a saved program's file."""
    from .program import ProgramError, TrainingProgram

    path, colon, name = task.rpartition(":")
    if colon and path.endswith(".py"):
        from .frontend.trace import trace

        return trace(_task(Path(path), name))
    file = Path(task)
    if file.suffix == ".py":
        raise UsageError(f"name the task in {task}, as in '{task}:task'")
    if file.is_file() and not zipfile.is_zipfile(file):
        raise ProgramError(f"{task}: not a training program; expected one that --emit=program wrote")
    return TrainingProgram.load(file)


def _task(path: Path, name: str) -> "TrainingTask":
    from .frontend.task import TrainingTask

    module = _import(path)
    if not hasattr(module, name):
        from difflib import get_close_matches

        tasks = [key for key, value in vars(module).items() if not key.startswith("_") and callable(value)]
        tasks += [key for key, value in vars(module).items() if isinstance(value, TrainingTask)]
        near = get_close_matches(name, tasks, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise UsageError(f"{path} has no '{name}'{hint}")
    value = getattr(module, name)
    if not isinstance(value, TrainingTask) and callable(value):
        value = _users(path, value)
    if not isinstance(value, TrainingTask):
        raise UsageError(
            f"{path}:{name} must be a TrainingTask or a function that returns one, got {_kind(value)}"
        )
    return value


def _kind(value: Any) -> str:
    return type(value).__name__


def _import(path: Path) -> ModuleType:
    """The user's file as a module; the folder that it lies in can be imported from."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.absolute().parent))
    sys.modules.setdefault(path.stem, module)
    loader = spec.loader
    _users(path, lambda: loader.exec_module(module))
    return module


def _users(path: Path, function: Callable[[], Any]) -> Any:
    """Run the user's own code; what it raises becomes one line with the place in their file."""
    try:
        return function()
    except PockError:
        raise
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else frames[-1].lineno if frames else None
        where = f"{path}:{line}" if line else str(path)
        reason = str(error).splitlines()[0] if str(error) else ""
        raise PockError(f"{where}: {type(error).__name__}: {reason}") from error
