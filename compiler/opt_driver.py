# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What ``pock-opt`` does: read programs, run passes over each, print them, check their diagnostics."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch_mlir import ir

from pock.dialects import sparsebp

from . import expected
from .errors import PassFailure
from .files import read_bytes, write_bytes
from .opt import (
    Diagnostics,
    Printing,
    Stage,
    check_stages,
    named,
    parse_module,
    print_module,
    run_pipeline,
)
from .passes import get_pass, pass_names
from .passes.base import describe

#: IREE's dialects, which these bindings do not know; programs hold some of their operations.
IREE_DIALECTS = frozenset(
    {"flow", "hal", "iree_codegen", "iree_linalg_ext", "iree_tensor_ext", "stream", "util"}
)

_BYTECODE = b"ML\xefR"
_SEPARATOR = re.compile(r"^// -----.*\n?", re.MULTILINE)


@dataclass(frozen=True)
class _Chunk:
    """One program of the input and the line on which it begins there."""

    content: str | bytes
    first_line: int = 1


@dataclass(frozen=True)
class Driver:
    """The settings of a run of ``pock-opt``; each is the flag of that name."""

    allow_unregistered_dialect: bool = False
    mlir_print_debuginfo: bool = False
    mlir_print_ir_after_all: bool = False
    split_input_file: bool = False
    verify_diagnostics: bool = False

    def run(self, source: str, output: str, stages: Sequence[Stage]) -> int:
        """Run ``stages`` over ``source`` and write ``output`` (``-``: standard input and output).

        Returns the exit status: 0, or 1 with diagnostics on standard error and nothing written. Raises
        ``PockError`` when a file cannot be read or written, ``UsageError`` for a stage that does not exist.
        """
        check_stages(stages, sparsebp.context())
        good, programs = True, []
        for chunk in self._chunks(read_bytes(source), source):
            program, lines = self._transform(chunk, source, stages)
            if self.verify_diagnostics:
                text = chunk.content if isinstance(chunk.content, str) else ""
                lines = list(expected.check(text, lines, source, chunk.first_line))
                good = good and not lines
            else:
                good = good and program is not None
            for line in lines:
                print(line, file=sys.stderr)
            if program is not None:
                programs.append(program)
        if good:
            write_bytes(output, "// -----\n".join(programs).encode())
        return 0 if good else 1

    def _chunks(self, data: bytes, source: str) -> list[_Chunk]:
        if data.startswith(_BYTECODE):
            return [_Chunk(data)]
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            column = error.start - data.rfind(b"\n", 0, error.start)
            problem = f"{source}:{line}:{column}: error: byte 0x{data[error.start]:02x} is not UTF-8 text"
            raise PassFailure(f"cannot parse {source}", [problem]) from None
        if not self.split_input_file:
            return [_Chunk(text)]
        ends = [*_SEPARATOR.finditer(text)]
        starts = [0, *(end.end() for end in ends)]
        stops = [*(end.start() for end in ends), len(text)]
        return [
            _Chunk(text[start:stop], text.count("\n", 0, start) + 1)
            for start, stop in zip(starts, stops, strict=True)
        ]

    def _transform(self, chunk: _Chunk, source: str, stages: Sequence[Stage]) -> tuple[str | None, list[str]]:
        """A program after ``stages``, None if it cannot be, and the diagnostics on the way."""
        context = sparsebp.context()
        with Diagnostics(context, errors_only=False) as heard:
            program = None
            try:
                module = self._parse(chunk, context, source)
                printing = Printing(self.mlir_print_ir_after_all, self.mlir_print_debuginfo)
                run_pipeline(module, stages, printing)
                program = print_module(module, self.mlir_print_debuginfo)
            except PassFailure as failure:
                heard.lines.extend(failure.lines())
        return program, named(heard.lines, source)

    def _parse(self, chunk: _Chunk, context: ir.Context, source: str) -> ir.Module:
        content = chunk.content
        if isinstance(content, str):
            # Blank lines put the program at its place in the file.
            content = "\n" * (chunk.first_line - 1) + content
        whole_file = not self.split_input_file and Path(source).is_file()
        module = parse_module(content, context, source, from_file=whole_file)
        if not self.allow_unregistered_dialect:
            _refuse_unregistered(module)
        return module


def _refuse_unregistered(module: ir.Module) -> None:
    problems = []

    def visit(op: Any) -> ir.WalkResult:
        name = op.operation.name
        if name.partition(".")[0] not in IREE_DIALECTS and not module.context.is_registered_operation(name):
            problems.append(
                f"{describe(op.operation.location)}: error: operation '{name}' is of no dialect known here; "
                "--allow-unregistered-dialect lets it pass"
            )
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    if problems:
        raise PassFailure("the program has operations of unknown dialects", problems)


def list_passes() -> str:
    """A table of pock's passes: name, summary, and each option with its type and default."""
    lines = []
    for name in pass_names():
        found = get_pass(name)
        lines.append(f"{name:<28} {found.summary().replace('``', '')}")
        lines += [
            f"  {option:<26} {kind.__name__}, default {default!r}"
            for option, (kind, default) in found.options().items()
        ]
    return "\n".join(lines) + "\n"
