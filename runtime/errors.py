# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Errors of the runtime: each message is one line saying what is wrong, where, and what instead."""

import re


class PockRuntimeError(RuntimeError):
    """Base of everything that the runtime raises on purpose."""


class ArtifactError(PockRuntimeError):
    """A compiled program or its parameter archive is missing, damaged or of another version."""


class DeviceError(PockRuntimeError):
    """A device is not there, or failed while it ran the program."""


class InputError(PockRuntimeError):
    """An array or hyperparameter does not fit the program's."""


class CheckpointError(PockRuntimeError):
    """A checkpoint cannot be written, is damaged, or belongs to another program."""


class DataError(PockRuntimeError):
    """A data set cannot be read or does not fit the program."""


class TrainingDiverged(PockRuntimeError):
    """The loss or the state stopped being finite."""


_NOISE = re.compile(r"^Error [a-z ]+: |\S+\.(?:c|cc|h):\d+: |<vm>:\d+: |\b[A-Z_]{4,}; ")
_LENGTH = 200


def reason(error: BaseException) -> str:
    """The gist of a foreign error: its first line, without IREE's status code and C source locations."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = _NOISE.sub("", lines[0]).rstrip(": ;")
    return text if len(text) <= _LENGTH else text[: _LENGTH - 1] + "…"
