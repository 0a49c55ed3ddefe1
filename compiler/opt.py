# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Pipelines of pock's and MLIR's own passes: parsing and running them.

A pipeline is mlir-opt's text, ``builtin.module(a{option=value},func.func(canonicalize),b)``; names that
pock's registry knows run here, everything else goes to MLIR's pass manager.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from torch_mlir import ir
from torch_mlir.passmanager import PassManager

from pock.dialects import sparsebp

from .errors import PassFailure, UsageError
from .passes import get_pass
from .passes.base import Pass

Stage = Pass | str
"""A pass of pock's, or the text of a pass or nested pipeline of MLIR's."""

_ELEMENT = re.compile(r"([A-Za-z0-9_.-]+)\s*(.*)", re.DOTALL)


def split_pipeline(text: str) -> list[str]:
    """The elements of a pipeline between its top-level commas."""
    depth, start, elements = 0, 0, []
    for i, char in enumerate(text):
        if char in "({":
            depth += 1
        elif char in ")}":
            depth -= 1
            if depth < 0:
                raise UsageError(f"pass pipeline closes a bracket that it did not open, at character {i + 1}")
        elif char == "," and depth == 0:
            elements.append(text[start:i])
            start = i + 1
    if depth:
        raise UsageError("pass pipeline leaves a bracket open")
    elements.append(text[start:])
    return [e.strip() for e in elements if e.strip()]


def parse_options(text: str) -> dict[str, str]:
    """``{a=1 b="x y"}`` as a dictionary."""
    inner = text.strip()
    if not inner:
        return {}
    if not (inner.startswith("{") and inner.endswith("}")):
        raise UsageError(f"expected pass options in braces, got '{text}'")
    options = {}
    for match in re.finditer(r'([A-Za-z0-9_-]+)=("[^"]*"|\S+)|(\S+)', inner[1:-1]):
        if match[3]:
            raise UsageError(f"expected option=value in pass options, got '{match[3]}'")
        options[match[1]] = match[2].strip('"')
    return options


def parse_pipeline(text: str) -> list[Stage]:
    """The stages of ``builtin.module(…)``; raises ``UsageError``."""
    whole = re.fullmatch(r"\s*builtin\.module\s*\((.*)\)\s*", text, re.DOTALL)
    if whole is None:
        raise UsageError(f"a pass pipeline is 'builtin.module(…)', got '{text}'")
    stages: list[Stage] = []
    for element in split_pipeline(whole[1]):
        match = _ELEMENT.fullmatch(element)
        if match is None:
            raise UsageError(f"cannot read '{element}' in the pass pipeline")
        if match[1].startswith("sparsebp-"):
            stages.append(get_pass(match[1]).from_options(parse_options(match[2])))
        else:
            stages.append(element)
    return stages


@dataclass
class Printing:
    """What to print while a pipeline runs, to ``stream``."""

    after_all: bool = False
    stream: TextIO = sys.stderr

    def after(self, name: str, module: ir.Module) -> None:
        if self.after_all:
            print(f"// -----// IR Dump After {name} //----- //\n{module}", file=self.stream)


def diagnostic_lines(error: ir.MLIRError) -> Iterator[str]:
    """MLIR's diagnostics as ``file:line:column: error: message`` lines."""
    for diagnostic in error.error_diagnostics:
        yield f"{_location(diagnostic.location)}: error: {diagnostic.message}"
        for note in diagnostic.notes:
            yield f"{_location(note.location)}: note: {note.message}"


def _location(location: ir.Location) -> str:
    from .passes.base import describe

    return describe(location)


class _Collector:
    """Collects the errors that verifiers and passes emit in a context, as text."""

    def __init__(self, context: ir.Context) -> None:
        self.context = context
        self.lines: list[str] = []

    def __enter__(self) -> "_Collector":
        def handle(diagnostic: ir.Diagnostic) -> bool:
            if diagnostic.severity == ir.DiagnosticSeverity.ERROR:
                self.lines.append(f"{_location(diagnostic.location)}: error: {diagnostic.message}")
                return True
            return False

        self._handler = self.context.attach_diagnostic_handler(handle)
        return self

    def __exit__(self, *exc: object) -> None:
        self._handler.detach()


def verify(module: ir.Module, after: str) -> None:
    """Check the whole program; raises ``PassFailure`` with every diagnostic."""
    with _Collector(module.context) as collected:
        try:
            good = module.operation.verify()
        except ir.MLIRError as error:
            collected.lines.extend(diagnostic_lines(error))
            good = False
        good = sparsebp.verify_program(module) and good
    if not good:
        raise PassFailure(f"the program is not valid {after}", collected.lines)


def run_stage(module: ir.Module, stage: Stage) -> None:
    """Run one stage and check what it leaves behind."""
    if isinstance(stage, Pass):
        name = stage.name
        with module.context, ir.Location.unknown():
            stage.apply(module)
    else:
        name = stage
        run_mlir_passes(module, f"builtin.module({stage})")
    verify(module, f"after {name}")


def run_mlir_passes(module: ir.Module, pipeline: str) -> None:
    """Run passes of MLIR's or torch-mlir's own; raises ``UsageError`` or ``PassFailure``."""
    with module.context:
        try:
            manager = PassManager.parse(pipeline)
        except ValueError as error:
            reason = str(error).strip().splitlines()[-1].removeprefix("error: ")
            raise UsageError(f"cannot parse the pass pipeline '{pipeline}': {reason}") from None
        try:
            manager.run(module.operation)
        except ir.MLIRError as error:
            raise PassFailure(f"pass pipeline '{pipeline}' failed", list(diagnostic_lines(error))) from None


def run_pipeline(
    module: ir.Module,
    stages: Sequence[Stage],
    printing: Printing | None = None,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Run ``stages`` in order; ``progress`` is told each stage's name before it runs."""
    for stage in stages:
        name = stage.name if isinstance(stage, Pass) else stage
        if progress is not None:
            progress(name)
        run_stage(module, stage)
        if printing is not None:
            printing.after(name, module)


def parse_module(text: str, context: ir.Context, source: str = "-") -> ir.Module:
    """Parse and check a program; raises ``PassFailure`` with MLIR's diagnostics.

    ``source`` is the name that diagnostics give the text.
    """
    with context:
        try:
            module = ir.Module.parse(text)
        except ir.MLIRError as error:
            lines = [line.replace("-:", f"{source}:", 1) for line in diagnostic_lines(error)]
            raise PassFailure(f"cannot parse {source}", lines) from None
    verify(module, f"as read from {source}")
    return module
