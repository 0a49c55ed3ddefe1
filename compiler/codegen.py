# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Driving iree-compile, as a child process, from linalg text to a ``.vmfb``.

The compiler runs twice: to IREE's stream phase, where in-place updates are checked and memory is read
off, and from there to the end.
"""

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from iree.compiler import ir
from iree.compiler.tools.binaries import find_tool

from .allocation import allocate_at_once
from .analysis import stream_ir
from .analysis.commands import Command, commands
from .donated_results import drop_donated
from .errors import PockError
from .in_place import InPlaceModule
from .tiling import Choose, configure
from .unaligned import accept_unaligned

METADATA_KEY = "pock.metadata"

#: Larger than any model: every parameter is put inside the module.
_NO_LIMIT = 1 << 62

#: Expressions of constants are hoisted and run once when the module is loaded. IREE's alternative, a
#: just-in-time compiler inside the compiler, takes four fifths of the time to compile MobileNetV2.
_COMMON_FLAGS = (
    "--iree-opt-const-eval=false",
    # By default what frozen weights become is not hoisted where it is 1 MiB larger, as for the gradient of a
    # strided convolution, whose filter becomes one of 16 taps for 9.
    f"--iree-opt-const-expr-max-size-increase-threshold={32 << 20}",
    # A device has no use for the user's paths and layers.
    "--iree-vm-bytecode-module-strip-source-map",
)

#: Files in the folder that iree-compile runs in; its messages name the input so.
_INPUT, _OUTPUT, _ARCHIVE = "input.mlir", "output", "parameters.safetensors"

_DIAGNOSTIC = re.compile(r"^(?P<where>\S.*?): error: (?P<what>.+)$")

#: What the linker misses are functions of the C library, which programs for devices do not have.
_UNDEFINED = re.compile(r"undefined symbol: (\w+)")

#: Of a kernel, in IREE's runtime (``IREE_HAL_MODULE_MAX_DESCRIPTOR_BINDING_COUNT``), which loads no other.
_MOST_BINDINGS = 32

#: IREE by default verifies the program after each of its passes, which takes a quarter of its time and keeps
#: its threads from working beside each other: one that waits for a part of the verification takes over what
#: another would do. Without, a program is verified as it is parsed, before each phase, and as LLVM's IR.
_WITHOUT_VERIFIER = "--verify=false"

#: Of one message of iree-compile, which may quote a whole operation.
_LONGEST_MESSAGE = 300


class CodegenError(PockError):
    """iree-compile rejected the program or crashed."""


@dataclass(frozen=True)
class Facts:
    """What IREE's schedule of a program tells: the transient memory of a step in bytes, and more."""

    transient_bytes: int
    copied: Mapping[int, str]
    """Index of an argument that is state and is not updated in place -> why that would be unsafe."""
    unaligned_inputs: bool
    """Whether the caller's arrays may lie wherever their elements may."""
    drops_donated: bool
    """Whether functions do not return what they leave in donated storage."""
    commands: tuple[Command, ...]
    """What a step does on the device, in order."""


@dataclass(frozen=True)
class Generated:
    """A compiled module, and what was found out about it."""

    vmfb: bytes
    facts: Facts


@dataclass(frozen=True)
class Request:
    """What to generate: the linalg module as text, flags, and how parameters are stored.

    ``parameters`` is a safetensors archive of ``scope``; ``embed`` puts its values inside the module.
    ``tiling`` chooses tile sizes for dispatches, ``tuning_flags`` make faster code: a program that IREE
    cannot compile with either is compiled without. ``verify`` has IREE verify the program after each of its
    passes, so that it says what is wrong where it would fail without a word. ``callers`` says how
    many of each function's first arguments are read in the caller's memory, ``phases`` which functions a step
    runs one after the other, and how often each of those that it runs side by side. ``queued`` is whether
    memory is taken in the order of the device's queue.
    """

    text: str
    flags: Sequence[str]
    parameters: bytes
    scope: str
    embed: bool
    tiling: Choose = lambda nest, vector_bytes: None
    tuning_flags: Sequence[str] = ()
    verify: bool = False
    callers: Mapping[str, int] = field(default_factory=dict)
    phases: Sequence[Mapping[str, int]] = ({"step": 1},)
    queued: bool = True


Describe = Callable[[Facts], Mapping[str, Any]]
"""The metadata of a program."""


Progress = Callable[[str], None]
"""Is told what is being done, when it begins."""


def generate(request: Request, metadata: Describe, progress: Progress = lambda _: None) -> Generated:
    """Compile to a ``.vmfb`` whose ``@init`` carries ``metadata``'s result as reflection (JSON).

    A program that does not compile is compiled once more, without what makes faster code, and verified for
    the sake of the message. Raises ``CodegenError`` with the user's source lines where IREE gives them.
    """
    with _scratch() as folder:
        if request.embed:
            (folder / _ARCHIVE).write_bytes(request.parameters)
        try:
            return _generate(request, metadata, progress, folder)
        except FinalError:
            raise
        except (CodegenError, _Crash):
            plain = replace(request, tiling=lambda nest, vector_bytes: None, tuning_flags=(), verify=True)
        return _generate(plain, metadata, progress, folder)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder that is gone afterwards, unless iree-compile crashed in it."""
    folder = None
    try:
        folder = Path(tempfile.mkdtemp(prefix="pock-"))
        yield folder
    except _Crash as crash:
        folder = None
        raise CodegenError(str(crash)) from None
    except OSError as error:
        raise CodegenError(
            f"cannot keep temporary files in {folder or 'TMPDIR'}: {error.strerror or error}"
        ) from None
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _generate(request: Request, metadata: Describe, progress: Progress, folder: Path) -> Generated:
    source = InPlaceModule(request.text)
    while True:
        progress("scheduling with IREE again" if source.changed else "scheduling with IREE")
        text = source.text()
        stream = _run_iree(text.encode(), request, folder, ["--compile-to=stream", "--emit-mlir-bytecode"])
        with ir.Context():
            module = _parse(stream)
            if (found := source.check(module)) is not None:
                for (_, name), kernel in stream_ir.kernels(module).items():
                    _check_bindings(name, kernel)
                    _check_padding(name, kernel)
                unaligned = bool(request.callers) and accept_unaligned(module, request.callers)
                transient = max(
                    sum(count * found[name].transient_bytes for name, count in phase.items())
                    for phase in request.phases
                )
                runs = [run for phase in request.phases for run in phase.items()]
                done = [c for name, count in runs for c in commands(module, name) * count]
                dropped = drop_donated(module, source.donated)
                facts = Facts(transient, source.copied, unaligned, dropped, tuple(done))
                _attach_metadata(module, metadata(facts))
                configure(module, request.tiling)
                if not request.queued:
                    allocate_at_once(module)
                configured = _bytecode(module)
                break
    progress("generating code with IREE")
    vmfb = _run_iree(configured, request, folder, ["--compile-from=stream"])
    return Generated(vmfb, facts)


def _parse(stream: bytes) -> ir.Module:
    """A module, verified."""
    try:
        return ir.Module.parse(stream)
    except ir.MLIRError as error:
        raise CodegenError(f"iree-compile made an invalid program: {_shortened(str(error))}") from None


def _check_bindings(name: str, kernel: Any) -> None:
    """Raise ``CodegenError`` if a kernel uses more buffers than the runtime binds.

    IREE computes single numbers that stand side by side in one kernel, however many they are, and each
    result is a buffer.
    """
    count = len(stream_ir.bindings(kernel))
    if count > _MOST_BINDINGS:
        raise CodegenError(
            f"kernel @{name} uses {count} buffers; IREE's runtime binds {_MOST_BINDINGS}: "
            "it computes many single numbers; stack them before computing with them"
        )


def _check_padding(name: str, kernel: Any) -> None:
    """Raise ``CodegenError`` if a kernel puts elements before others that it computes.

    IREE 3.13 stores the others as if there were none before them. `sparsebp-separate-padding` is there so
    that no such kernel is formed; this makes sure of it.
    """

    pads: list[Any] = []

    def visit(op: Any) -> ir.WalkResult:
        if op.operation.name == "tensor.pad":
            pads.append(op.operation)
        return ir.WalkResult.ADVANCE

    kernel.walk(visit)
    for pad in pads:
        loaded = pad.operands[0].owner.name == "iree_tensor_ext.dispatch.tensor.load"
        if not loaded and any(ir.DenseI64ArrayAttr(pad.attributes["static_low"])):
            raise CodegenError(f"kernel @{name} pads what it computes, which IREE stores in the wrong place")


def _bytecode(module: ir.Module) -> bytes:
    buffer = io.BytesIO()
    module.operation.write_bytecode(buffer)
    return buffer.getvalue()


def _attach_metadata(module: ir.Module, metadata: Mapping[str, Any]) -> None:
    """Put the metadata among the reflection attributes of ``@init``."""
    attributes = stream_ir.function(module, "init").attributes
    with module.context:
        text = json.dumps(metadata, sort_keys=True, separators=(",", ":"))
        entries = {named.name: named.attr for named in ir.DictAttr(attributes["iree.reflection"])}
        entries[METADATA_KEY] = ir.StringAttr.get(text)
        attributes["iree.reflection"] = ir.DictAttr.get(entries)


# -- iree-compile -------------------------------------------------------------------------------


class FinalError(CodegenError):
    """What compiling in another way does not change."""


class _Crash(Exception):
    """iree-compile ended as it must not; the folder it ran in is to stay."""


def _run_iree(source: bytes, request: Request, folder: Path, phase: Sequence[str]) -> bytes:
    """One run of iree-compile in ``folder``; its output."""
    (folder / _INPUT).write_bytes(source)
    command = [
        "iree-compile",
        _INPUT,
        "-o",
        _OUTPUT,
        *_COMMON_FLAGS,
        *request.flags,
        *request.tuning_flags,
        *phase,
    ]
    if not request.verify:
        command.append(_WITHOUT_VERIFIER)
    if request.embed:
        command.append(f"--iree-parameter-import={request.scope}={_ARCHIVE}")
        command.append(f"--iree-parameter-import-maximum-size={_NO_LIMIT}")
    output = folder / _OUTPUT
    output.unlink(missing_ok=True)
    status, stderr = _run(command, folder)
    if status == 0 and output.exists():
        return output.read_bytes()
    if functions := _UNDEFINED.findall(stderr):
        raise FinalError(
            f"the target has no {', '.join(dict.fromkeys(functions))} in this precision; use float32 for it"
        )
    if status > 0 and (errors := _errors(stderr)):
        raise CodegenError(f"iree-compile rejected the program: {'; '.join(errors[:3])}")
    # A full disk is not to hide the crash.
    with suppress(OSError):
        (folder / "command.txt").write_text(shlex.join(command) + "\n")
        (folder / "stderr.txt").write_text(stderr)
    how = f"was ended by signal {-status}" if status < 0 else f"failed with status {status}"
    raise _Crash(f"iree-compile {how}; input, command and output are in {folder}")


def _run(command: Sequence[str], folder: Path) -> tuple[int, str]:
    """Run a tool of IREE's in ``folder``; its status and what it said."""
    held: list[int] = []
    try:
        tool = find_tool(command[0])
    except ValueError as error:
        raise FinalError(f"cannot run iree-compile: {str(error).splitlines()[0]}") from None
    try:
        # Its own temporary files go where they are cleared away, even if it is killed; by a name without
        # spaces, which its linker takes for the ends of names.
        with _signals_held(held):
            process = subprocess.Popen(
                [tool, *command[1:]], cwd=folder, env={**os.environ, "TMPDIR": "."},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                text=True, errors="replace",
            )  # fmt: skip
    except OSError as error:
        raise FinalError(f"cannot run iree-compile: {error.strerror}") from None
    try:
        for number in held:
            signal.raise_signal(number)
        _, stderr = process.communicate()
    except BaseException:
        # Nothing may write to the folder that is about to go.
        process.kill()
        process.wait()
        raise
    return process.returncode, stderr


@contextmanager
def _signals_held(held: list[int]) -> Iterator[None]:
    """Collect signals that would raise, so that no process is started that nobody knows of."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    raising = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in raising:
        signal.signal(number, lambda number, _: held.append(number))
    try:
        yield
    finally:
        for number, handler in raising.items():
            signal.signal(number, handler)


def _errors(stderr: str) -> list[str]:
    """The errors among the messages of iree-compile, each once, as ``place: what``."""
    found: dict[str, None] = {}
    for line in stderr.splitlines():
        if match := _DIAGNOSTIC.match(line):
            found[f"{match['where']}: {_shortened(match['what'])}"] = None
    return list(found)


def _shortened(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[: _LONGEST_MESSAGE - 3]}..."


__all__ = ["METADATA_KEY", "CodegenError", "Facts", "Generated", "Request", "generate"]
