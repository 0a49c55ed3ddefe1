# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Driving iree-compile, as a child process, from linalg text to a ``.vmfb``.

The compiler runs twice: to IREE's stream phase, where in-place updates are checked and memory is read
off, and from there to the end.
"""

import io
import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iree.compiler import ir
from iree.compiler.tools.binaries import find_tool

from .analysis.state_hazards import StepAnalysis, analyse_step
from .errors import PockError

METADATA_KEY = "pock.metadata"

#: Larger than any model: every parameter is put inside the module.
_NO_LIMIT = 1 << 62

#: Expressions of constants are hoisted and run once when the module is loaded. IREE's alternative, a
#: just-in-time compiler inside the compiler, takes four fifths of the time to compile MobileNetV2.
_COMMON_FLAGS = ("--iree-opt-const-eval=false",)

_DIAGNOSTIC = re.compile(r"^(?P<where>.+?:\d+:\d+|<unknown>|.*?): error: (?P<what>.*)$")


class CodegenError(PockError):
    """iree-compile rejected the program or crashed."""


@dataclass(frozen=True)
class Generated:
    """A compiled module, the transient memory of a step in bytes, and what could not be donated."""

    vmfb: bytes
    transient_bytes: int
    copied: Mapping[int, str]
    """Index of a ``@step`` argument that is not updated in place -> why that would be unsafe."""


@dataclass(frozen=True)
class Request:
    """What to generate: the linalg module as text, flags, and how parameters are stored.

    ``parameters`` is a safetensors archive of ``scope``; ``embed`` puts its values inside the module.
    """

    text: str
    flags: Sequence[str]
    parameters: Path
    scope: str
    embed: bool


def generate(request: Request, metadata: Any) -> Generated:
    """Compile to a ``.vmfb`` whose ``@init`` carries ``metadata(analysis)`` as reflection (JSON).

    Raises ``CodegenError`` with the user's source lines where IREE gives them.
    """
    with tempfile.TemporaryDirectory(prefix="pock-") as folder:
        return _generate(request, metadata, Path(folder))


def _generate(request: Request, metadata: Any, folder: Path) -> Generated:
    copied: dict[int, str] = {}
    while True:
        text = without_donation(request.text, copied)
        stream = _run_iree(text.encode(), request, folder, ["--compile-to=stream", "--emit-mlir-bytecode"])
        with ir.Context():
            module = ir.Module.parse(stream)
            analysis = analyse_step(module)
            if not analysis.hazards:
                _attach_metadata(module, metadata(analysis, copied))
                buffer = io.BytesIO()
                module.operation.write_bytecode(buffer)
                break
        copied |= analysis.hazards
    vmfb = _run_iree(buffer.getvalue(), request, folder, ["--compile-from=stream"])
    return Generated(vmfb, analysis.transient_bytes, copied)


def without_donation(text: str, arguments: Mapping[int, str]) -> str:
    """The module's text with the given arguments of ``@step`` no longer donated."""
    if not arguments:
        return text
    start = text.index("func.func @step(")
    end = text.index("\n", start)
    header = text[start:end]
    for i in arguments:
        header = re.sub(rf"(%arg{i}: tensor<[^>]*>) \{{iree\.abi\.output = \d+ : index\}}", r"\1", header)
    return text[:start] + header + text[end:]


def _attach_metadata(module: ir.Module, metadata: Mapping[str, Any]) -> None:
    """Put the metadata among the reflection attributes of ``@init``."""
    for op in module.body.operations:
        attributes = op.operation.attributes
        if op.operation.name == "util.func" and ir.StringAttr(attributes["sym_name"]).value == "init":
            with module.context:
                text = json.dumps(metadata, sort_keys=True, separators=(",", ":"))
                known = ir.DictAttr(attributes["iree.reflection"])
                entries = {named.name: named.attr for named in known}
                entries[METADATA_KEY] = ir.StringAttr.get(text)
                attributes["iree.reflection"] = ir.DictAttr.get(entries)
            return
    raise ValueError("no function @init at the stream phase")


def _run_iree(source: bytes, request: Request, folder: Path, phase: Sequence[str]) -> bytes:
    """One run of iree-compile; its output."""
    given, output = folder / "input.mlir", folder / "output"
    given.write_bytes(source)
    command = [find_tool("iree-compile"), str(given), "-o", str(output), *_COMMON_FLAGS, *request.flags, *phase]
    if request.embed:
        command.append(f"--iree-parameter-import={request.scope}={request.parameters}")
        command.append(f"--iree-parameter-import-maximum-size={_NO_LIMIT}")
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise CodegenError(f"cannot run iree-compile: {error.strerror}") from None
    if done.returncode == 0:
        return output.read_bytes()
    raise CodegenError(_explain(done.returncode, done.stderr, source, command, str(given)))


def _explain(status: int, stderr: str, source: bytes, command: Sequence[str], given: str) -> str:
    """One line: the first errors of iree-compile with their places, or where a crash can be reproduced."""
    errors = []
    for line in stderr.splitlines():
        match = _DIAGNOSTIC.match(line)
        if match and match["what"] not in errors:
            errors.append(f"{match['where']}: {match['what']}".replace(given, "input.mlir"))
    if status > 0 and errors:
        return "iree-compile rejected the program: " + "; ".join(errors[:3])
    folder = Path(tempfile.mkdtemp(prefix="pock-crash-"))
    (folder / "input.mlir").write_bytes(source)
    (folder / "command.txt").write_text(" ".join(command).replace(given, "input.mlir") + "\n")
    (folder / "stderr.txt").write_text(stderr)
    how = f"was ended by signal {-status}" if status < 0 else f"failed with status {status}"
    return f"iree-compile {how}; input, command and output are in {folder}"


__all__ = ["METADATA_KEY", "CodegenError", "Generated", "Request", "StepAnalysis", "generate"]
