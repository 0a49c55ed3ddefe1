# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Files that are either whole or not there, and their digests."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

CHUNK = 1 << 20


def write_durably(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Let ``write`` fill a file beside ``path``, bring it to the disk, and put it in ``path``'s place.

    Whatever fails, an ``OSError`` included, leaves ``path`` as it was and no other file behind.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    # The rename itself is only on the disk once the directory is.
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def sha256(path: Path) -> str:
    """The hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
