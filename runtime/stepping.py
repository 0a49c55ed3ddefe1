# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The calls that a training step consists of."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from .device import Array
from .errors import PockRuntimeError
from .feed import Feed
from .program import Program, packed

Places = tuple[int | None, ...]
"""Where a step's inputs are read, see ``Feed.place``."""


class Stepped(NamedTuple):
    """What a step has returned, as lists of IREE's."""

    results: Any
    """The loss, and from ``state`` on the state."""
    state: int
    parts: Sequence[Any]
    """Lists that hold the outputs from ``outputs`` on; their parts follow one another in dimension 0."""
    outputs: int


class Stepping(Protocol):
    """How a program steps."""

    def place(self, arrays: Sequence[Array]) -> Places:
        """Where the inputs and targets can be read; raises ``InputError`` if one does not fit."""

    def pack(
        self, arrays: Sequence[Array], places: Places, scalars: Sequence[Any], state: Sequence[Any]
    ) -> Sequence[Any]:
        """The lists of arguments for inputs at ``places``, to be used again; the last ends with ``state``."""

    def run(self, arguments: Sequence[Any]) -> Stepped:
        """Take a step; raises ``DeviceError``."""

    def close(self) -> None:
        """Let go of memory and threads."""


class Undivided:
    """A step of one call: ``step``, of inputs, targets, hyperparameters and state."""

    def __init__(self, program: Program, feeds: Sequence[Feed]) -> None:
        """``feeds`` are those of the inputs and targets. Raises ``PockRuntimeError``."""
        self._program = program
        self._feeds = feeds
        self._step = required(program, "step")
        self._state = 1 + len(program.metadata.outputs)
        self._results = self._state + len(program.metadata.state)

    def place(self, arrays: Sequence[Array]) -> Places:
        return tuple([feed.place(array) for feed, array in zip(self._feeds, arrays, strict=True)])

    def pack(
        self, arrays: Sequence[Array], places: Places, scalars: Sequence[Any], state: Sequence[Any]
    ) -> Sequence[Any]:
        return (packed([*views(self._feeds, arrays, places), *scalars, *state]),)

    def run(self, arguments: Sequence[Any]) -> Stepped:
        results = self._program.call(self._step, arguments[0], self._results)
        return Stepped(results, self._state, (results,), 1)

    def close(self) -> None:
        self._feeds = []


def required(program: Program, name: str) -> Any:
    """The function ``name``; raises ``PockRuntimeError`` if there is none."""
    function = program.function(name)
    if function is None:
        raise PockRuntimeError(f"the program has no function '{name}'")
    return function


def views(feeds: Sequence[Feed], arrays: Sequence[Array], places: Sequence[int | None]) -> list[Any]:
    """The arrays as ``HalBufferView``s, where ``Feed.place`` has just found them; there may be more feeds."""
    return [feed.view(array, place) for feed, array, place in zip(feeds, arrays, places, strict=False)]
