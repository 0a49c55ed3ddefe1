# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Steps that are divided among cores.

Where all cores share the work of each dispatch they meet after each of hundreds, and what one needs next
lies in the other's cache. A program with shards (``pock.runtime.metadata.Shards``) lets each core take
a part of the batch through the whole of a step, on a device and a thread of its own; then ``update`` adds
up. What a shard computes does not depend on where, so neither does a result on the number of cores.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from operator import is_
from typing import Any, NamedTuple

from .device import Array, Device, aligned_empty
from .errors import DeviceError, reason
from .feed import Feed
from .inputs import check
from .metadata import Shards, TensorSpec
from .program import Program, packed
from .stepping import Places, Refs, Stepped, Whole, required, views
from .workers import Worker

_SHARD_DEVICE = "local-sync"

_Lane = Callable[[Sequence[Any]], list[Any]]


class _Reader(NamedTuple):
    """What of the inputs and targets is read as one array: all of one, or a shard's part of it."""

    feed: Feed
    pair: int
    part: slice | None

    def of(self, arrays: Sequence[Array]) -> Array:
        array = arrays[self.pair]
        return array if self.part is None else array[self.part]


class Sharded(Whole):
    """A step of one call of ``gradients`` for each shard, side by side, and one of ``update``.

    ``gradients`` is given inputs and targets, a part or whole, then those that it reads whole besides, state,
    and where to leave its partial sums; it returns parts of the outputs. ``update`` is given the sums of each
    shard, hyperparameters and state; it returns the loss, and the state that it does not leave where it was.
    State and sums lie in memory that all devices read and write; nothing is copied.
    """

    def __init__(self, program: Program, shards: Shards, feeds: Sequence[Feed], lanes: int) -> None:
        """``feeds`` are those of the inputs and targets, ``lanes`` is how many threads are to run shards.

        With one everything runs on the program's device. Raises ``DeviceError`` or ``PockRuntimeError``.
        """
        super().__init__(program)
        metadata = program.metadata
        self._gradients, self._update = (required(program, name) for name in ("gradients", "update"))
        self._pairs = (*metadata.inputs, *metadata.targets)
        self._readers, self._given = _readers(self._pairs, shards, feeds)
        names = [spec.name for spec in metadata.state]
        self._state = [names.index(name) for name in shards.state]
        # Views keep no array.
        self._memory = [_memory(shards.partials) for _ in range(shards.count)]
        self._partials = [_shared(program.device, arrays) for arrays in self._memory]
        self._summed: list[Any] = []
        self._sums: Any = None
        self._given_sums = shards.count * len(shards.partials) + len(metadata.hyperparameters)
        self._results = 1 + len(metadata.returned)
        self._lanes = _lanes(program, self._gradients, len(metadata.outputs) + len(shards.partials), lanes)
        self._workers = [Worker(lane) for lane in self._lanes[1:]]
        self._turns = [
            slice(k * shards.count // lanes, (k + 1) * shards.count // lanes) for k in range(lanes)
        ]

    def place(self, arrays: Sequence[Array]) -> Places:
        for array, spec in zip(arrays, self._pairs, strict=True):
            check(array, spec)
        return tuple([reader.feed.place(reader.of(arrays)) for reader in self._readers])

    def pack(
        self, arrays: Sequence[Array], places: Places, scalars: Sequence[Any], state: Refs
    ) -> Sequence[Any]:
        read = views([r.feed for r in self._readers], [r.of(arrays) for r in self._readers], places)
        states = [state[0][i] for i in self._state]
        shards = [
            packed([*(read[i] for i in given), *states, *partials])
            for given, partials in zip(self._given, self._partials, strict=True)
        ]
        return (*shards, self._sum_up(scalars, state[0]))

    def _sum_up(self, scalars: Sequence[Any], state: Sequence[Any]) -> Any:
        """The arguments of ``update``: the last ones, if it is still to be given the same."""
        given = [*scalars, *state]
        if self._sums is None or not all(map(is_, given, self._summed)):
            sums = [view for partials in self._partials for view in partials]
            self._summed, self._sums = given, packed([*sums, *scalars, *state])
        return self._sums

    def run(self, arguments: Sequence[Any]) -> Stepped:
        self._program.turn_to(self._gradients)
        try:
            for worker, turn in zip(self._workers, self._turns[1:], strict=True):
                worker.ask(arguments[turn])
            parts = self._lanes[0](arguments[self._turns[0]])
            for worker in self._workers:
                parts += worker.answer()
        except BaseException:
            # They read the caller's arrays, and write what the next step does.
            for worker in self._workers:
                worker.settle()
            raise
        results = self._program.run(self._update, arguments[-1], self._results)
        return Stepped((results,), 1, self._given_sums, parts, 0)

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        self._summed, self._sums = [], None
        self._readers, self._partials, self._memory = [], [], []


def _readers(
    pairs: Sequence[TensorSpec], shards: Shards, feeds: Sequence[Feed]
) -> tuple[list[_Reader], list[list[int]]]:
    """What is read of inputs and targets, and for each shard which of it ``gradients`` is given, in order."""
    readers = [_Reader(feed, pair, None) for pair, feed in enumerate(feeds)]
    names = [spec.name for spec in pairs]
    given = []
    for shard in range(shards.count):
        order = []
        for pair, (spec, divided) in enumerate(zip(pairs, shards.divided, strict=True)):
            order.append(len(readers) if divided else pair)
            if divided:
                readers.append(_part(feeds[pair], pair, spec, shard, shards.count))
        given.append([*order, *map(names.index, shards.whole)])
    kept = sorted({index for order in given for index in order})
    return [readers[i] for i in kept], [[kept.index(i) for i in order] for order in given]


def _part(feed: Feed, pair: int, spec: TensorSpec, shard: int, count: int) -> _Reader:
    rows = spec.shape[0] // count
    part = replace(spec, shape=(rows, *spec.shape[1:]))
    return _Reader(feed.like(part), pair, slice(shard * rows, (shard + 1) * rows))


def _memory(specs: Sequence[TensorSpec]) -> list[Array]:
    try:
        return [aligned_empty(spec.shape, spec.dtype) for spec in specs]
    except (MemoryError, OverflowError, ValueError) as error:
        raise DeviceError(f"no memory for the partial sums of a shard: {reason(error)}") from None


def _shared(device: Device, arrays: Sequence[Array]) -> list[Any]:
    return [device.share(array) if device.shares_memory else device.put(array) for array in arrays]


def _lanes(program: Program, gradients: Any, results: int, count: int) -> list[_Lane]:
    """For each thread, the first of which is the caller's, what runs shards there."""
    here = count == 1 or program.device.uri == _SHARD_DEVICE
    first = program.run if here else program.beside(Device(_SHARD_DEVICE))
    others = [program.beside(Device(_SHARD_DEVICE, number)) for number in range(1, count)]
    return [partial(_each, run, gradients, results) for run in (first, *others)]


def _each(
    run: Callable[[Any, Any, int], Any], function: Any, results: int, lists: Sequence[Any]
) -> list[Any]:
    return [run(function, arguments, results) for arguments in lists]
