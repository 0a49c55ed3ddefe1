# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Running a command in a child process, so that the crash of a native library ends in a line like any error.

MLIR's and PyTorch's libraries run inside the process; one that runs into a bug, or out of memory, ends it.
"""

import mmap
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LONGEST = 200
_SHOW_CURSOR = "\x1b[?25h"

#: What the child is doing, in memory that the parent sees.
_doing = mmap.mmap(-1, _LONGEST)


def note(text: str) -> None:
    """Say what is being done, for the line that reports a crash."""
    _doing[:] = text.encode()[:_LONGEST].ljust(_LONGEST, b"\0")


def supervised(command: Callable[[], NoReturn]) -> NoReturn:
    """Run ``command`` in a child process and exit as it does; with 1 and a line if a signal ended it."""
    child = os.fork()
    if child == 0:
        # Signals come from the parent alone, also those of a terminal: each once.
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, _leave)
        signal.signal(signal.SIGHUP, _leave)
        command()
    for number in _FORWARDED:
        signal.signal(number, lambda received, _: _forward(child, received))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status >= 0:
        sys.exit(status)
    if sys.stderr.isatty():
        sys.stderr.write(_SHOW_CURSOR)
    phase = bytes(_doing).rstrip(b"\0").decode(errors="replace")
    print(f"error: {_crash(-status)}{f' while {phase}' if phase else ''}", file=sys.stderr)
    sys.exit(1)


def _leave(number: int, _: object) -> NoReturn:
    """End as Python ends, so that temporary files go and child processes with them."""
    sys.exit(128 + number)


def _forward(child: int, number: int) -> None:
    try:
        os.kill(child, number)
    except ProcessLookupError:
        return


def _crash(number: int) -> str:
    if number == signal.SIGKILL:
        return "the compiler was killed, perhaps for want of memory,"
    return f"the compiler crashed ({signal.strsignal(number) or f'signal {number}'})"
