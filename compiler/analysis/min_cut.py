# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Minimum cuts of directed graphs, by Dinic's algorithm (Soviet Math. Doklady 11, 1970)."""

from collections import deque
from dataclasses import dataclass

UNLIMITED = 1 << 60
"""A capacity that no cut goes through."""


@dataclass
class _Edge:
    to: int
    left: int
    """What more may flow through it."""
    back: int
    """The position of the opposite edge among those of ``to``."""


class FlowGraph:
    """A directed graph whose edges have capacities; nodes are numbers below ``size``."""

    def __init__(self, size: int) -> None:
        self._edges: list[list[_Edge]] = [[] for _ in range(size)]

    def connect(self, a: int, b: int, capacity: int) -> None:
        """An edge from ``a`` to ``b``."""
        self._edges[a].append(_Edge(b, capacity, len(self._edges[b])))
        self._edges[b].append(_Edge(a, 0, len(self._edges[a]) - 1))

    def behind_cut(self, source: int, sink: int) -> set[int]:
        """The nodes behind a minimum cut between ``source`` and ``sink``, of all the one next to the sink.

        There must be one: some capacity on each path is less than ``UNLIMITED``.
        """
        while (levels := self._levels(source, sink))[sink] >= 0:
            tried = [0] * len(self._edges)
            while self._augment(source, sink, levels, tried):
                pass
        return self._reaching(sink)

    def _levels(self, source: int, sink: int) -> list[int]:
        """How many edges each node is away from ``source``; -1 for those that nothing more flows to."""
        levels = [-1] * len(self._edges)
        levels[source] = 0
        pending = deque([source])
        while pending and levels[sink] < 0:
            node = pending.popleft()
            for edge in self._edges[node]:
                if edge.left and levels[edge.to] < 0:
                    levels[edge.to] = levels[node] + 1
                    pending.append(edge.to)
        return levels

    def _augment(self, source: int, sink: int, levels: list[int], tried: list[int]) -> bool:
        """Let more flow along one shortest path; whether there is one."""
        path: list[_Edge] = []
        node = source
        while node != sink:
            edges = self._edges[node]
            while tried[node] < len(edges):
                edge = edges[tried[node]]
                if edge.left and levels[edge.to] == levels[node] + 1:
                    break
                tried[node] += 1
            if tried[node] < len(edges):
                path.append(edges[tried[node]])
                node = path[-1].to
            elif not path:
                return False
            else:
                last = path.pop()
                node = self._edges[last.to][last.back].to
                tried[node] += 1
        amount = min(edge.left for edge in path)
        for edge in path:
            edge.left -= amount
            self._edges[edge.to][edge.back].left += amount
        return True

    def _reaching(self, sink: int) -> set[int]:
        """The nodes from which something more could flow to ``sink``."""
        found, pending = {sink}, [sink]
        while pending:
            node = pending.pop()
            for edge in self._edges[node]:
                if edge.to not in found and self._edges[edge.to][edge.back].left:
                    found.add(edge.to)
                    pending.append(edge.to)
        return found
