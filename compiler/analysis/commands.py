# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a step does on the device, command by command: where it comes from, and how much work it is.

This is read off IREE's stream-level IR, where dispatches are formed and scheduled. Equal dispatches share
one kernel there, so a command's layers are those that its own location names, not the kernel's.

Operations are those of floating point: an addition, a multiplication, a division, a maximum or a function
such as ``exp`` counts one, a fused multiplication and addition two; comparisons, selections and conversions
none. Bytes are those of the tensors that a dispatch loads and stores, each once, as if all that is read
again were in a cache. So both are what the work needs, not what the processor does.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from iree.compiler import ir
from iree.compiler.dialects import linalg

from pock.compiler.source import Part, Source, sources_of

from . import stream_ir
from .stream_ir import Entry

DISPATCH, FILL, COPY = "dispatch", "fill", "copy"

_LOAD = "iree_tensor_ext.dispatch.tensor.load"
_STORE = "iree_tensor_ext.dispatch.tensor.store"

_COUNTED = frozenset(
    f"arith.{name}"
    for name in ("addf", "subf", "mulf", "divf", "remf", "maximumf", "minimumf", "maxnumf", "minnumf")
)

#: Of each element: a maximum, a difference, an exponential, a sum and a quotient.
_SOFTMAX = 5

#: Operations of ``math`` that compute nothing.
_FREE = ("math.absf", "math.copysign")


@dataclass(frozen=True)
class Command:
    """A command: ``kind`` is ``dispatch``, ``fill`` or ``copy``, ``name`` the kernel of a dispatch.

    ``sources`` are the layers that it comes from, first that of the most work. ``read`` and ``written`` are
    in bytes.
    """

    kind: str
    name: str
    sources: tuple[Source, ...]
    flops: int
    read: int
    written: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Command":
        sources = tuple(Source(Part(source["part"]), source["layer"]) for source in data["sources"])
        return Command(**{**data, "sources": sources})


def commands(module: ir.Module, name: str) -> tuple[Command, ...]:
    """The commands of the function ``name`` of a module at the stream phase, in order.

    Raises ``ValueError`` if there is no such function.
    """
    kernels = _Kernels(module)
    found: list[Command] = []

    def visit(op: Any) -> ir.WalkResult:
        sources = tuple(sources_of(op.location))
        if op.name == "stream.cmd.dispatch":
            entry = stream_ir.entries(op)[0]
            work = kernels.work(entry) if entry in kernels else _exchange(op)
            found.append(
                Command(
                    DISPATCH,
                    entry[-1],
                    _combined(sources, work.sources),
                    work.flops,
                    work.read,
                    work.written,
                )
            )
        elif op.name == "stream.cmd.fill":
            found.append(Command(FILL, FILL, sources, 0, 0, _constant(op.operands[3])))
        elif op.name == "stream.cmd.copy":
            size = _constant(op.operands[6])
            found.append(Command(COPY, COPY, sources, 0, size, size))
        return ir.WalkResult.ADVANCE

    stream_ir.function(module, name).walk(visit)
    return tuple(found)


def _combined(own: tuple[Source, ...], kernel: tuple[Source, ...]) -> tuple[Source, ...]:
    """A command's sources: those of its own location, and of its kernel, which come in order of their work.

    A kernel that another layer shares is named after that one: what it does for the layer of its most
    important source, it does here for the command's own.
    """
    if not any(source in own for source in kernel):
        here = next((s.layer for s in own if kernel and s.part == kernel[0].part), None)
        kernel = tuple(Source(s.part, here) for s in kernel if here and s.layer == kernel[0].layer)
    return tuple(dict.fromkeys((*kernel, *own)))


# -- kernels ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Work:
    """What one run of a kernel does; ``sources`` with the most work first."""

    flops: int
    read: int
    written: int
    sources: tuple[Source, ...]


class _Kernels:
    """The kernels of a module, each looked at when it is first asked for."""

    def __init__(self, module: ir.Module) -> None:
        self._kernels = stream_ir.kernels(module)
        self._known: dict[Entry, _Work] = {}

    def __contains__(self, entry: Entry) -> bool:
        return entry in self._kernels

    def work(self, entry: Entry) -> _Work:
        if entry not in self._known:
            self._known[entry] = _work(self._kernels[entry])
        return self._known[entry]


def _exchange(op: Any) -> _Work:
    """What a dispatch of a kernel that IREE has not made reads and writes: all that it is given."""
    kinds = [ir.IntegerAttr(kind).value for kind in ir.ArrayAttr(op.attributes["resource_accesses"])]
    lengths = [_constant(length) for length in stream_ir.operand_groups(op)[5]]
    read, written = (sum(n for n, kind in zip(lengths, kinds, strict=True) if kind & flag) for flag in (1, 2))
    return _Work(0, read, written, ())


def _work(function: Any) -> _Work:
    flops = read = written = 0
    weights: dict[Source, tuple[int, int]] = {}
    for op, times in _nested(function, 1):
        if op.name == _LOAD:
            read += _loaded(op, function)
        elif op.name == _STORE:
            written += times * _bytes(op.operands[0].type)
        elif op.name.startswith("linalg.") and op.name != "linalg.fill" and len(op.results):
            points = times * _points(op)
            own = points * (_SOFTMAX if op.name == "linalg.softmax" else _operations(op.regions[0]))
            flops += own
            for source in sources_of(op.location)[:1]:
                before = weights.get(source, (0, 0))
                weights[source] = (before[0] + own, before[1] + points)
    return _Work(flops, read, written, tuple(sorted(weights, key=lambda s: weights[s], reverse=True)))


def _nested(op: Any, times: int) -> Iterator[tuple[Any, int]]:
    """The operations inside of ``op``, but not those of linalg's bodies, and how often each runs."""
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                operation = inner.operation
                yield operation, times
                if not operation.name.startswith("linalg."):
                    yield from _nested(operation, times * _trips(operation))


def _trips(op: Any) -> int:
    """How often the body of a loop runs, 1 if that is not known or it is no loop."""
    if op.name != "scf.for":
        return 1
    low, high, step = (_constant(value) for value in list(op.operands)[:3])
    return max(-(-(high - low) // step), 1) if step else 1


def _constant(value: Any) -> int:
    """A number that is known at compile time, else 0."""
    return stream_ir.constant(value) or 0


def _operations(region: Any, times: int = 1) -> int:
    """The floating-point operations of a region that runs ``times`` times."""
    count = 0
    for block in region.blocks:
        for op in block.operations:
            name = op.operation.name
            if name in _COUNTED or (name.startswith("math.") and name not in _FREE):
                count += 2 * times if name == "math.fma" else times
            for inner in op.operation.regions:
                count += _operations(inner, times * _trips(op.operation))
    return count


def _points(op: Any) -> int:
    """The size of a linalg operation's iteration space; of operations without maps, of their result."""
    maps = linalg.get_indexing_maps(op)
    if maps is None:
        return max((_elements(result.type) for result in op.results), default=0)
    sizes: dict[int, int] = {}
    for value, attribute in zip(op.operands, maps, strict=True):
        if not isinstance(value.type, ir.RankedTensorType):
            continue
        results = ir.AffineMapAttr(attribute).value.results
        for result, size in zip(results, ir.RankedTensorType(value.type).shape, strict=True):
            if isinstance(result, ir.AffineDimExpr):
                sizes[result.position] = max(size, 1)
    return math.prod(sizes.values())


def _elements(type_: Any) -> int:
    if not isinstance(type_, ir.RankedTensorType):
        return 0
    return math.prod(max(size, 0) for size in ir.RankedTensorType(type_).shape)


def _bytes(type_: Any) -> int:
    return _elements(type_) * _width(ir.RankedTensorType(type_).element_type)


def _width(element: Any) -> int:
    """Bytes of an element in memory."""
    if isinstance(element, ir.IndexType):
        return 8
    return max(getattr(element, "width", 32) // 8, 1)


def _loaded(load: Any, function: Any) -> int:
    """The bytes that are read of what a dispatch loads; of a table, those of the elements looked up."""
    result = load.results[0]
    whole = _bytes(result.type)
    users = [use.owner.operation for use in result.uses]
    if not users or any(user.name != "tensor.extract" for user in users):
        return whole
    runs = sum(_runs(user, function) for user in users)
    return min(whole, runs * _width(ir.RankedTensorType(result.type).element_type))


def _runs(op: Any, function: Any) -> int:
    """How often an operation in a linalg operation's body, or in loops, runs."""
    times, parent = 1, op.parent
    while parent is not None and parent != function:
        times *= _points(parent) if parent.name.startswith("linalg.") else _trips(parent)
        parent = parent.parent
    return times
