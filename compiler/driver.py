# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What ``pock-compile`` does: load a task, compile it, write the result, say what came out."""

import importlib.util
import math
import sys
import traceback
import zipfile
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .errors import PockError, UsageError
from .files import write_bytes

if TYPE_CHECKING:
    from pock.targets import Target

    from .frontend.task import TrainingTask
    from .pipeline import Artifact
    from .program import TrainingProgram
    from .scheme import Scheme

PROGRAM = "program"
"""The value of ``--emit`` that saves the traced program."""

Progress = Callable[[str], None]


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
    cores: int = 1


@dataclass(frozen=True)
class Coverage:
    """What a scheme trains: parameters, how many of them in part, and their elements; each of how many."""

    parameters: int
    partly: int
    of_parameters: int
    elements: int
    of_elements: int


@dataclass(frozen=True)
class Result:
    """The files that a request has written, and for a compiled program what it is."""

    files: tuple[Path, ...] = ()
    artifact: "Artifact | None" = None
    coverage: Coverage | None = None


def compile_task(request: Request, progress: Progress = lambda _: None) -> Result:
    """Run a request; raises ``PockError`` for the user's mistakes. ``progress`` is told each phase."""
    from .optimizers import parse_optimizer
    from .pipeline import PARAMETERS, Emit, compile_program, emit

    # What can be wrong in a word is found before the model is traced.
    _choice("--emit", request.emit, [*(str(stage) for stage in Emit), PROGRAM])
    _choice("--parameters", request.parameters, PARAMETERS)
    scheme, optimizer = load_scheme(request.scheme), parse_optimizer(request.optimizer)
    target = target_of(request)
    if request.cores > 1 and not target.is_local:
        raise UsageError(f"--cores is for CPUs, and the target is '{target}'")
    _check_output(request)
    # Standard output is for the result: the user's code may print.
    with redirect_stdout(sys.stderr):
        program = load_program(request.task, progress)
    files = () if request.output == "-" else (Path(request.output),)
    if request.emit == PROGRAM:
        progress("writing")
        program.save(request.output)
        return Result(files)
    if request.emit != Emit.VMFB:
        progress(f"running passes up to '{request.emit}'")
        text = emit(program, Emit(request.emit), scheme, optimizer, target, cores=request.cores)
        write_bytes(request.output, text.encode())
        return Result(files)
    artifact = compile_program(
        program,
        scheme,
        optimizer,
        target,
        request.parameters,
        request.output,
        progress=progress,
        cores=request.cores,
    )
    progress("writing")
    return Result(tuple(artifact.save(request.output)), artifact, coverage(program, artifact))


def target_of(request: Request) -> "Target":
    """The target that a request names; raises ``UsageError``."""
    from pock.targets import TargetError, get_target

    try:
        return get_target(request.target)
    except TargetError as error:
        raise UsageError(str(error)) from None


def _choice(option: str, given: str, known: list[str] | tuple[str, ...]) -> None:
    if given not in known:
        near = get_close_matches(given, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise UsageError(f"{option} must be one of {', '.join(known)}, got '{given}'{hint}")


def _check_output(request: Request) -> None:
    if request.output == "-":
        if request.emit in (PROGRAM, "vmfb"):
            raise UsageError(f"--emit={request.emit} is not text; give a file with -o")
        return
    path = Path(request.output).absolute()
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {request.output}: there is no folder {path.parent}")
    if path.is_dir():
        raise UsageError(f"cannot write {request.output}: it is a folder; give the name of a file")


def coverage(program: "TrainingProgram", artifact: "Artifact") -> Coverage:
    """How much of a program an artifact trains."""
    from pock.dialects.sparsebp import declarations

    from .analysis.declared import role_of

    declared = declarations(program.module)
    known = [name for name, op in declared.items() if role_of(op) == "parameter"]
    trained = [entry for entry in artifact.metadata["state"] if entry["kind"] == "parameter"]
    return Coverage(
        len(trained),
        sum(entry["mask"]["update"] != "full" for entry in trained),
        len(known),
        sum(_elements(entry) for entry in trained),
        sum(program.parameters[name].size for name in known),
    )


def _elements(entry: dict[str, Any]) -> int:
    """How many elements of a parameter are trained."""
    mask, size = entry["mask"], math.prod(entry["shape"])
    if mask["update"] == "full":
        return size
    indices = mask["indices"]
    channels = indices[1] - indices[0] if mask["update"] == "range" else len(indices)
    return size // entry["shape"][mask["axis"]] * channels


# -- schemes ------------------------------------------------------------------------------------


def load_scheme(text: str) -> "Scheme":
    """A scheme by name (``full``, ``bias-only``, ``none``) or from a YAML file."""
    from .scheme import Scheme

    named: dict[str, Callable[[], Scheme]] = {
        "full": Scheme.full,
        "bias-only": Scheme.bias_only,
        "none": Scheme.none,
    }
    if text in named:
        return named[text]()
    if not Path(text).exists() and not Path(text).suffix:
        near = get_close_matches(text, named, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(named)}, and YAML files"
        raise UsageError(f"no scheme is named '{text}'; {hint}")
    return Scheme.from_file(text)


# -- tasks --------------------------------------------------------------------------------------


def load_program(task: str, progress: Progress = lambda _: None) -> "TrainingProgram":
    """The training program of ``file.py:name`` (traced) or of a saved program's file."""
    from .program import ProgramError, TrainingProgram

    path, colon, name = task.rpartition(":")
    if colon and path.endswith(".py"):
        if not Path(path).is_file():
            raise UsageError(f"{path}: no such file")
        progress("importing PyTorch")
        trace = _tracer()
        progress(f"running {path}")
        found = _task(Path(path), name)
        progress(f"tracing {found.model_name}")
        return trace(found)
    file = Path(task)
    if file.suffix == ".py":
        raise UsageError(f"name the task in {task}, as in '{task}:task'")
    if file.is_file() and not zipfile.is_zipfile(file):
        raise ProgramError(
            f"{task}: not a training program; expected one that --emit=program wrote, or file.py:name"
        )
    progress(f"reading {task}")
    return TrainingProgram.load(file)


def _tracer() -> "Callable[[TrainingTask], TrainingProgram]":
    try:
        from .frontend.trace import trace
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UsageError(
            "a task in Python needs PyTorch, which is not installed: pip install 'pock[torch]', "
            "or give a program that --emit=program wrote"
        ) from None
    return trace


def _task(path: Path, name: str) -> "TrainingTask":
    from .frontend.task import TrainingTask

    module = _import(path)
    if not hasattr(module, name):
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
    except PockError as error:
        raise PockError(f"{_place(path, error)}: {error}") from error
    except SystemExit as error:
        raise PockError(
            f"{_place(path, error)}: ends the process when it is imported; "
            "put what only a script does behind if __name__ == '__main__'"
        ) from None
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        raise PockError(f"{_place(path, error)}: {type(error).__name__}: {reason}".rstrip(": ")) from error


def _place(path: Path, error: BaseException) -> str:
    """``file:line`` of the innermost frame in the user's file."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path.absolute())]
    return f"{path}:{frames[-1].lineno}" if frames else str(path)
