# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Proving on IREE's stream-level IR that a function writes what it may write, and when it may.

State whose argument carries ``iree.abi.output`` lives in one buffer before and after a step. IREE does
not see that a later read of the old value conflicts with the write, so it is checked here. Once a buffer
has been written, nothing may read it; nothing may touch it beside the write; a dispatch that both reads
and writes it must read each element only where it writes it; and no other result may be in it. What is
not understood counts as unsafe.

Any other argument is the caller's and must not be written. IREE does write to it where a function updates
a slice of an argument that it needs no longer (iree-org/iree issue 16168).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from iree.compiler import ir

from . import stream_ir
from .dispatch_updates import reads, updates_in_place

READ, WRITE = 1, 2

_EXECUTE = "stream.cmd.execute"
_CONCURRENT = "stream.cmd.concurrent"
_SERIAL = "stream.cmd.serial"

#: Operations of a function whose result is a buffer that they are given, and those that only look at what
#: it is.
_FORWARDING = (
    "stream.tensor.import", "stream.tensor.export", "stream.resource.subview", "stream.timepoint.await",
)  # fmt: skip
_NEUTRAL = ("hal.buffer_view.assert", "util.return")

#: Commands that are understood; the latter move no data.
_COMMANDS = ("stream.cmd.dispatch", "stream.cmd.copy", "stream.cmd.fill")
_NEUTRAL_COMMANDS = ("stream.cmd.flush", "stream.cmd.invalidate")


@dataclass(eq=False)
class _Buffer:
    """An argument's buffer, the result that lives in it if it is donated, and what is wrong, if anything."""

    result: int | None
    shared: bool = False
    problem: str | None = None

    def blame(self, problem: str) -> None:
        self.problem = self.problem or problem


@dataclass(frozen=True)
class _Access:
    """One command's access to an argument's buffer."""

    buffer: _Buffer
    kind: int
    command: str


@dataclass
class Analysis:
    """What the stream-level IR of a function says."""

    hazards: dict[int, str] = field(default_factory=dict)
    """Index of a donated argument -> why it cannot be updated in place."""

    overwritten: list[int] = field(default_factory=list)
    """Indices of arguments that are not donated and are written all the same."""

    transient_bytes: int = 0


def analyse(
    module: ir.Module,
    name: str,
    donated: Mapping[int, int],
    shared: Collection[int] = (),
    kernels: Mapping[stream_ir.Entry, Any] | None = None,
) -> Analysis:
    """Check the function ``name`` of a module at the stream phase.

    ``donated`` maps the index of an argument to the index of the result that lives in its storage. Those of
    them that are ``shared`` are read and written by turns. ``kernels`` are the module's, if they are known
    already. Raises ``ValueError`` if there is no such function.
    """
    function = stream_ir.function(module, name)
    blocks = list(function.regions[0].blocks)
    if len(blocks) > 1 and donated:
        return Analysis(dict.fromkeys(donated, f"@{name} has branches, which are not followed"))
    step = _Step(function, stream_ir.kernels(module) if kernels is None else kernels)
    buffers = [_Buffer(donated.get(i), i in shared) for i in range(len(blocks[0].arguments))]
    for argument, buffer in zip(blocks[0].arguments, buffers, strict=True):
        step.follow(argument, buffer)
    written = step.check()
    return Analysis(
        {i: b.problem for i, b in enumerate(buffers) if i in donated and b.problem is not None},
        [i for i, b in enumerate(buffers) if i not in donated and b in written],
        sum(_allocated(op.operation) for block in blocks for op in block.operations),
    )


def _allocated(op: Any) -> int:
    """The bytes that an operation allocates, as far as they are known."""
    if op.name != "stream.resource.alloca":
        return 0
    return stream_ir.constant(op.operands[0]) or 0


# -- a step -------------------------------------------------------------------------------------


class _Step:
    """A function at the stream phase, and which of its values are its arguments' buffers."""

    def __init__(self, function: Any, kernels: Mapping[stream_ir.Entry, Any]) -> None:
        self._function = function
        self._kernels = kernels
        self._buffers: dict[Any, _Buffer] = {}

    def follow(self, value: Any, buffer: _Buffer) -> None:
        """``value`` is the buffer or a part of it, and so is what is made of it."""
        self._buffers[value] = buffer
        for use in value.uses:
            op = use.owner.operation
            if op.parent != self._function:
                buffer.blame(f"'{op.name}' in a nested region uses the state")
            elif op.name in _FORWARDING:
                self.follow(op.results[use.operand_number if len(op.results) > 1 else 0], buffer)
            elif op.name == _EXECUTE:
                self._capture(op, use.operand_number, buffer)
            elif op.name not in _NEUTRAL:
                buffer.blame(f"'{op.name}' uses the state in a way that is not understood")

    def _capture(self, execute: Any, operand: int, buffer: _Buffer) -> None:
        """The buffer is an operand of ``execute``, whose commands know it as an argument of its block."""
        argument = execute.regions[0].blocks[0].arguments[operand]
        self._buffers[argument] = buffer
        for use in argument.uses:
            op = use.owner.operation
            if op.name not in (*_COMMANDS, *_NEUTRAL_COMMANDS) or not _runs_in(op, execute):
                buffer.blame(f"'{op.name}' uses the state in a way that is not understood")

    def check(self) -> set[_Buffer]:
        """Blame each buffer for what is not safe about donating it; those that are written."""
        done: list[tuple[Any, list[_Access]]] = []
        for op in self._operations():
            if op.name == _EXECUTE:
                accesses = list(self._serial(op))
                for earlier, before in done:
                    if not _awaits(op, earlier):
                        _check_beside([before, accesses])
                done.append((op, accesses))
        written: set[_Buffer] = set()
        for access in (access for _, accesses in done for access in accesses):
            if access.kind & READ and access.buffer in written and not access.buffer.shared:
                access.buffer.blame(f"{access.command} reads the state after its update")
            if access.kind & WRITE:
                written.add(access.buffer)
        for op in self._operations():
            returned = [self._buffers.get(value) for value in op.operands if op.name == "util.return"]
            for i, buffer in enumerate(returned):
                if buffer in written and i != buffer.result:
                    buffer.blame(f"result {i} is in the state's storage too")
        return written

    def _operations(self) -> Iterator[Any]:
        for block in self._function.regions[0].blocks:
            for op in block.operations:
                yield op.operation

    # -- commands -------------------------------------------------------------------------------

    def _serial(self, op: Any) -> Iterator[_Access]:
        """The accesses of commands that run one after the other, in order."""
        for inner in op.regions[0].blocks[0].operations:
            yield from self._command(inner.operation)

    def _concurrent(self, op: Any) -> Iterator[_Access]:
        """The accesses of commands without an order."""
        commands = [list(self._command(inner.operation)) for inner in op.regions[0].blocks[0].operations]
        _check_beside(commands)
        for accesses in commands:
            yield from accesses

    def _command(self, op: Any) -> Iterator[_Access]:
        """The accesses of one command to arguments' buffers; reads before writes."""
        if op.name == _CONCURRENT:
            yield from self._concurrent(op)
        elif op.name == _SERIAL:
            yield from self._serial(op)
        elif op.name == "stream.cmd.dispatch":
            yield from self._dispatch(op)
        elif op.name == "stream.cmd.copy":
            yield from self._copy(op)
        elif op.name == "stream.cmd.fill" and op.operands[0] in self._buffers:
            yield _Access(self._buffers[op.operands[0]], WRITE, "a fill")

    def _copy(self, op: Any) -> Iterator[_Access]:
        source, target = (self._buffers.get(op.operands[i]) for i in (0, 3))
        if source is not None:
            yield _Access(source, READ, "a copy")
        if target is not None:
            yield _Access(target, WRITE, "a copy")
        if source is not None and source is target:
            source.blame("a copy moves the state within its storage")

    def _dispatch(self, op: Any) -> Iterator[_Access]:
        # In the function, the resources come first, and then the uniform operands.
        _, uniform, resources, _, offsets, _ = stream_ir.operand_groups(op)
        known = enumerate(map(stream_ir.constant, uniform), len(resources))
        numbers = {i: number for i, number in known if number is not None}
        kinds = [ir.IntegerAttr(kind).value for kind in ir.ArrayAttr(op.attributes["resource_accesses"])]
        entries = stream_ir.entries(op)
        # A kernel that IREE has not made, as an exchange between ranks is, does what its operands say.
        functions = [self._kernels[entry] for entry in entries if entry in self._kernels]
        command = f"dispatch {entries[0][-1]}"
        bindings: dict[_Buffer, list[int]] = {}
        for i, resource in enumerate(resources):
            if resource in self._buffers:
                bindings.setdefault(self._buffers[resource], []).append(i)
        writing = []
        for buffer, own in bindings.items():
            read, written = (any(kinds[i] & kind for i in own) for kind in (READ, WRITE))
            # What is written in part counts as read too, because the rest of it stays.
            read = read and (not written or not functions or any(reads(f, own, numbers) for f in functions))
            alike = len({(resources[i], offsets[i]) for i in own}) == 1
            if read and written and not (alike and all(updates_in_place(f, own, numbers) for f in functions)):
                buffer.blame(f"{command} reads the state elsewhere than where it updates it")
            if read:
                yield _Access(buffer, READ, command)
            if written:
                writing.append(_Access(buffer, WRITE, command))
        yield from writing


def _runs_in(op: Any, execute: Any) -> bool:
    """Whether a command is reached from ``execute`` through nothing but concurrent and serial regions."""
    parent = op.parent
    while parent.name in (_CONCURRENT, _SERIAL):
        parent = parent.parent
    return parent == execute


def _awaits(later: Any, earlier: Any) -> bool:
    """Whether an execution begins only after another has ended."""
    pending, seen = [later], set()
    while pending:
        for operand in pending.pop().operands:
            owner = operand.owner
            if str(operand.type) != "!stream.timepoint" or isinstance(owner, ir.Block) or operand in seen:
                continue
            if owner == earlier:
                return True
            seen.add(operand)
            pending.append(owner)
    return False


def _check_beside(commands: Sequence[Sequence[_Access]]) -> None:
    """Commands without an order: what one of them writes, no other may touch."""
    for i, accesses in enumerate(commands):
        for access in accesses:
            if not access.kind & WRITE:
                continue
            for other in (*commands[:i], *commands[i + 1 :]):
                for beside in other:
                    if beside.buffer is access.buffer:
                        access.buffer.blame(f"{beside.command} runs beside the update")
