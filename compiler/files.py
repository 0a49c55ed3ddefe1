# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reading what the user names, and writing results whole or not at all."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import PockError


def read_bytes(name: str) -> bytes:
    """The contents of a file, or of standard input for ``-``; raises ``PockError``."""
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise PockError(f"cannot read {name}: {error.strerror}") from None


def write_bytes(name: str, data: bytes) -> None:
    """Write a file (see ``replacing``), or standard output for ``-``; raises ``PockError``."""
    if name != "-":
        with replacing(Path(name)) as stream:
            stream.write(data)
        return
    try:
        sys.stdout.flush()
        # Past Python's buffer, which would fail once more when the process ends.
        view = memoryview(data)
        while view:
            view = view[os.write(sys.stdout.fileno(), view) :]
    except OSError as error:
        raise PockError(f"cannot write standard output: {error.strerror}") from None


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A stream whose contents become the file ``path`` when the block ends without an exception.

    They are written beside it, synced and renamed, so that nobody sees half a file; after an exception
    the file is what it was. What is no regular file (a device, a pipe) is written to as it is. Raises
    ``PockError`` when writing fails.
    """
    try:
        target = path.resolve()
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):
            with target.open("wb") as stream:
                yield stream
            return
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with beside.open("xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise PockError(f"cannot write {path}: {error.strerror}") from None
