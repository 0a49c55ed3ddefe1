# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``Profile``: what has been measured of a step, by dispatch and by layer."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pock.compiler.analysis.commands import DISPATCH, Command
from pock.compiler.source import Part, Source

FORMAT = 1

ELSEWHERE = "(other)"
"""What stands for the layer where none is known; it counts as part of the update."""


@dataclass(frozen=True)
class Peaks:
    """What the machine can do: f32 operations a second, and bytes a second by how many bytes are touched."""

    flops: float
    bandwidth: Mapping[int, float]

    def at(self, size: int) -> float:
        """Bytes a second of what touches ``size`` bytes: of the best place that has room for them."""
        fitting = [rate for most, rate in self.bandwidth.items() if most >= size]
        return max(fitting, default=self.bandwidth[max(self.bandwidth)])

    def least(self, flops: int, size: int) -> float:
        """The seconds that so many operations on so many bytes take at least: the roofline."""
        return max(flops / self.flops, size / self.at(size))


@dataclass(frozen=True)
class Measured:
    """A command of the step and its seconds in it, None for what is not measured: fills and copies."""

    command: Command
    seconds: float | None

    @property
    def source(self) -> Source:
        """Where most of the command's work comes from."""
        return self.command.sources[0] if self.command.sources else Source(Part.UPDATE, ELSEWHERE)

    @property
    def size(self) -> int:
        """The bytes that are read and written."""
        return self.command.read + self.command.written


@dataclass
class Total:
    """Commands added up: seconds, operations, bytes, and the seconds that they would take at least."""

    count: int = 0
    seconds: float = 0.0
    flops: int = 0
    size: int = 0
    least: float = 0.0

    def add(self, measured: Measured, peaks: Peaks) -> None:
        self.count += 1
        self.flops += measured.command.flops
        self.size += measured.size
        if measured.seconds is not None:
            self.seconds += measured.seconds
            self.least += peaks.least(measured.command.flops, measured.size)

    @property
    def flop_rate(self) -> float:
        """Operations a second."""
        return self.flops / self.seconds if self.seconds else 0.0

    @property
    def byte_rate(self) -> float:
        """Bytes a second."""
        return self.size / self.seconds if self.seconds else 0.0

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.flops / self.size if self.size else 0.0

    @property
    def roofline(self) -> float:
        """The share of what the machine could do: the least time by the time."""
        return self.least / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "seconds": self.seconds,
            "flops": self.flops,
            "bytes": self.size,
            "flops_per_second": self.flop_rate,
            "bytes_per_second": self.byte_rate,
            "roofline": self.roofline,
        }


@dataclass
class Layer:
    """A layer's time in each part of the step, and all of it."""

    name: str
    parts: dict[Part, float] = field(default_factory=lambda: dict.fromkeys(Part, 0.0))
    total: Total = field(default_factory=Total)


@dataclass
class Group:
    """Equal commands of one source."""

    kind: str
    name: str
    sources: tuple[Source, ...]
    total: Total = field(default_factory=Total)


@dataclass(frozen=True)
class Profile:
    """A step, measured. Times in seconds.

    ``step`` is what a step takes on the device while it is profiled, from the first thing that the device
    does to the last, and ``unprofiled`` what a caller waits for one that is not; ``steps`` were measured,
    while other processes used the part ``others`` of the processors. Of
    dispatches that run at the same time each has its share of it, so that the times of ``commands`` add up to
    at most ``step``.
    """

    model: str
    about: Mapping[str, Any]
    """Scheme, optimizer, batch and whatever else tells one profile from another."""
    machine: str
    threads: int
    steps: int
    step: float
    unprofiled: float
    others: float
    peaks: Peaks
    commands: tuple[Measured, ...]

    @property
    def total(self) -> Total:
        """All that is measured of the step."""
        return self._sum(self.commands)

    @property
    def outside(self) -> float:
        """The time of a step in which no dispatch runs: fills, copies, memory, and what lies between."""
        return self.step - self.total.seconds

    def _sum(self, commands: Iterable[Measured]) -> Total:
        total = Total()
        for measured in commands:
            total.add(measured, self.peaks)
        return total

    def layers(self) -> list[Layer]:
        """The layers in the order in which a step comes to them first; a dispatch counts for one."""
        found: dict[str, Layer] = {}
        for measured in self.commands:
            source = measured.source
            layer = found.setdefault(source.layer, Layer(source.layer))
            layer.parts[source.part] += measured.seconds or 0.0
            layer.total.add(measured, self.peaks)
        return list(found.values())

    def groups(self) -> list[Group]:
        """The commands, equal ones of the same layers as one, in order."""
        found: dict[tuple[str, str, tuple[Source, ...]], Group] = {}
        for measured in self.commands:
            command = measured.command
            # Fills and copies are many and alike.
            sources = command.sources if command.kind == DISPATCH else ()
            key = (command.kind, command.name, sources)
            found.setdefault(key, Group(*key)).total.add(measured, self.peaks)
        return list(found.values())

    def to_json(self) -> str:
        """Everything, as JSON: times in seconds, rates a second."""
        data = {
            "format": FORMAT,
            "model": self.model,
            **self.about,
            "machine": self.machine,
            "threads": self.threads,
            "steps": self.steps,
            "step": self.step,
            "unprofiled": self.unprofiled,
            "used_by_others": self.others,
            "outside_of_dispatches": self.outside,
            "peaks": {
                "flops_per_second": self.peaks.flops,
                "bytes_per_second": {str(size): rate for size, rate in self.peaks.bandwidth.items()},
            },
            "total": self.total.to_json(),
            "layers": [
                {
                    "layer": layer.name,
                    **{str(part): t for part, t in layer.parts.items()},
                    **layer.total.to_json(),
                }
                for layer in self.layers()
            ],
            "commands": [
                {**m.command.to_json(), "seconds": m.seconds, "roofline": self._sum([m]).roofline}
                for m in self.commands
            ],
        }
        return json.dumps(data, indent=1)
