# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Moving a gradient that is used up in its update behind the last read of the old value.

IREE computes such a gradient and updates the parameter in one dispatch, which stands where the gradient did::

    %dw = linalg.matmul ins(%xt, %dy)
    %dx = linalg.matmul ins(%dy, %w)
    %new = linalg.generic ins(%w, %dw)

There ``%dx`` would be computed from the new value: the parameter could not be updated in place. After::

    %dx = linalg.matmul ins(%dy, %w)
    %dw = linalg.matmul ins(%xt, %dy)
    %new = linalg.generic ins(%w, %dw)

IREE also puts dispatches that need not wait for each other side by side, where what they all need is there:
in front of a dispatch that reads the old value, if nothing is beside that one. So it does here with the
update of ``%w``, if something that needs no more than ``%dw`` stands behind it::

    %sum = linalg.generic ins(%dw, %w)
    %other = linalg.generic ins(%v, %sum)
    %new = linalg.generic ins(%w, %dw)

If ``%other`` is a dispatch of its own, it is beside the update, and so that one has to wait for ``%sum``.

Whether the updates that IREE makes of this are right is not decided here.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from iree.compiler import ir

#: Dialects whose operations, on tensors, do nothing but compute.
_PURE = ("arith.", "linalg.", "tensor.")

_RESHAPES = ("tensor.collapse_shape", "tensor.expand_shape")


def order_updates(function: Any, donated: Mapping[int, int]) -> bool:
    """Order the updates of a function on tensors; whether anything has moved.

    ``donated`` maps the index of an argument to the index of the result that lives in its storage.
    """
    block = function.regions[0].blocks[0]
    results = list(block.operations[len(block.operations) - 1].operands)
    readers = {i: _readers(block.arguments[i]) for i in donated}
    order = _order(block)
    moved = False
    for i, k in donated.items():
        update = _update(results[k])
        last = max(readers[i] - update, key=order.__getitem__, default=None)
        # Of what reads another parameter too, that one's update would have to be behind.
        shared = any(update & readers[j] for j in donated if j != i)
        if last is None or shared or not any(_sums(op) for op in update):
            continue
        early = sorted((op for op in update if order[op] < order[last]), key=order.__getitem__)
        for op in reversed(early):
            op.move_after(last)
        if early:
            order, moved = _order(block), True
    return moved


def part_sums(function: Any, donated: Mapping[int, int], arguments: Collection[int]) -> set[int]:
    """Part sums that read one of ``arguments`` from the arithmetic that only updates by them.

    Returns the arguments for which there were such sums. ``donated`` is that of ``order_updates``.
    """
    block = function.regions[0].blocks[0]
    results = list(block.operations[len(block.operations) - 1].operands)
    found = set()
    for i in arguments:
        update = _update(results[donated[i]])
        for op in _readers(block.arguments[i]) - update:
            if _sums(op) and _is_for_updates(op):
                _part(op.results[0])
                found.add(i)
    return found


def _is_for_updates(op: Any) -> bool:
    """Whether all that is made of an operation's one result is elementwise, and returned."""
    if len(op.results) != 1:
        return False
    seen: set[Any] = set()
    pending = [op]
    while pending:
        for result in pending.pop().results:
            for user in _users(result):
                if user.name == "func.return" or user in seen:
                    continue
                if not user.name.startswith(_PURE) or _sums(user):
                    return False
                seen.add(user)
                pending.append(user)
    return bool(seen)


def _part(value: Any) -> None:
    """Put a barrier between ``value`` and its uses."""
    uses = [(use.owner.operation, use.operand_number) for use in value.uses]
    barrier = ir.Operation.create(
        "iree_tensor_ext.compute_barrier.start", [value.type], [value], loc=value.owner.location,
        ip=ir.InsertionPoint.after(value.owner),
    )  # fmt: skip
    for user, number in uses:
        user.operands[number] = barrier.results[0]


def _readers(value: Any) -> set[Any]:
    """The operations that may be in a dispatch that reads ``value``.

    These are its users, and what IREE fuses with them: elementwise operations and reshapes behind one that
    sums, and in front of it those that nothing else uses or that it repeats for each user.
    """
    found: set[Any] = set()
    pending = [(value, False)]
    while pending:
        read, summed = pending.pop()
        for op in _users(read):
            ends = op.name == "func.return" or (summed and _sums(op))
            if not ends and op not in found:
                found.add(op)
                behind = summed or _sums(op)
                if op.name.startswith(_PURE) and (behind or _fuses_forward(op)):
                    pending += [(result, behind) for result in op.results]
    return found


def _fuses_forward(op: Any) -> bool:
    """Whether an operation may become a part of the dispatches that use it; those repeated have one input."""
    outputs = len(op.results) if op.name.startswith("linalg.") else 0
    users = [op]
    while len(users) == 1 and (users[0] == op or users[0].name in _RESHAPES):
        users = [user for result in users[0].results for user in _users(result)]
    return len(op.operands) - outputs <= 1 or op.name in _RESHAPES or len(users) <= 1


def _update(new: Any) -> set[Any]:
    """What computes ``new`` and nothing else, as an input gradient, back to the operations that sum."""
    if isinstance(new.owner, ir.Block) or len(list(new.uses)) > 1 or len(new.owner.results) > 1:
        return set()
    found, pending = set(), [new.owner.operation]
    while pending:
        op = pending.pop()
        if op in found or not op.name.startswith(_PURE):
            continue
        found.add(op)
        if not _sums(op):
            owners = [operand.owner for operand in op.operands if not isinstance(operand.owner, ir.Block)]
            pending += [o.operation for o in owners if all(u in found for r in o.results for u in _users(r))]
    return found


def _users(value: Any) -> Iterator[Any]:
    """The operations of the function that use ``value``, be it in their regions."""
    for use in value.uses:
        op = use.owner.operation
        while op.parent.name != "func.func":
            op = op.parent.operation
        yield op


def _sums(op: Any) -> bool:
    """Whether an operation has loops that its result has not."""
    if not op.name.startswith("linalg."):
        return False
    if "iterator_types" not in op.attributes:
        return op.name not in ("linalg.fill", "linalg.transpose", "linalg.broadcast", "linalg.index")
    return "reduction" in str(op.attributes["iterator_types"])


def _order(block: Any) -> dict[Any, int]:
    return {op.operation: i for i, op in enumerate(block.operations)}
