# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-split-rows``: large activations that nothing keeps are computed a few rows at a time."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.analysis.block_graph import BlockGraph
from pock.compiler.torch_ir import gradients_of
from pock.dialects.types import bytes_of

from .base import Pass
from .simplify import erase_unused
from .strips import CONVOLUTION, MAPPED, PERMUTE, Region, multiplications, row_operation

_ROWS = 1
"""The dimension of ``[N, *spatial, C]`` that is divided."""

MOST_AGAIN = 1.25
"""Operations, by those of the whole, up to which rows are computed by each strip that needs them."""

LEAST_ROWS = 4
"""Rows of a strip: of fewer, products have too few rows themselves."""


@dataclass(frozen=True)
class SplitRows(Pass):
    """Compute activations over space, where they are large and nothing keeps them, a few rows at a time.

    What one convolution writes and the next one reads is then still in the cache, and never in memory as a
    whole: below the layers that are trained, as nothing there is kept for the backward pass. A strip of rows
    of what comes out needs some more of what goes in, and these are computed by each strip that needs them.
    It is the patch-based inference of MCUNetV2 (2110.15352). With strips of four rows::

        %y = "sparsebp.convolution"(%x, %v) {channels_last, padding = array<i64: 1, 1>, ...}
            : (!torch.vtensor<[1,8,8,3],f32>, ...) -> !torch.vtensor<[1,8,8,64],f32>
        %z = "sparsebp.convolution"(%y, %w) {channels_last, padding = array<i64: 0, 0>, ...}
            : (!torch.vtensor<[1,8,8,64],f32>, ...) -> !torch.vtensor<[1,8,8,8],f32>

    becomes::

        %x0 = "sparsebp.select_channels"(%x) {axis = 1 : i64, mask = #sparsebp.mask<"range", "positions", array<i64: 0, 5>>}
        %y0 = "sparsebp.convolution"(%x0, %v) {padding = array<i64: 1, 1>, padding_high = array<i64: 0, 1>, ...}
            : (!torch.vtensor<[1,5,8,3],f32>, ...) -> !torch.vtensor<[1,4,8,64],f32>
        %z0 = "sparsebp.convolution"(%y0, %w) {padding = array<i64: 0, 0>, ...}
        %x1 = "sparsebp.select_channels"(%x) {axis = 1 : i64, mask = #sparsebp.mask<"range", "positions", array<i64: 3, 8>>}
        %y1 = "sparsebp.convolution"(%x1, %v) {padding = array<i64: 0, 1>, padding_high = array<i64: 1, 1>, ...}
        %z1 = "sparsebp.convolution"(%y1, %w) {padding = array<i64: 0, 0>, ...}
        %zs = torch.prim.ListConstruct %z0, %z1
        %z = torch.aten.cat %zs, 1

    Activations of more than ``most`` bytes are divided, into strips of up to so many, where at least two
    convolutions read and write them, one value comes out, and strips of equal heights, of four rows or more,
    compute up to a quarter more. Each element is the same sum as before, in other tiles where it is computed as
    Winograd does. What is not channels last is left alone, as are ``@predict`` and ``@evaluate``.
    """  # noqa: E501

    name: ClassVar[str] = "sparsebp-split-rows"

    most: int = 7 << 17

    def apply(self, module: ir.Module) -> None:
        function, least = gradients_of(module), self.most
        while (finder := _Finder(function, least)).largest > least:
            for region in finder.regions():
                height = region.height(self.most)
                if height is not None:
                    region.divide(height)
            # What cannot be divided as a whole, in two: where less is written between two convolutions.
            least *= 2
        erase_unused(function)


# -- what can be divided ------------------------------------------------------------------------


class _Finder:
    """Finds the operations around activations of more than ``most`` bytes, those together that share one."""

    def __init__(self, function: Any, most: int) -> None:
        self.graph = BlockGraph(function)
        self.over_rows = [row_operation(op, _ROWS) for op in self.graph.operations]
        self._of = list(range(len(self.graph)))
        """A tree for each group of operations, whose root it is known by."""
        sizes = [0 if each is None else bytes_of(each.result.type) for each in self.over_rows]
        self.largest = max(sizes, default=0)
        """Bytes of the largest activation."""
        for i, size in enumerate(sizes):
            if size > most and self._is_read_by_rows(i):
                for user in self.graph.users[i]:
                    self._of[self._root(user)] = self._root(i)

    def regions(self) -> list["_Strips"]:
        """What may be divided, in program order."""
        groups: dict[int, set[int]] = {}
        for i in range(len(self.graph)):
            groups.setdefault(self._root(i), set()).add(i)
        together = [group for group in groups.values() if len(group) > 1]
        taken = set().union(*together)
        found = []
        for group in together:
            if sum(self.graph.names[i] == CONVOLUTION for i in group) >= 2 and self._grow(group, taken):
                taken |= group
                found.append(sorted(group))
        return [
            _Strips([each for i in group if (each := self.over_rows[i]) is not None], _ROWS)
            for group in sorted(found, key=max)
        ]

    def _root(self, i: int) -> int:
        while self._of[i] != i:
            i = self._of[i]
        return i

    def _is_read_by_rows(self, i: int, users: Iterable[int] | None = None) -> bool:
        """Whether operations, by default all that do, read the result of ``i`` by the rows that it has."""
        value = self.graph.operations[i].results[0]
        for user in self.graph.users[i] if users is None else users:
            found, operands = self.over_rows[user], self.graph.operations[user].operands
            if found is None or any(
                v == value and found.images.get(p) != _ROWS for p, v in enumerate(operands)
            ):
                return False
        return True

    def _grow(self, group: set[int], taken: set[int]) -> bool:
        """Add what IREE would fuse with a group. Whether one value comes out of it, in rows."""
        users = self.graph.users
        exits = [i for i in group if not group.issuperset(users[i])]
        if len(exits) != 1:
            return False
        last = exits[0]
        while len(users[last]) == 1 and self._is_read_by_rows(last):
            (user,) = users[last]
            if user in taken or self.graph.names[user] not in MAPPED:
                break
            group.add(user)
            last = user
        for i in sorted(group):
            for producer in self.graph.producers[i]:
                copies = self.graph.names[producer] == PERMUTE and self.over_rows[producer] is not None
                if copies and producer not in taken and group.issuperset(users[producer]):
                    group.add(producer)
        return all(self._is_read_by_rows(i, group.intersection(users[i])) for i in group)


# -- dividing it --------------------------------------------------------------------------------


class _Strips(Region):
    """What is computed in strips of equal heights."""

    def height(self, most: int) -> int | None:
        """How many rows of the result a strip has, None if dividing it does not pay."""
        whole, _ = self._cost(self.rows)
        for height in (n for n in range(self.rows // 2, LEAST_ROWS - 1, -1) if self.rows % n == 0):
            operations, largest = self._cost(height)
            if operations > MOST_AGAIN * whole:
                return None
            if largest <= most:
                return height if all(map(self.reads_input, self.strips(height))) else None
        return None

    def _cost(self, height: int) -> tuple[int, int]:
        """How many operations all strips of so many rows take, and the bytes of the largest value of one."""
        operations = largest = 0
        for strip in self.strips(height):
            for each, (begin, end) in zip(self.operations, self.needed(strip), strict=True):
                operations += (end - begin) * multiplications(each)
                largest = max(largest, (end - begin) * bytes_of(each.result.type) // each.rows)
        return operations, largest
