# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A child process of the benchmark's, from the parent's side."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import Unsupported

#: Each framework has its own names for the number of threads, and its own noise.
_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


_TICKS = os.sysconf("SC_CLK_TCK")


def busy_seconds() -> tuple[float, float]:
    """The processor time of all processes since the system started, and all that there was to use.

    What a hypervisor gave to others counts as used. Zeros where the system does not tell.
    """
    statistics = Path("/proc/stat")
    if not statistics.exists():
        return 0.0, 0.0
    # user nice system idle iowait irq softirq steal; guests are part of user.
    times = [int(field) / _TICKS for field in statistics.read_text().split("\n", 1)[0].split()[1:9]]
    return sum(times) - times[3] - times[4], sum(times)


class Child:
    """A Python module run with ``-m``, asked and answering in lines of JSON.

    It may use so many processors as it has ``threads``. Its end, in whatever way, is ``Unsupported``, with
    the reason that it gave or else the last line that it printed.
    """

    def __init__(self, module: str, job: Mapping[str, Any], threads: int) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 closed by end()
        processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **_ENVIRONMENT, **dict.fromkeys(_THREADS, str(threads))},
            bufsize=0,
        )
        if processors:
            os.sched_setaffinity(self._process.pid, processors[:threads])
        self._buffer = b""
        self.tell(job)

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a line."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
        except BrokenPipeError:
            raise Unsupported(self._ending()) from None

    def answer(self, seconds: float) -> dict[str, Any]:
        """The next line that the child says, within so many seconds."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                self.end()
                raise Unsupported(f"took longer than {seconds:.0f} s")
            chunk = os.read(self._process.stdout.fileno(), 1 << 20)
            if not chunk:
                raise Unsupported(self._ending())
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            self.end()
            raise Unsupported(message["error"])
        return message

    def cpu_seconds(self) -> float:
        """The processor time that the child has used, 0 where the system does not tell."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def end(self) -> None:
        """End the child, if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._errors.close()

    def _ending(self) -> str:
        status = self._process.wait()
        self._errors.seek(0)
        lines = [line for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        self.end()
        if status < 0:
            return f"crashed ({signal.strsignal(-status) or f'signal {-status}'})"
        return lines[-1].strip()[:200] if lines else f"ended with status {status}"
