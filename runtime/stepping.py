# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The calls that a program's training steps, and all else that it does, consist of."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from .device import Array, Device
from .errors import PockRuntimeError
from .feed import Feed
from .program import Program, packed

Places = tuple[int | None, ...]
"""Where a step's inputs are read, see ``Feed.place``."""

Refs = Sequence[Sequence[Any]]
"""For each rank, references to ``HalBufferView``s of its state; a program without ranks is one."""


class Stepped(NamedTuple):
    """What a step has returned, as lists of IREE's."""

    results: Sequence[Any]
    """For each rank: the loss, and from ``state`` on the state that is returned."""
    state: int
    given: int
    """How many arguments were before the state."""
    parts: Sequence[Any]
    """Lists that hold the outputs from ``outputs`` on; their parts follow one another in dimension 0."""
    outputs: int


class Stepping(Protocol):
    """How a program runs."""

    @property
    def devices(self) -> Sequence[Device]:
        """Those of its ranks, which hold the state."""

    @property
    def torn(self) -> bool:
        """Whether the last step, if something interrupted it, left the state neither old nor new."""

    def init(self) -> Sequence[Any]:
        """For each rank, the list of its initial state; raises ``DeviceError``."""

    def place(self, arrays: Sequence[Array]) -> Places:
        """Where the inputs and targets can be read; raises ``InputError`` if one does not fit."""

    def pack(
        self, arrays: Sequence[Array], places: Places, scalars: Sequence[Any], state: Refs
    ) -> Sequence[Any]:
        """The lists of arguments for inputs at ``places``, to be used again.

        The last ones, as many as there are ranks, are those with the state.
        """

    def run(self, arguments: Sequence[Any]) -> Stepped:
        """Take a step; raises ``DeviceError``."""

    def forward(self, name: str, inputs: Sequence[Any], model: Refs) -> Any:
        """The results of ``predict`` or ``evaluate``, for views and the model's state.

        Raises ``DeviceError``.
        """

    def loss(self, given: Sequence[Any]) -> Any:
        """The result of ``loss`` for the outputs of ``predict``, which was called last, and targets.

        Raises ``DeviceError``.
        """

    def close(self) -> None:
        """Let go of memory and threads."""


class Whole:
    """A program whose functions but for its steps are one call each."""

    torn = False

    def __init__(self, program: Program) -> None:
        """Raises ``PockRuntimeError``."""
        self._program = program
        self._init = required(program, "init")
        self._functions = {"predict": required(program, "predict"), "evaluate": program.function("evaluate")}
        self._loss = program.function("loss")
        self.devices = (program.device,)

    def init(self) -> Sequence[Any]:
        return (self._program.call(self._init, packed(()), len(self._program.metadata.state)),)

    def forward(self, name: str, inputs: Sequence[Any], model: Refs) -> Any:
        arguments = packed([*inputs, *model[0]])
        results = 1 + len(self._program.metadata.outputs)
        return self._program.call(self._functions[name], arguments, results)

    def loss(self, given: Sequence[Any]) -> Any:
        # Memory that ``predict`` wants again next time stays.
        return self._program.run(self._loss, packed(given), 1)


class Undivided(Whole):
    """A step of one call: ``step``, of inputs, targets, hyperparameters and state."""

    def __init__(self, program: Program, feeds: Sequence[Feed]) -> None:
        """``feeds`` are those of the inputs and targets. Raises ``PockRuntimeError``."""
        super().__init__(program)
        self._feeds = feeds
        self._step = required(program, "step")
        self._given = len(feeds) + len(program.metadata.hyperparameters)
        self._state = 1 + len(program.metadata.outputs)
        self._results = self._state + len(program.metadata.returned)

    def place(self, arrays: Sequence[Array]) -> Places:
        return tuple([feed.place(array) for feed, array in zip(self._feeds, arrays, strict=True)])

    def pack(
        self, arrays: Sequence[Array], places: Places, scalars: Sequence[Any], state: Refs
    ) -> Sequence[Any]:
        return (packed([*views(self._feeds, arrays, places), *scalars, *state[0]]),)

    def run(self, arguments: Sequence[Any]) -> Stepped:
        results = (self._program.call(self._step, arguments[0], self._results),)
        return Stepped(results, self._state, self._given, results, 1)

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
