# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-schedule-updates``: every update as early as its gradient and the old value's last use allow."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch_mlir import ir

from pock.compiler.analysis.block_graph import BlockGraph
from pock.compiler.analysis.declared import symbol_of
from pock.compiler.analysis.old_values import SINKS, is_contraction, observers, returned_views
from pock.compiler.torch_ir import functions

from .base import Pass, fail_at


@dataclass(frozen=True)
class ScheduleUpdates(Pass):
    """Moves every update as early as its gradient and the last use of the old value allow.

    An assign overwrites the parameter's storage. It stands right behind the last operation that it needs and
    the last that may still look at the old value (``compiler/analysis/old_values.py`` says which may): then
    the gradient dies at once, and no operation behind reads the new value for the old. The arithmetic
    between a gradient and an assign moves along; everything else stays where it is.

    Before::

        %dw1 = torch.aten.mm %xt, %g1
        %w1t = torch.aten.t %w1
        %g0 = torch.aten.mm %g1, %w1t
        %dw0 = torch.aten.mm %x0t, %g0
        %s1 = torch.aten.mul.Tensor %dw1, %lr
        %n1 = torch.aten.sub.Tensor %w1, %s1, %int1
        "sparsebp.assign"(%n1) {symbol = @w1, …}
        %s0 = torch.aten.mul.Tensor %dw0, %lr
        %n0 = torch.aten.sub.Tensor %w0, %s0, %int1
        "sparsebp.assign"(%n0) {symbol = @w0, …}

    After: ``%w1`` is updated once ``%g0`` has been computed from it, in front of the next gradient. ::

        %dw1 = torch.aten.mm %xt, %g1
        %w1t = torch.aten.t %w1
        %g0 = torch.aten.mm %g1, %w1t
        %s1 = torch.aten.mul.Tensor %dw1, %lr
        %n1 = torch.aten.sub.Tensor %w1, %s1, %int1
        "sparsebp.assign"(%n1) {symbol = @w1, …}
        %dw0 = torch.aten.mm %x0t, %g0
        %s0 = torch.aten.mul.Tensor %dw0, %lr
        %n0 = torch.aten.sub.Tensor %w0, %s0, %int1
        "sparsebp.assign"(%n0) {symbol = @w0, …}

    A function that reads what it has assigned, assigns something twice or returns the old value of what it
    assigns is an error: in place there is no such value.
    """

    name: ClassVar[str] = "sparsebp-schedule-updates"

    def apply(self, module: ir.Module) -> None:
        for function in functions(module).values():
            graph = BlockGraph(function)
            assigns = _assigns(graph)
            if assigns:
                _reorder(graph, _schedule(graph, assigns))
                _check(BlockGraph(function))


def _assigns(graph: BlockGraph) -> dict[str, int]:
    """The assign of each symbol; raises ``PassFailure`` for programs that cannot work in place."""
    assigns: dict[str, int] = {}
    for i, op in enumerate(graph.operations):
        if len(op.regions):
            raise fail_at(
                op, f"'{op.name}' has regions; updates are scheduled in straight-line programs only"
            )
        if op.name == "sparsebp.assign":
            if (symbol := symbol_of(op)) in assigns:
                raise fail_at(op, f"assigns @{symbol} a second time")
            assigns[symbol] = i
    return assigns


def _reads(graph: BlockGraph) -> dict[str, list[int]]:
    """The reads of each symbol, in order."""
    reads: dict[str, list[int]] = defaultdict(list)
    for i in graph.numbered("sparsebp.read"):
        reads[symbol_of(graph.operations[i])].append(i)
    return reads


def _schedule(graph: BlockGraph, assigns: dict[str, int]) -> list[int]:
    """The new order of the operations: all in place but updates, which stand where they are due."""
    constants = _constants(graph)
    arithmetic = _update_arithmetic(graph, constants)
    before = _precedence(graph, assigns, arithmetic)
    due: dict[int, list[int]] = defaultdict(list)
    for assign in assigns.values():
        due[_last_fixed(before, assign, constants | arithmetic)].append(assign)
    order: dict[int, None] = {}  # an ordered set
    fixed = [i for i in range(len(graph)) if i not in arithmetic and graph.names[i] != "sparsebp.assign"]
    for i in [-1, *fixed]:
        if i >= 0:
            _place(order, before, i)
        for assign in sorted(due[i]):
            _place(order, before, assign)
    return list(order)


def _precedence(graph: BlockGraph, assigns: dict[str, int], arithmetic: set[int]) -> list[set[int]]:
    """What has to stand in front of each operation: its producers, and of assigns whoever sees the old value.

    The dispatch that computes the new value writes it, so the operation in front of an assign waits for
    them too, unless they need the new value themselves.
    """
    before = [set(producers) for producers in graph.producers]
    after = [set(users) for users in graph.users]
    reads = _reads(graph)
    for symbol, assign in assigns.items():
        old: set[int] = set()
        for read in reads[symbol]:
            _check_read(graph, symbol, assign, read)
            old |= observers(graph, read)
        before[assign] |= old
        for value in arithmetic.intersection(graph.producers[assign]):
            first = old - _reachable(after, value)
            before[value] |= first
            for i in first:
                after[i].add(value)
    return before


def _reachable(after: Sequence[set[int]], start: int) -> set[int]:
    """``start`` and everything that has to stand behind it."""
    found, pending = {start}, [start]
    while pending:
        onward = after[pending.pop()] - found
        found |= onward
        pending.extend(onward)
    return found


def _last_fixed(before: Sequence[set[int]], assign: int, mobile: set[int]) -> int:
    """The last operation that ``assign`` has to wait for among those that stay in place; -1 for none."""
    last, seen, pending = -1, {assign}, [assign]
    while pending:
        for i in before[pending.pop()] - seen:
            seen.add(i)
            if i in mobile:
                pending.append(i)
            else:
                last = max(last, i)
    return last


def _place(order: dict[int, None], before: Sequence[set[int]], operation: int) -> None:
    """Append ``operation`` to ``order``, behind what has to stand in front of it."""
    pending = [operation]
    while pending:
        missing = before[pending[-1]] - order.keys()
        if missing:
            pending.extend(sorted(missing, reverse=True))
        else:
            order.setdefault(pending.pop())


def _constants(graph: BlockGraph) -> set[int]:
    """Constants and lists of them."""
    found: set[int] = set()
    for i, name in enumerate(graph.names):
        operands = len(graph.operations[i].operands)
        if (
            name.startswith("torch.constant.")
            or name == "torch.vtensor.literal"
            or (name == "torch.prim.ListConstruct" and operands and found.issuperset(graph.producers[i]))
        ):
            found.add(i)
    return found


def _update_arithmetic(graph: BlockGraph, constants: set[int]) -> set[int]:
    """What stands between gradients and assigns: cheap operations whose results only assigns use."""
    found: set[int] = set()
    for i in reversed(range(len(graph))):
        if graph.names[i] in SINKS or i in constants or is_contraction(graph.names[i]):
            continue
        users = graph.users[i]
        if users and all(u in found or graph.names[u] == "sparsebp.assign" for u in users):
            found.add(i)
    return found


def _check_read(graph: BlockGraph, symbol: str, assign: int, read: int) -> None:
    if read > assign:
        raise fail_at(graph.operations[read], f"reads @{symbol} behind its assign; read it in front")
    for user in returned_views(graph, read):
        raise fail_at(graph.operations[user], f"returns the old value of @{symbol}, which is overwritten")


def _reorder(graph: BlockGraph, order: Sequence[int]) -> None:
    """Bring the operations into ``order``; the terminator stays last."""
    terminator = graph.operations[-1]
    for i in order[:-1]:
        graph.operations[i].move_before(terminator)


def _check(graph: BlockGraph) -> None:
    """Raise ``PassFailure`` where an operation behind an assign may see the new value for the old."""
    reads = _reads(graph)
    for assign in graph.numbered("sparsebp.assign"):
        symbol = symbol_of(graph.operations[assign])
        for read in reads[symbol]:
            late = max(observers(graph, read))
            if late > assign:
                raise fail_at(graph.operations[late], f"uses the old value of @{symbol} behind its assign")
