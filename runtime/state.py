# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The state of a program, where it stays between steps."""

from collections.abc import Mapping, Sequence
from typing import Any

import iree.runtime as rt

from .device import Array, Device, Span, overlaps
from .errors import ArtifactError
from .metadata import Metadata, StateSpec, TensorSpec
from .parts import joined, part, part_shape
from .stepping import Stepped


class State:
    """A program's state on its device, or what each rank has of it on that rank's device."""

    def __init__(self, metadata: Metadata, devices: Sequence[Device]) -> None:
        """``devices`` are those of the ranks; a program without is one."""
        self._specs, self._returned = metadata.state, metadata.returned
        self._divisions = metadata.ranks.state if metadata.ranks else (None,) * len(metadata.state)
        self._ranks = [_Held(device) for device in devices]
        self.settled = False
        """Whether steps are known to update everything in place."""

    @property
    def refs(self) -> list[list[Any]]:
        """For each rank, references to the ``HalBufferView``s of its state."""
        return [held.refs for held in self._ranks]

    def start(self, results: Sequence[Any]) -> None:
        """Take the initial state over, from the results of each rank's ``init``.

        Raises ``ArtifactError`` if a rank has other parts than the metadata says.
        """
        seen: list[Span] = []
        for held, result in zip(self._ranks, results, strict=True):
            refs = [result.get_as_ref(i) for i in range(len(self._specs))]
            if len(self._ranks) > 1:
                self._check_parts(refs)
            held.start(refs, self._specs, seen)

    def keep(self, arguments: Sequence[Any], stepped: Stepped) -> None:
        """Take over the state that a step returns; ``arguments`` are what it was given, rank by rank last."""
        given = arguments[-len(self._ranks) :]
        for held, lists, results in zip(self._ranks, given, stepped.results, strict=True):
            returned = {i: results.get_as_ref(stepped.state + k) for k, i in enumerate(self._returned)}
            held.keep(lists, stepped.given, returned, self._specs)
        self.settled = all(held.moving == () for held in self._ranks)

    def get(self, index: int) -> Array:
        """A copy of a tensor."""
        spec, division = self._specs[index], self._divisions[index]
        if division is None:
            return self._ranks[0].get(index, spec)
        return joined([held.get(index, spec) for held in self._ranks], division)

    def put(self, index: int, array: Array) -> None:
        """Replace a tensor."""
        stored = array.astype(self._specs[index].device_dtype, copy=False)
        for rank, held in enumerate(self._ranks):
            held.put(index, part(stored, self._divisions[index], len(self._ranks), rank))

    def close(self) -> None:
        """Let go of all memory."""
        for held in self._ranks:
            held.refs = []

    def _check_parts(self, refs: Sequence[Any]) -> None:
        for spec, division, ref in zip(self._specs, self._divisions, refs, strict=True):
            wanted, shape = part_shape(spec.shape, division, len(self._ranks)), _view(ref).shape
            if tuple(shape) != wanted:
                raise ArtifactError(
                    f"a rank of the program has '{spec.name}' as {list(shape)}, {list(wanted)} is its part"
                )


class _Held:
    """State on one device."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.refs: list[Any] = []
        self.moving: tuple[int, ...] | None = None
        self._borrowed: set[int] = set()

    def start(self, refs: Sequence[Any], specs: Sequence[StateSpec], seen: list[Span]) -> None:
        """Take initial values over, each in memory of its own, which no ``seen`` value is in.

        IREE returns one buffer for equal values, as all momenta of one shape are at first. Steps update
        them in place, so they have to be told apart before the first.
        """
        self.refs = []
        for spec, ref in zip(specs, refs, strict=True):
            # Where the host cannot see a buffer's address, it may be another's.
            span = self._span(ref) if self._device.shares_memory else (0, 1)
            self.refs.append(self._copied(ref, spec) if overlaps(span, seen) else ref)
            seen.append(span)

    def keep(
        self, arguments: Any, given: int, returned: Mapping[int, Any], specs: Sequence[StateSpec]
    ) -> None:
        """Take over what a step has ``returned``, by index; all other state is where it was.

        So is what is updated in place, and what is one of the ``given`` first arguments as it was given lies
        in that one's memory, which will hold another one. Which state is, is the program's property, so one
        look is enough.
        """
        if self.moving is None:
            shared = self._device.shares_memory
            after = {i: self._span(ref) for i, ref in returned.items()} if shared else {}
            taken = [self._span(arguments.get_as_ref(i)) for i in range(given)] if after else []
            self.moving = tuple(i for i in returned if not shared or self._span(self.refs[i]) != after[i])
            self._borrowed = {i for i in self.moving if shared and overlaps(after[i], taken)}
        for i in self.moving:
            self.refs[i] = self._copied(returned[i], specs[i]) if i in self._borrowed else returned[i]

    def get(self, index: int, spec: StateSpec) -> Array:
        return fetched(self._device, self.refs[index], spec)

    def put(self, index: int, array: Array) -> None:
        self.refs[index] = self._device.put(array).ref

    def _copied(self, ref: Any, spec: StateSpec) -> Any:
        return self._device.put(self._device.get(_view(ref), spec.device_dtype)).ref

    def _span(self, ref: Any) -> Span:
        return self._device.span(_view(ref))


def fetched(device: Device, ref: Any, spec: TensorSpec) -> Array:
    """A copy of what a reference's ``HalBufferView`` holds."""
    return device.get(_view(ref), spec.device_dtype).astype(spec.dtype, copy=False)


def _view(ref: Any) -> Any:
    return ref.deref(rt.HalBufferView)
