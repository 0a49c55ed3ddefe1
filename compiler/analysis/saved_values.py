# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the backward pass needs of the forward pass, and the least that has to be kept for it.

A minimum cut as in PyTorch's partitioner for ``torch.compile`` (``min_cut_rematerialization_partition``),
for a compiler that fuses arithmetic on elements into what uses it, but not in front of a contraction.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch_mlir import ir

from pock.dialects.types import element_of, is_vtensor, shape_of

from .block_graph import BlockGraph
from .elementwise import ELEMENTWISE, FILLS, REDUCTIONS, TRANSCENDENTAL
from .min_cut import UNLIMITED, FlowGraph
from .old_values import SINKS, is_contraction, is_view

#: More than all of a program's values.
_TOO_MUCH = UNLIMITED >> 16

_STORED_FOR_LESS = 64
"""To save what is stored anyway, a product's result or operand, may take one more byte in so many."""

_BYTES = {"i1": 1, "si8": 1, "ui8": 1, "f16": 2, "bf16": 2, "si16": 2, "f64": 8, "si64": 8}


@dataclass(frozen=True)
class Choice:
    """What may be computed again: values of at least ``least`` bytes, by transcendental functions or not.

    ``bits`` may be saved, a byte each.
    """

    least: int
    transcendental: bool
    bits: bool


class SavedValues:
    """The operations of a step by the pass that needs them; operations are numbers, as in ``graph``.

    ``forward`` is what the returned values need, the first ``returned`` of them if they are followed by what
    the backward pass computes. ``both`` are the operations whose results may be saved:
    the forward pass, and what can be computed from it by cheap operations alone. ``free`` are constants and
    small values that need only state: they are there in both passes. The rest is the backward pass.
    """

    def __init__(self, graph: BlockGraph, choice: Choice, returned: int | None = None) -> None:
        self.graph = graph
        self.choice = choice
        ends = graph.numbered("func.return")
        results = {value for i in ends for value in list(graph.operations[i].operands)[:returned]}
        roots = [i for i, op in enumerate(graph.operations) if results.intersection(op.results)]
        self.forward = _needed_by(graph, roots).union(ends)
        everywhere = set(range(len(graph)))
        self._stored = self._taken_by(everywhere)
        feeding = self._taken_by(everywhere - self.forward)
        self.free: set[int] = set()
        self.both: set[int] = set()
        self._available: set[int] = set()
        for i in range(len(graph)):
            if self._is_free(i):
                self.free.add(i)
            elif i in self.forward or (
                self.is_cheap(i) and i not in feeding and self._available.issuperset(graph.producers[i])
            ):
                self.both.add(i)
            else:
                continue
            self._available.add(i)
        self.saved = self._cut(feeding)

    # Kinds of operations.

    def _tensors(self, i: int) -> list[ir.Value]:
        return [value for value in self.graph.operations[i].results if is_vtensor(value.type)]

    def _is_large(self, i: int) -> bool:
        return any(size_of(value) >= self.choice.least for value in self._tensors(i))

    def _is_free(self, i: int) -> bool:
        name = self.graph.names[i]
        if name == "sparsebp.read" or name in FILLS:
            return True
        if name in SINKS or not self.free.issuperset(self.graph.producers[i]):
            return False
        tensors = [value for value in self.graph.operations[i].operands if is_vtensor(value.type)]
        if any(isinstance(value.owner, ir.Block) for value in tensors):
            return False
        return is_view(name) or not self._is_large(i)

    def is_cheap(self, i: int) -> bool:
        """Whether the backward pass may compute the result of an operation itself."""
        name = self.graph.names[i]
        if len(self._tensors(i)) != len(self.graph.operations[i].results) or not self._is_large(i):
            return False
        if name in TRANSCENDENTAL and not self.choice.transcendental:
            return False
        return name in ELEMENTWISE or (is_view(name) and name != "sparsebp.select_channels")

    def _is_product(self, i: int) -> bool:
        """Whether operands are stored for an operation: it is a contraction and no reduction."""
        return is_contraction(self.graph.names[i]) and self.graph.names[i] not in REDUCTIONS

    def _taken_by(self, operations: set[int]) -> set[int]:
        """What these operations take as it is stored, directly or as a view."""
        found: set[int] = set()
        for i in reversed(range(len(self.graph))):
            name = self.graph.names[i]
            takes = i in operations and (self._is_product(i) or name in SINKS)
            if takes or (is_view(name) and i in found):
                found.update(self.graph.producers[i])
        return found

    # The cut.

    def _cut(self, feeding: set[int]) -> set[int]:
        """The operations whose results are kept: a minimum cut between these and the backward pass."""
        source, sink = 2 * len(self.graph), 2 * len(self.graph) + 1
        flow = FlowGraph(2 * len(self.graph) + 2)
        for i in self.both:
            flow.connect(2 * i, 2 * i + 1, self._cost(i))
            is_stored = i in feeding and not is_view(self.graph.names[i])
            if is_stored or not self.is_cheap(i):
                flow.connect(source, 2 * i, UNLIMITED)
            for producer in self.graph.producers[i]:
                if producer in self.both:
                    flow.connect(2 * producer + 1, 2 * i, UNLIMITED)
            if any(user not in self._available for user in self.graph.users[i]):
                flow.connect(2 * i + 1, sink, UNLIMITED)
        behind = flow.behind_cut(source, sink)
        return {i for i in self.both if 2 * i not in behind and 2 * i + 1 in behind}

    def _cost(self, i: int) -> int:
        """The bytes that are kept, a little more where only the backward pass wants them stored.

        And one more for what would have to move into the forward pass.
        """
        tensors = self._tensors(i)
        if not self.choice.bits and any(element_of(value.type) == "i1" for value in tensors):
            return _TOO_MUCH
        size = sum(size_of(value) for value in tensors)
        is_stored = i in self._stored or not self.is_cheap(i) or is_view(self.graph.names[i])
        return size + (0 if is_stored else size // _STORED_FOR_LESS) + (i not in self.forward)


def size_of(value: ir.Value) -> int:
    """The bytes of a tensor."""
    return math.prod(shape_of(value.type)) * _BYTES.get(element_of(value.type), 4)


def _needed_by(graph: BlockGraph, roots: Sequence[int]) -> set[int]:
    """``roots`` and the operations that they need."""
    needed, pending = set(roots), list(roots)
    while pending:
        new = set(graph.producers[pending.pop()]) - needed
        needed |= new
        pending.extend(new)
    return needed
