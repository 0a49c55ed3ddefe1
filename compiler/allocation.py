# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Taking a call's memory from the device's allocator, not from its queue.

On the host a queue that is asked for more than 64 MB has it from the C library each time, which zeroes all of
it. The allocator keeps what a call has given back for the next.
"""

from typing import Any

from iree.compiler import ir

_ALLOCATE, _FREE = "stream.resource.alloca", "stream.resource.dealloca"


def allocate_at_once(stream: ir.Module) -> int:
    """Have functions take their memory before they begin, and give it back when nothing refers to it.

    ``stream`` is a module at the stream phase. Memory that is taken behind something else is left to the
    queue, and so is its end. Returns how many allocations there are that are not.
    """
    allocations: list[Any] = []

    def visit(op: Any) -> ir.WalkResult:
        # What follows the size is what the allocation waits for.
        if op.operation.name == _ALLOCATE and len(op.operands) == 1:
            allocations.append(op.operation)
        return ir.WalkResult.ADVANCE

    stream.operation.walk(visit)
    for op in allocations:
        _allocate(op)
    return len(allocations)


def _allocate(op: Any) -> None:
    for end in [use.owner.operation for use in op.results[0].uses if use.owner.operation.name == _FREE]:
        _, _, *ready = end.operands
        end.results[0].replace_all_uses_with(ready[0] if ready else _immediate(end))
        end.erase()
    made = ir.Operation.create(
        "stream.resource.alloc",
        [op.results[0].type],
        [op.operands[0]],
        {"uninitialized": ir.UnitAttr.get(op.context), **_affinity(op)},
        loc=op.location,
        ip=ir.InsertionPoint(op),
    )
    op.results[0].replace_all_uses_with(made.results[0])
    op.results[1].replace_all_uses_with(_immediate(op))
    op.erase()


def _immediate(op: Any) -> Any:
    """A point in time, in front of ``op``, that has always passed."""
    type_ = ir.Type.parse("!stream.timepoint", op.context)
    return ir.Operation.create(
        "stream.timepoint.immediate", [type_], loc=op.location, ip=ir.InsertionPoint(op)
    ).results[0]


def _affinity(op: Any) -> dict[str, ir.Attribute]:
    return {"affinity": op.attributes["affinity"]} if "affinity" in op.attributes else {}
