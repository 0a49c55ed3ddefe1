# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``pock-opt``: run passes over training programs."""

import re
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, NoReturn

from typer import Argument, Option

from pock.compiler.errors import PockError, UsageError
from pock.compiler.files import write_bytes
from pock.compiler.opt import Stage, parse_pipeline, stage_of_flag
from pock.compiler.opt_driver import Driver, list_passes

from .command import run


def pock_opt(
    arguments: Annotated[
        list[str] | None,
        Argument(
            metavar="[INPUT] [--PASS[=OPTIONS]]...", help="A program ('-': standard input) and passes to run."
        ),
    ] = None,
    output: Annotated[
        str, Option("-o", metavar="FILE", help="Where to write; '-' is standard output.")
    ] = "-",
    pass_pipeline: Annotated[
        str, Option(metavar="TEXT", help="Passes as 'builtin.module(a{option=1},b)'.")
    ] = "",
    passes_listed: Annotated[
        bool, Option("--list-passes", help="List pock's passes and their options.")
    ] = False,
    print_ir_after_all: Annotated[
        bool, Option("--mlir-print-ir-after-all", help="Print the program after each pass to standard error.")
    ] = False,
    print_debuginfo: Annotated[bool, Option("--mlir-print-debuginfo", help="Print locations.")] = False,
    split_input_file: Annotated[
        bool,
        Option("--split-input-file", help="Take what '// -----' lines separate as programs of their own."),
    ] = False,
    verify_diagnostics: Annotated[
        bool, Option("--verify-diagnostics", help="Check errors against 'expected-error' comments.")
    ] = False,
    allow_unregistered_dialect: Annotated[
        bool, Option("--allow-unregistered-dialect", help="Accept operations of unknown dialects.")
    ] = False,
    version_shown: Annotated[bool, Option("--version", help="Print the version.")] = False,
) -> int:
    """Run passes over a training program, with mlir-opt's habits."""
    if version_shown or passes_listed:
        write_bytes("-", (f"pock-opt {version('pock')}\n" if version_shown else list_passes()).encode())
        return 0
    flags = [a for a in arguments or () if a.startswith("--")]
    inputs = [a for a in arguments or () if not a.startswith("--")]
    if len(inputs) > 1:
        raise UsageError(f"takes one input, got {' and '.join(inputs)}")
    driver = Driver(
        allow_unregistered_dialect, print_debuginfo, print_ir_after_all, split_input_file, verify_diagnostics
    )
    return driver.run(inputs[0] if inputs else "-", output, _stages(pass_pipeline, flags))


def _stages(pipeline: str, flags: Sequence[str]) -> list[Stage]:
    if pipeline and flags:
        raise UsageError(f"--pass-pipeline and '{flags[0]}' exclude each other")
    return parse_pipeline(pipeline) if pipeline else [stage_of_flag(flag) for flag in flags]


def _explain(error: Exception) -> tuple[int, Sequence[str]] | None:
    if isinstance(error, PockError):
        return 2 if isinstance(error, UsageError) else 1, error.lines()
    return None


def main() -> NoReturn:
    """The console script."""
    # mlir-opt takes its long options with one dash as well.
    arguments = [re.sub(r"^-(?=[a-np-z][a-z])", "--", argument) for argument in sys.argv[1:]]
    run(pock_opt, _explain, arguments, ignore_unknown_options=True)
