# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Errors of benchmarks, each one line."""


class BenchmarkError(Exception):
    """A mistake in what a benchmark was asked for, or a file that is none."""


class Unsupported(Exception):
    """A contestant cannot do this work: a row of the result, with this reason."""


def reason(error: BaseException) -> str:
    """An exception as one line."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    line = line if len(line) <= 200 else line[:197] + "..."
    if isinstance(error, Unsupported):
        return line
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
