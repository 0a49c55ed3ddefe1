# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Minimum cuts against all cuts there are."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from pock.compiler.analysis.min_cut import UNLIMITED, FlowGraph

SIZE = 6
EDGES = st.lists(
    st.tuples(
        st.integers(0, SIZE - 1), st.integers(0, SIZE - 1), st.sampled_from([0, 1, 2, 3, 7, UNLIMITED])
    ),
    max_size=14,
)


@given(EDGES)
def test_behind_cut(edges: list[tuple[int, int, int]]) -> None:
    # There is a cut: what leaves the source is limited.
    limited = [(a, b, min(capacity, 5) if a == 0 else capacity) for a, b, capacity in edges]
    graph = FlowGraph(SIZE)
    for a, b, capacity in limited:
        graph.connect(a, b, capacity)
    inner = range(1, SIZE - 1)
    behind = [{SIZE - 1, *chosen} for n in range(SIZE - 1) for chosen in combinations(inner, n)]
    costs = [sum(c for a, b, c in limited if a not in side and b in side) for side in behind]
    smallest = [side for side, cost in zip(behind, costs, strict=True) if cost == min(costs)]
    assert graph.behind_cut(0, SIZE - 1) == set.intersection(*smallest)
