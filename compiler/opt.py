# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Pipelines of pock's and MLIR's own passes: parsing and running them.

A pipeline is mlir-opt's text, ``builtin.module(a{option=value},func.func(canonicalize),b)``; names that
pock's registry knows run here, everything else goes to MLIR's pass manager.
"""

import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TextIO

from torch_mlir import ir
from torch_mlir.passmanager import PassManager

from pock.dialects import sparsebp

from .errors import PassFailure, PockError, UsageError
from .passes import get_pass
from .passes.base import Pass, describe

Stage = Pass | str
"""A pass of pock's, or the text of a pass or nested pipeline of MLIR's."""

_ELEMENT = re.compile(r"([A-Za-z0-9_.-]+)\s*(.*)", re.DOTALL)


def split_pipeline(text: str) -> list[str]:
    """The elements of a pipeline between its top-level commas; quoted text is left alone."""
    depth, start, elements = 0, 0, []
    for match in re.finditer(r'"[^"]*"|[({})],?|,', text):
        token = match[0]
        if token[0] in "({":
            depth += 1
        elif token[0] in ")}":
            depth -= 1
            if depth < 0:
                raise UsageError(
                    f"pass pipeline closes a bracket that it did not open, at character {match.start() + 1}"
                )
        if token[-1] == "," and depth == 0:
            elements.append(text[start : match.end() - 1])
            start = match.end()
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


def stage_of_flag(flag: str) -> Stage:
    """The stage that a flag names, ``--pass`` or ``--pass=option=value …``; raises ``UsageError``."""
    name, _, options = flag.removeprefix("--").partition("=")
    element = f"{name}{{{options}}}" if options else name
    if name.startswith("sparsebp-"):
        return parse_pipeline(f"builtin.module({element})")[0]
    for stage in (element, f"func.func({element})"):
        try:
            _pass_manager(f"builtin.module({stage})", sparsebp.context())
        except UsageError as error:
            reason = error
        else:
            return stage
    raise UsageError(f"no option or pass is named '--{name}'") if not options else reason


def check_stages(stages: Sequence[Stage], context: ir.Context) -> None:
    """Raise ``UsageError`` for a stage of MLIR's that its pass manager does not take."""
    for stage in stages:
        if isinstance(stage, str):
            _pass_manager(f"builtin.module({stage})", context)


@dataclass
class Printing:
    """What to print while a pipeline runs, to ``stream``."""

    after_all: bool = False
    debug_info: bool = False
    stream: TextIO = field(default_factory=lambda: sys.stderr)

    def after(self, name: str, module: ir.Module) -> None:
        if self.after_all:
            print(f"// -----// IR Dump After {name} //----- //", file=self.stream)
            print(print_module(module, self.debug_info), file=self.stream)


def print_module(module: ir.Module, debug_info: bool = False) -> str:
    """The text of a valid program, with locations if ``debug_info`` is set."""
    text: str = module.operation.get_asm(enable_debug_info=debug_info, assume_verified=True)
    return text.rstrip("\n") + "\n"


def diagnostic_lines(error: ir.MLIRError) -> Iterator[str]:
    """MLIR's diagnostics as ``file:line:column: error: message`` lines."""
    for diagnostic in error.error_diagnostics:
        yield from _lines(diagnostic)


def _lines(diagnostic: Any) -> Iterator[str]:
    severity = diagnostic.severity.name.lower()
    yield f"{describe(diagnostic.location)}: {severity}: {diagnostic.message}"
    for note in diagnostic.notes:
        yield f"{describe(note.location)}: note: {note.message}"


class Diagnostics:
    """Collects what is emitted in a context, as text: errors only, or remarks and warnings as well."""

    def __init__(self, context: ir.Context, errors_only: bool = True) -> None:
        self.context = context
        self.errors_only = errors_only
        self.lines: list[str] = []

    def __enter__(self) -> Self:
        def handle(diagnostic: ir.Diagnostic) -> bool:
            if self.errors_only and diagnostic.severity != ir.DiagnosticSeverity.ERROR:
                return False
            self.lines.extend(_lines(diagnostic))
            return True

        self._handler = self.context.attach_diagnostic_handler(handle)
        return self

    def __exit__(self, *exc: object) -> None:
        self._handler.detach()


def verify(module: ir.Module, after: str | None = None) -> None:
    """Check the whole program; raises ``PassFailure`` with every diagnostic.

    ``after`` names the pass that left the program, for the note that blames it.
    """
    with Diagnostics(module.context) as collected:
        try:
            good = module.operation.verify()
        except ir.MLIRError as error:
            collected.lines.extend(diagnostic_lines(error))
            good = False
        good = good and sparsebp.verify_program(module)
    if not good:
        blame = [f"note: the program is not valid after {after}"] if after else []
        raise PassFailure(
            f"the program is not valid{f' after {after}' if after else ''}", collected.lines + blame
        )


def _name(stage: Stage) -> str:
    return stage.name if isinstance(stage, Pass) else stage


def run_stage(module: ir.Module, stage: Stage, check: bool = True) -> None:
    """Run one stage and, with ``check``, verify what it leaves behind."""
    if isinstance(stage, Pass):
        _apply(stage, module)
    else:
        run_mlir_passes(module, f"builtin.module({stage})", check)
    if check:
        verify(module, _name(stage))


def _apply(stage: Pass, module: ir.Module) -> None:
    with blaming(stage.name), module.context, ir.Location.unknown():
        stage.apply(module)


@contextmanager
def blaming(name: str) -> Iterator[None]:
    """Turn what goes wrong in a pass into ``PassFailure``s that name it."""
    try:
        yield
    except PockError:
        raise
    except ir.MLIRError as error:
        raise PassFailure(f"pass '{name}' failed: {error}", list(diagnostic_lines(error))) from error
    except Exception as error:
        # A bug, or a program that the pass does not foresee: the user gets a line and not a traceback.
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise PassFailure(
            f"pass '{name}' cannot handle the program: {type(error).__name__}: {error} "
            f"({Path(where.filename).name}:{where.lineno})"
        ) from error


def _pass_manager(pipeline: str, context: ir.Context) -> PassManager:
    try:
        return PassManager.parse(pipeline, context=context)
    except ValueError as error:
        reason = str(error).strip().splitlines()[0]
        reason = re.sub(
            r"^(MLIR Textual PassPipeline Parser:\d+:\d+: error|<Pass-Options-Parser>): ", "", reason
        )
        raise UsageError(f"cannot use the pass pipeline '{pipeline}': {reason}") from None


def run_mlir_passes(module: ir.Module, pipeline: str, check: bool = True) -> None:
    """Run passes of MLIR's or torch-mlir's own; raises ``UsageError`` or ``PassFailure``.

    With ``check``, MLIR verifies the program after each.
    """
    manager = _pass_manager(pipeline, module.context)
    manager.enable_verifier(check)
    try:
        manager.run(module.operation)
    except ir.MLIRError as error:
        raise PassFailure(f"pass pipeline '{pipeline}' failed", list(diagnostic_lines(error))) from None


def run_pipeline(
    module: ir.Module,
    stages: Sequence[Stage],
    printing: Printing | None = None,
    verify_each: bool = True,
) -> None:
    """Run ``stages`` in order. The program is verified after each, or after the last only."""
    for stage in stages:
        run_stage(module, stage, verify_each)
        if printing is not None:
            printing.after(_name(stage), module)
    if stages and not verify_each:
        verify(module, ", ".join(map(_name, stages)))


#: Deeper brackets than any program has; MLIR's recursive parser overflows its stack from about 5,000.
MAX_NESTING = 1000

#: Text that is no code; unrolled, because constants are long strings.
_STRING_OR_COMMENT = r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"|//[^\n]*'

_BRACKET = re.compile(_STRING_OR_COMMENT + r"|->|>=|([\[({<])|([\])}>])")


def _nesting_problem(text: str, source: str) -> str | None:
    depth = 0
    for match in _BRACKET.finditer(text):
        if match[1]:
            depth += 1
            if depth > MAX_NESTING:
                return (
                    f"{_place(text, match.start(), source)}: error: brackets nest deeper than {MAX_NESTING}"
                )
        elif match[2]:
            depth = max(depth - 1, 0)
    return None


_BARE_OPERATION = re.compile(_STRING_OR_COMMENT + r"|(?<![#!.\w])(sparsebp\.\w+)")


def _silent_problem(text: str | bytes, source: str) -> str:
    """Why MLIR refuses ``text`` without a word: an operation defined through IRDL has no custom form."""
    for match in _BARE_OPERATION.finditer(text if isinstance(text, str) else ""):
        if match[1]:
            place = _place(match.string, match.start(), source)
            return f"{place}: error: '{match[1]}' is written in the generic form only, \"{match[1]}\"(...)"
    return f"{source}: error: MLIR cannot parse it and does not say why"


def _place(text: str, position: int, source: str) -> str:
    line = text.count("\n", 0, position) + 1
    return f"{source}:{line}:{position - text.rfind(chr(10), 0, position)}"


def parse_module(
    text: str | bytes, context: ir.Context, source: str = "-", *, from_file: bool = False
) -> ir.Module:
    """Parse and check a program, text or bytecode; raises ``PassFailure`` with MLIR's diagnostics.

    ``source`` is the name that errors give the text. In the locations of its operations the name is ``-``,
    unless ``from_file`` says that ``source`` is a regular file with just this text.
    """
    if isinstance(text, str) and (problem := _nesting_problem(text, source)):
        raise PassFailure(f"cannot parse {source}", [problem])
    try:
        module = ir.Module.parseFile(source, context) if from_file else ir.Module.parse(text, context)
    except ir.MLIRError as error:
        lines = named(diagnostic_lines(error), source) or [_silent_problem(text, source)]
        raise PassFailure(f"cannot parse {source}", lines) from None
    except RuntimeError as error:
        # The bindings' own, for a diagnostic that quotes an escape like \FF.
        raise PassFailure(f"cannot parse {source}: what is wrong in it is no UTF-8 text ({error})") from None
    try:
        verify(module)
    except PassFailure as failure:
        raise PassFailure(f"{source} is not valid", named(failure.diagnostics, source)) from None
    return module


def named(lines: Iterable[str], source: str) -> list[str]:
    """Diagnostics with ``source`` for ``-``, the name that parsed text goes by."""
    return [f"{source}:{line.removeprefix('-:')}" if line.startswith("-:") else line for line in lines]
