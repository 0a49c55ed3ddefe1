# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Errors that are the user's to mend: each is one line saying what, where, and what instead."""

from collections.abc import Sequence


class PockError(Exception):
    """A mistake in what the compiler was given; commands print ``lines`` and exit with status 1."""

    def lines(self) -> list[str]:
        """What to tell the user."""
        return [f"error: {self}"]


class PassFailure(PockError):
    """A pass could not transform the program. ``diagnostics`` are MLIR's, as ``location: message``."""

    def __init__(self, message: str, diagnostics: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.diagnostics = tuple(diagnostics)

    def lines(self) -> list[str]:
        """The diagnostics, which hold the message, or the message alone."""
        return list(self.diagnostics) or super().lines()


class UsageError(PockError):
    """A mistake in how a command was called; exit status 2."""
