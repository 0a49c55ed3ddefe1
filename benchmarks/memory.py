# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A process's own memory, as Linux counts it."""

import sys
from contextlib import suppress
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _field(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def resident() -> int:
    """Bytes that the process holds."""
    if not _STATUS.exists():
        return peak()
    return _field("VmRSS")


def peak() -> int:
    """The most bytes that the process has held since it started, or since ``forget_peak``."""
    if _STATUS.exists():
        return _field("VmHWM")
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def forget_peak() -> None:
    """Let ``peak`` begin anew, where the kernel allows it."""
    with suppress(OSError):
        _CLEAR.write_text("5")
