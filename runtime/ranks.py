# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Programs that are divided among cores from end to end.

A rank (``pock.runtime.metadata.Ranks``) is one core with a part of each layer's channels. Inside the
program's functions ranks tell one another what the others lack: they leave it in memory that all share, count
up their turn there, and spin until the others have. So all must run at the same time, each on a thread and
a device of its own, and none may be missing.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from .device import Array, Device, aligned_empty
from .errors import DeviceError, reason
from .feed import Feed
from .metadata import Ranks
from .program import Program, packed
from .stepping import Places, Refs, Stepped, required, views
from .workers import Worker

_DEVICE = "local-sync"

#: More turns than there are in any call.
_FAR = np.int32(2**30)

#: A turn is counted on a cache line of its own.
_LINE = 16


class Ranked:
    """Functions of one call for each rank, side by side: ``step`` is ``step`` of the first, ``step_1``, …

    Each is given what a program without ranks is given, with the rank's part of the state, and at last the
    memory for exchanges and the turns. Loss and outputs are the same from all.
    """

    def __init__(self, program: Program, ranks: Ranks, feeds: Sequence[Feed]) -> None:
        """``feeds`` are those of the inputs and targets. Raises ``DeviceError`` or ``PockRuntimeError``."""
        metadata = program.metadata
        self._program = program
        self._feeds = feeds
        self._functions = {
            name: [required(program, _named(name, rank)) for rank in range(ranks.count)]
            for name in ("init", "step", "predict", "evaluate")
            if name != "evaluate" or program.function(name) is not None
        }
        self._loss = program.function("loss")
        self._given = len(feeds) + len(metadata.hyperparameters)
        self._state = 1 + len(metadata.outputs)
        self._initial, self._returned = len(metadata.state), len(metadata.returned)
        # Views keep no array.
        self._exchange, self._turns = _memory(ranks)
        self.devices, runs = _places(program, ranks.count)
        self._shared = [(d.share(self._exchange), d.share(self._turns)) for d in self.devices]
        self._lanes = [_Lane(run, self._turns[rank, :1]) for rank, run in enumerate(runs)]
        self._workers = [Worker(lane) for lane in self._lanes[1:]]
        self._broken = self._torn = False

    @property
    def torn(self) -> bool:
        if self._broken:
            self._mend()
        return self._torn

    def init(self) -> Sequence[Any]:
        functions = self._functions["init"]
        self._program.turn_to(functions[0])
        return [
            lane.run(function, packed(()), self._initial)
            for lane, function in zip(self._lanes, functions, strict=True)
        ]

    def place(self, arrays: Sequence[Array]) -> Places:
        for worker in self._workers:
            worker.wake()
        return tuple([feed.place(array) for feed, array in zip(self._feeds, arrays, strict=True)])

    def pack(
        self, arrays: Sequence[Array], places: Places, scalars: Sequence[Any], state: Refs
    ) -> Sequence[Any]:
        return self._packed([*views(self._feeds, arrays, places), *scalars], state)

    def run(self, arguments: Sequence[Any]) -> Stepped:
        results = self._side_by_side("step", arguments, self._state + self._returned + 2)
        return Stepped(results, self._state, self._given, results[:1], 1)

    def forward(self, name: str, inputs: Sequence[Any], model: Refs) -> Any:
        return self._side_by_side(name, self._packed(inputs, model), self._state + 2)[0]

    def loss(self, given: Sequence[Any]) -> Any:
        return self._lanes[0].run(self._loss, packed(given), 1)

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        self._feeds, self._shared = [], []

    def _packed(self, given: Sequence[Any], state: Refs) -> Sequence[Any]:
        return tuple([packed([*given, *s, *shared]) for s, shared in zip(state, self._shared, strict=True)])

    def _side_by_side(self, name: str, arguments: Sequence[Any], results: int) -> Sequence[Any]:
        functions = self._functions[name]
        self._program.turn_to(functions[0])
        if self._broken:
            self._mend()
        self._torn, self._broken = False, True
        try:
            for rank, worker in enumerate(self._workers, 1):
                worker.ask((functions[rank], arguments[rank], results))
            returned = [self._lanes[0]((functions[0], arguments[0], results))]
            returned += [worker.answer() for worker in self._workers]
        except BaseException:
            self._mend()
            raise
        self._broken = False
        return returned

    def _mend(self) -> None:
        """Wait until all ranks do nothing, those that wait for one that is not coming too, and start anew."""
        # Whatever interrupts: all of this can be done twice.
        while self._broken:
            with suppress(BaseException):
                self._lanes[0].release()
                for worker, lane in zip(self._workers, self._lanes[1:], strict=True):
                    # Only the thread knows whether the rank has begun, or is about to.
                    if worker.running:
                        worker.ask(None)
                    else:
                        lane.release()
                for worker in self._workers:
                    worker.settle()
                self._torn = self._torn or len({lane.ended for lane in self._lanes}) > 1
                for lane in self._lanes:
                    lane.start()
                self._turns[...] = 0
                self._broken = False


class _Lane:
    """Calls the functions of one rank; all but the first rank's on a thread of its own."""

    def __init__(self, run: Callable[[Any, Any, int], Any], turn: Array) -> None:
        """``turn`` is what the rank counts up."""
        self.run = run
        self.ended = 0
        self._turn = turn
        self._released: Array | None = None

    def __call__(self, call: tuple[Any, Any, int] | None) -> Any:
        """``run`` with these arguments; none is for a rank that may not have been called."""
        try:
            returned = None if call is None else self.run(*call)
        except BaseException:
            self.release()
            raise
        if call is None:
            self.release()
        else:
            self.ended += 1
        return returned

    def release(self) -> None:
        """Let go of the ranks that wait for this one, which is not running, until ``start``."""
        if self._released is None:
            self._released = self._turn + _FAR
        self._turn[:] = self._released

    def start(self) -> None:
        """As it was at first."""
        self._released = None
        self.ended = 0


def _named(name: str, rank: int) -> str:
    return name if rank == 0 else f"{name}_{rank}"


def _memory(ranks: Ranks) -> tuple[Array, Array]:
    """For exchanges, and for turns."""
    try:
        exchange = aligned_empty((max(ranks.exchange, 1),), np.dtype(np.int8))
    except (MemoryError, OverflowError, ValueError) as error:
        raise DeviceError(f"no memory for what ranks exchange: {reason(error)}") from None
    turns = aligned_empty((ranks.count, _LINE), np.dtype(np.int32))
    turns[...] = 0
    return exchange, turns


def _places(program: Program, count: int) -> tuple[list[Device], list[Callable[[Any, Any, int], Any]]]:
    """For each rank its device, and what calls functions there."""
    here = program.device.uri == _DEVICE
    devices = [program.device if here else Device(_DEVICE)]
    devices += [Device(_DEVICE, number) for number in range(1, count)]
    runs = [program.beside(device) for device in devices[here:]]
    return devices, [program.run, *runs] if here else runs
