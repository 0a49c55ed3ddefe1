# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Errors of profiles, each one line."""

from pock.compiler.errors import PockError


class ProfileError(PockError):
    """A program that cannot be profiled here."""
