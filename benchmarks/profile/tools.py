# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Running a compiled program with the tools of IREE's runtime, and reading what they measure."""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from iree.runtime.benchmark import benchmark_exe
from numpy.typing import NDArray

from .errors import ProfileError

_ELEMENTS = {
    "float64": "f64", "float32": "f32", "float16": "f16", "bfloat16": "bf16", "bool": "i1",
    "int64": "i64", "int32": "i32", "int16": "i16", "int8": "i8", "uint8": "ui8",
}  # fmt: skip

_BUNDLE = "profile.ireeprof"


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards; raises ``ProfileError`` where there is no room for it."""
    try:
        with tempfile.TemporaryDirectory(prefix="pock-") as name:
            yield Path(name)
    except OSError as error:
        raise ProfileError(f"cannot keep temporary files: {error.strerror or error}") from None


@dataclass(frozen=True)
class Event:
    """Something that a device did; times in seconds. ``name`` is that of a dispatch's kernel, else empty."""

    name: str
    start: float
    end: float


Step = tuple[list[Event], list[Event]]
"""The dispatches of a call in the order in which they were issued, and what else the device did for it."""


@dataclass(frozen=True)
class Call:
    """A function of a compiled program and its arguments, in IREE's syntax, run by so many threads."""

    program: Path
    function: str
    arguments: Sequence[str]
    threads: int
    parameters: str = ""
    """``scope=path`` of external parameters."""

    def _command(self) -> list[str]:
        # A device of one thread runs in the caller's, so that nothing is handed over.
        device = "local-sync" if self.threads == 1 else "local-task"
        parameters = [f"--parameters={self.parameters}"] if self.parameters else []
        return [
            benchmark_exe(), f"--module={self.program}", f"--device={device}", "--device_allocator=caching",
            f"--task_topology_max_group_count={self.threads}", f"--function={self.function}",
            *parameters, *(f"--input={argument}" for argument in self.arguments), "--benchmark_format=json",
        ]  # fmt: skip

    def seconds(self, calls: int) -> list[float]:
        """The times of so many calls, which are not profiled; raises ``ProfileError``."""
        # A repetition is a call, so that each has its time.
        flags = ["--benchmark_min_time=1x", f"--benchmark_repetitions={calls}"]
        output = json.loads(_run([*self._command(), *flags]))
        units = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
        return [
            b["real_time"] * units[b["time_unit"]]
            for b in output["benchmarks"]
            if b["run_type"] == "iteration"
        ]

    def profiled(self, calls: int, folder: Path, kernels: Sequence[str] | None = None) -> list[Step]:
        """What the device did in each of so many calls.

        Each dispatches ``kernels`` in this order, which is checked if they are given. Raises
        ``ProfileError``.
        """
        flags = [
            f"--benchmark_min_time={calls}x", "--device_profiling_mode=host-execution",
            f"--device_profiling_output={folder / _BUNDLE}",
        ]  # fmt: skip
        _run([*self._command(), *flags])
        rows = _rows("dispatch", folder / _BUNDLE, "--dispatch_events")
        rows = [row for row in rows if row["type"] == "host_dispatch_event"]
        # Where commands are recorded first, they have an index, and may run in another order.
        rows.sort(key=lambda row: (row["submission_id"], row["command_index"], row["start_host_time_ns"]))
        dispatches = _chunks([_event(row, row["key"]) for row in rows], calls)
        if kernels is not None and any(
            [event.name for event in chunk] != list(kernels) for chunk in dispatches
        ):
            raise ProfileError("iree-profile reports other dispatches than were compiled")
        rows = _rows("queue", folder / _BUNDLE)
        rows = [row for row in rows if row["type"] == "host_execution_event" and row["op"] != "dispatch"]
        rows.sort(key=lambda row: row["event_id"])
        others = _chunks([_event(row, "") for row in rows], calls)
        return list(zip(dispatches, others, strict=True))


def _chunks(events: list[Event], count: int) -> list[list[Event]]:
    """Events in order, as so many equal parts."""
    size, rest = divmod(len(events), count)
    if rest:
        raise ProfileError(f"iree-profile reports {len(events)} events of {count} calls that do the same")
    return [events[i * size : (i + 1) * size] for i in range(count)]


def _event(row: dict[str, Any], name: str) -> Event:
    return Event(name, row["start_host_time_ns"] * 1e-9, row["end_host_time_ns"] * 1e-9)


def _rows(report: str, bundle: Path, *flags: str) -> list[dict[str, Any]]:
    tool = str(Path(benchmark_exe()).with_name("iree-profile"))
    output = _run([tool, report, str(bundle), "--format=jsonl", *flags])
    return [json.loads(line) for line in output.splitlines() if line.strip()]


def _run(command: Sequence[str]) -> str:
    """The standard output of a tool; raises ``ProfileError``."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise ProfileError(f"cannot run {name}: {error.strerror}") from None
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise ProfileError(f"{name} failed: {lines[0][:300] if lines else f'status {done.returncode}'}")
    return done.stdout


def argument(array: NDArray[Any], path: Path) -> str:
    """An array as an argument, whose elements are written to ``path``."""
    path.write_bytes(np.ascontiguousarray(array).tobytes())
    return f"{typed(array.shape, array.dtype.name)}=@{path}"


def typed(shape: Sequence[int], dtype: str) -> str:
    """A shape and the name of a dtype in IREE's syntax: ``2x3xf32``."""
    return "x".join([*map(str, shape), _ELEMENTS[dtype]])
