# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``pock-compile``: from a training task to a ``.vmfb``."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

from rich.console import Console
from typer import Argument, Option

from .command import run
from .phases import Phases
from .profiling import Outputs, print_profile
from .supervised import supervised

if TYPE_CHECKING:
    from pock.benchmarks.profile.results import Profile
    from pock.compiler.driver import Coverage, Request, Result

_COMPILER = ("iree", "packaging", "pydantic", "torch_mlir", "yaml")
"""What the extra 'compiler' installs, by the names that are imported."""


def pock_compile(
    task: Annotated[
        str,
        Argument(
            metavar="TASK",
            help="What to train: 'file.py:name' of a TrainingTask or of a function that returns one, or a "
            "training program that --emit=program has written.",
        ),
    ],
    scheme: Annotated[
        str,
        Option(
            "--scheme",
            "-s",
            metavar="FILE|NAME",
            help="What of it to train: a YAML file of update rules, or 'full', 'bias-only' or 'none'.",
        ),
    ] = "full",
    optimizer: Annotated[
        str,
        Option(
            "--optimizer",
            "-O",
            metavar="NAME[:OPTION=VALUE,…]",
            help="sgd, adam, adamw or lion, as in 'sgd:momentum=0.9,nesterov=true'. The learning rate is an "
            "input of each step.",
        ),
    ] = "sgd",
    target: Annotated[
        str,
        Option(
            "--target",
            "-t",
            metavar="NAME[:OPTIONS]",
            help="Where to train: cpu (this machine's), 'cpu:cortex-a72,triple=aarch64-linux-gnu', "
            "cuda:sm_87, vulkan:adreno, metal.",
        ),
    ] = "cpu",
    output: Annotated[
        str | None,
        Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write. By default model.vmfb, model.pock for a program, and '-', standard output, "
            "for text.",
        ),
    ] = None,
    emit: Annotated[
        str,
        Option(
            metavar="STAGE",
            help="What to write: vmfb, the compiled program; program, a file from which any scheme can be "
            "compiled without PyTorch; or MLIR: torch (as traced), sparsebp (masks and gradient "
            "operations), pruned (what the scheme leaves of the backward pass), linalg (what IREE is given).",
        ),
    ] = "vmfb",
    parameters: Annotated[
        str,
        Option(
            metavar="WHERE",
            help="Where the initial parameters are: 'embedded' in the .vmfb, or 'external', in a "
            ".safetensors archive beside it.",
        ),
    ] = "embedded",
    cores: Annotated[
        int,
        Option(
            min=1,
            metavar="N",
            help="How many cores of the CPU train. With more than one a step is divided among them "
            "where that pays: by its batch, as it does for convolutional networks, or, for one "
            "example, by the channels of its layers. The program runs on other numbers of cores, too; "
            "one divided by channels is slower on fewer.",
        ),
    ] = 1,
    profile: Annotated[
        bool,
        Option(
            "--profile",
            help="Run the program on this machine, and print which layers and dispatches its time goes to "
            "and what of the machine's peak they reach.",
        ),
    ] = False,
    profile_json: Annotated[
        Path | None, Option(metavar="FILE", help="Write the profile to FILE, with every dispatch.")
    ] = None,
    profile_picture: Annotated[
        Path | None, Option(metavar="FILE", help="Draw the profile: .svg, .png or .pdf (needs matplotlib).")
    ] = None,
    profile_threads: Annotated[
        int | None,
        Option(min=1, metavar="N", help="Threads that a profile runs with; by default one a processor."),
    ] = None,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> int:
    """Compile a training task to a program that trains on a device without PyTorch.

    A task is a PyTorch model with an example batch and a loss. The scheme says which parameters, and which
    channels of them, a training step updates; what only others would need is left out of the program.

    \b
    Examples:
      pock-compile net.py:task -o net.vmfb
      pock-compile net.py:task -s sparse.yaml -O adamw:weight_decay=0.01 -o sparse.vmfb
      pock-compile net.py:task -s sparse.yaml --emit=pruned     # read what is left of the backward pass
      pock-compile net.py:task --emit=program -o net.pock       # and then, without PyTorch:
      pock-compile net.pock -s bias-only -t vulkan:adreno -o net.vmfb
      pock-compile net.py:task -s sparse.yaml --profile --profile-picture net.svg   # where does the time go?
    """
    from pock.compiler.driver import Request

    request = Request(task, scheme, optimizer, target, _output(output, emit), emit, parameters, cores)
    outputs = Outputs(profile_json, profile_picture)
    wanted = profile or outputs != Outputs()
    if wanted:
        _check_profile(request)
        outputs.check()
    console = Console(stderr=True, highlight=False, quiet=quiet)
    result = _compile(request, console)
    if wanted:
        found = _profiled(request, result, profile_threads, console)
        print_profile(found)
        for path in outputs.write(found):
            _print(console, "wrote", f"{path} ({_size(path.stat().st_size)})")
    return 0


def _check_profile(request: "Request") -> None:
    """Raise ``UsageError`` for a request whose result cannot be profiled here."""
    from pock.compiler.driver import target_of
    from pock.compiler.errors import UsageError

    if request.emit != "vmfb":
        raise UsageError(f"--profile runs the compiled program, which --emit={request.emit} does not make")
    if request.cores > 1:
        raise UsageError("--profile looks at all cores sharing a step; leave out --cores")
    if not (target := target_of(request)).is_host:
        raise UsageError(f"--profile runs the program here: the target has to be 'cpu', got '{target}'")


def _profiled(request: "Request", result: "Result", threads: int | None, console: Console) -> "Profile":
    from pock.benchmarks.machine import processors
    from pock.benchmarks.profile.measure import profile
    from pock.benchmarks.profile.peaks import measure_peaks

    assert result.artifact is not None
    threads = threads or processors()
    about = {"scheme": request.scheme, "optimizer": request.optimizer}
    with Phases(console) as phases:
        phases("measuring the machine")
        peaks = measure_peaks(threads)
        phases("profiling")
        commands = result.artifact.commands
        return profile(Path(request.output), commands, threads, peaks, about=about)


def _output(output: str | None, emit: str) -> str:
    if output is not None:
        return output
    return {"vmfb": "model.vmfb", "program": "model.pock"}.get(emit, "-")


def _compile(request: "Request", console: Console) -> "Result":
    """Compile, and say on ``console`` what is being done and what came out."""
    from pock.compiler.driver import compile_task

    with Phases(console) as phases:
        result = compile_task(request, phases)
    if result.files:
        for label, text in (*_summary(result), ("time", phases.summary())):
            _print(console, label, text)
    return result


def _print(console: Console, label: str, text: str) -> None:
    """A line with a label."""
    console.print(f"[bold]{label:<8}[/bold]", end="")
    console.print(text, soft_wrap=True, markup=False)


def _summary(result: "Result") -> Iterator[tuple[str, str]]:
    """The lines about a result, each with a label."""
    for path in result.files:
        yield "wrote", f"{path} ({_size(path.stat().st_size)})"
    if result.artifact is not None and result.coverage is not None:
        metadata = result.artifact.metadata
        yield "trains", _trained(result.coverage)
        yield "model", f"{metadata['model']} for {metadata['target']}"
        if shards := metadata.get("shards"):
            yield "batch", f"in {shards['count']} parts, each on one core"
        if ranks := metadata.get("ranks"):
            yield "channels", f"shared by {ranks['count']} cores"
        memory = metadata["memory"]
        yield "memory", f"{_size(memory['transient'])} during a step, {_size(memory['state'])} of state"
        for text in result.artifact.notes:
            yield "note", text


def _trained(coverage: "Coverage") -> str:
    partly = f" ({coverage.partly} in part)" if coverage.partly else ""
    share = coverage.elements / max(coverage.of_elements, 1)
    return (
        f"{coverage.parameters} of {coverage.of_parameters} parameters{partly}, "
        f"{coverage.elements:,} of {coverage.of_elements:,} values ({share:.1%})"
    )


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 10_000 else f"{count / 1e3:.2f} kB"


def _explain(error: Exception) -> tuple[int, Sequence[str]] | None:
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in _COMPILER:
        return 1, [f"error: the compiler is not installed ({error}): pip install 'pock[compiler]'"]
    from pock.compiler.errors import PockError, UsageError

    if isinstance(error, PockError):
        return 2 if isinstance(error, UsageError) else 1, error.lines()
    return None


def main() -> NoReturn:
    """The console script."""
    # A task's file may import what lies in the folder that the command runs in.
    sys.path.insert(0, str(Path.cwd()))
    supervised(lambda: run(pock_compile, _explain, sys.argv[1:]))
