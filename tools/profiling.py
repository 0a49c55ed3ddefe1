# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the commands share about profiles: what may be asked for, and what comes of it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from pock.benchmarks.profile.results import Profile

WIDE = 200
"""Columns where nobody's terminal says how many there are."""


@dataclass(frozen=True)
class Outputs:
    """Where profiles go besides standard output."""

    json: Path | None = None
    picture: Path | None = None

    def check(self) -> None:
        """Raise ``UsageError`` for what cannot be written, before anything is measured."""
        from pock.benchmarks.profile.picture import check_picture
        from pock.compiler.errors import UsageError

        if self.picture is not None:
            check_picture(self.picture)
        if self.json is not None and not self.json.absolute().parent.is_dir():
            raise UsageError(f"cannot write {self.json}: there is no folder {self.json.absolute().parent}")

    def write(self, profile: "Profile", named: str = "") -> list[Path]:
        """Write a profile's files, whose names get ``named`` at the end; the files."""
        from pock.benchmarks.profile.picture import picture
        from pock.compiler.files import write_bytes

        makers: list[tuple[Path | None, Callable[[str], bytes]]] = [
            (self.json, lambda _: profile.to_json().encode()),
            (self.picture, lambda suffix: picture(profile, suffix)),
        ]
        written = []
        for path, make in makers:
            if path is not None:
                own = path.with_stem(f"{path.stem}-{named}") if named else path
                write_bytes(str(own), make(own.suffix.lower().removeprefix(".")))
                written.append(own)
        return written


def print_profile(profile: "Profile") -> None:
    """A profile's tables, on standard output."""
    from pock.benchmarks.profile.report import show

    show(profile, Console() if sys.stdout.isatty() else Console(width=WIDE))
