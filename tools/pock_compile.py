# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``pock-compile``: from a training task to a ``.vmfb``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

from typer import Argument, Option

from pock.compiler.errors import PockError, UsageError

from .command import run


def pock_compile(
    task: Annotated[
        str,
        Argument(
            metavar="TASK",
            help="What to train: 'file.py:name' of a TrainingTask or of a function that returns one, or a saved "
            "training program.",
        ),
    ],
    scheme: Annotated[
        str,
        Option(
            "--scheme",
            "-s",
            metavar="FILE|NAME",
            help="A YAML file of update rules, or 'full', 'bias-only', 'none'.",
        ),
    ] = "full",
    optimizer: Annotated[
        str,
        Option(
            "--optimizer",
            "-O",
            metavar="NAME[:OPTION=VALUE,...]",
            help="sgd, adam, adamw or lion, e.g. 'sgd:momentum=0.9,nesterov=true' or 'adamw:weight_decay=0.01'. The "
            "learning rate is an input of each step.",
        ),
    ] = "sgd",
    target: Annotated[
        str,
        Option(
            "--target",
            "-t",
            metavar="NAME[:OPTIONS]",
            help="cpu, 'cpu:cortex-a72,triple=aarch64-linux-gnu', cuda:sm_87, vulkan:adreno, metal.",
        ),
    ] = "cpu",
    output: Annotated[
        str | None, Option("-o", metavar="FILE", help="Where to write. '-' is standard output, for text.")
    ] = None,
    emit: Annotated[
        str,
        Option(
            metavar="STAGE",
            help="torch (as traced), sparsebp (masks and gradient operations), pruned (what the scheme leaves), "
            "linalg (what IREE is given), program (a file to compile any scheme from without PyTorch) or vmfb.",
        ),
    ] = "vmfb",
    parameters: Annotated[
        str, Option(metavar="WHERE", help="'embedded' in the .vmfb or 'external', an archive beside it.")
    ] = "embedded",
    quiet: Annotated[bool, Option("--quiet", "-q", help="Print errors only.")] = False,
) -> int:
    """Compile a training task: a PyTorch model, an update scheme and an optimizer to a training program.

    The scheme says which parameters, and which channels of them, a training step updates; everything
    that only others would need is left out of the program.
    """
    from pock.compiler.driver import Request, compile_task

    return compile_task(
        Request(task, scheme, optimizer, target, _output(output, emit), emit, parameters),
        report=None if quiet else sys.stderr,
    )


def _output(output: str | None, emit: str) -> str:
    if output is not None:
        return output
    return {"vmfb": "model.vmfb", "program": "model.pock"}.get(emit, "-")


def _explain(error: Exception) -> tuple[int, Sequence[str]] | None:
    if isinstance(error, PockError):
        return 2 if isinstance(error, UsageError) else 1, error.lines()
    return None


def main() -> NoReturn:
    """The console script."""
    # A task's file may import what lies in the folder that the command runs in.
    sys.path.insert(0, str(Path.cwd()))
    run(pock_compile, _explain, sys.argv[1:])
