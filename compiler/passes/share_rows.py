# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-share-rows``: the first layers are divided among the cores by rows of the image."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.analysis.block_graph import BlockGraph
from pock.compiler.analysis.declared import symbol_of
from pock.compiler.analysis.ranks import BY_RANK, Ranks, exchange_seconds, is_exchanged
from pock.compiler.torch_ir import body, functions, makers, step_of

from .base import Pass, fail_at
from .split_channels import part_biases
from .strips import TORCH_CONVOLUTION, Region, RowOperation, row_operation

_ROWS = 2
"""The dimension of ``[N, C, *spatial]`` that is divided."""


@dataclass(frozen=True)
class ShareRows(Pass):
    """Have each of ``count`` ranks compute its rows of what the first layers make of an image.

    Ranks that share channels exchange what each pair of layers makes, and of the first layers that is most:
    of MobileNetV2 on 224 x 224, half of all bytes after the first three of 17 blocks. Rows of an image are
    made of the same rows of the image before, and a few next to them. So where nothing of these layers is
    kept for the backward pass, each rank computes its part of the rows, with those next to them, of several
    layers, and there is one exchange, of what comes out. For ``count=2``::

        %y = torch.aten.convolution %x, %v, ... : (!torch.vtensor<[1,3,8,8],f32>, ...) -> !torch.vtensor<[1,64,8,8],f32>
        %z = torch.aten.convolution %y, %w, ... : (!torch.vtensor<[1,64,8,8],f32>, ...) -> !torch.vtensor<[1,8,8,8],f32>

    becomes::

        %x0 = "sparsebp.select_channels"(%x) {axis = 2 : i64, mask = #sparsebp.mask<"range", "positions", array<i64: 0, 5>>}
        %p0 = torch.aten.constant_pad_nd %x0, [0, 0, 1, 0], 0.0
        %y0 = torch.aten.convolution %p0, %v, ... -> !torch.vtensor<[1,64,4,8],f32>
        %z0 = torch.aten.convolution %y0, %w, ... -> !torch.vtensor<[1,8,4,8],f32>
        %x1 = "sparsebp.select_channels"(%x) {axis = 2 : i64, mask = #sparsebp.mask<"range", "positions", array<i64: 3, 8>>}
        ...
        %zs = torch.prim.ListConstruct %z0, %z1
        %z = torch.aten.cat %zs, 2 {sparsebp.by_rank}

    of which ``sparsebp-split-channels`` leaves each rank its own part. How many layers is a matter of the time
    that they take about, divided by rows and by channels (``analysis/ranks.py``). Of other functions than
    ``@step`` it is those layers at most. With ``count=1`` nothing changes.
    """  # noqa: E501

    name: ClassVar[str] = "sparsebp-share-rows"

    count: int = 1

    def apply(self, module: ir.Module) -> None:
        if self.count < 1:
            raise fail_at(module.operation, f"count = {self.count}: expected 1 or more")
        if self.count == 1:
            return
        step = step_of(module)
        part_biases(module)
        regions = list(_regions(step, self.count))
        if not regions:
            return
        plan = _Plan(step, self.count)
        best = max(regions, key=plan.gain)
        if plan.gain(best) <= 0:
            return
        weights = _read_by(best)
        _share(best, self.count)
        for name, function in functions(module).items():
            if name != "step":
                _share_most(function, self.count, weights)


def _share_most(function: Any, count: int, weights: Collection[str]) -> None:
    """Divide as many of a function's first layers as read no parameters but ``weights``."""
    found = [region for region in _regions(function, count) if _read_by(region) <= set(weights)]
    if found:
        _share(max(found, key=lambda region: len(region.operations)), count)


# -- what can be divided ------------------------------------------------------------------------


def _regions(function: Any, count: int) -> Iterator[Region]:
    """What may be divided: all that a value is made of, from an argument on, if nothing else reads of it."""
    graph = BlockGraph(function)
    arguments = set(body(function).arguments)
    given = set(arguments)
    over_rows = [row_operation(op, _ROWS) for op in graph.operations]
    before: list[set[int] | None] = []
    """For each operation those over space that its result is made of, itself among them; None if not only."""
    for i, op in enumerate(graph.operations):
        operands = [value for value in op.operands if value in given]
        if not operands:
            before.append(set())
            continue
        given.update(op.results)
        each, made = over_rows[i], [before[k] for k in graph.producers[i]]
        if each is None or None in made or not _is_by_rows(each, set(operands) - arguments):
            before.append(None)
            continue
        region = {i}.union(*(some for some in made if some))
        before.append(region)
        closed = all(k == i or region.issuperset(graph.users[k]) for k in region)
        convolutions = sum(graph.names[k] == TORCH_CONVOLUTION for k in region)
        exchanged = bool(graph.users[i]) and is_exchanged(each.result)
        if closed and convolutions > 1 and exchanged and each.rows % count == 0:
            found = Region([o for k in sorted(region) if (o := over_rows[k]) is not None], _ROWS)
            if all(map(found.reads_input, found.strips(each.rows // count))):
                yield found


def _is_by_rows(each: RowOperation, values: Collection[ir.Value]) -> bool:
    """Whether an operation reads the rows of all of these values that it makes, or around them."""
    return all(v not in values or each.images.get(i) == _ROWS for i, v in enumerate(each.op.operands))


def _read_by(region: Region) -> set[str]:
    """The names of the declarations that a region's operations read."""
    inside = {each.result for each in region.operations}
    others = (v for each in region.operations for v in each.op.operands if v not in inside)
    made = (maker for value in others for maker in makers(value))
    return {symbol_of(op) for op in made if op is not None and op.operation.name == "sparsebp.read"}


class _Plan:
    """What operations take about, divided by channels or by rows."""

    def __init__(self, function: Any, count: int) -> None:
        self._ranks = Ranks(function, count)
        self._seconds: dict[ir.Value, tuple[float, float]] = {}

    def gain(self, region: Region) -> float:
        """The seconds that a region takes less divided by rows than by channels."""
        by_channels, by_rows = 0.0, exchange_seconds(region.result)
        height = region.rows // self._ranks.count
        strips = [region.needed(strip) for strip in region.strips(height)]
        for each, *parts in zip(region.operations, *strips, strict=True):
            divided, whole = self._of(each)
            by_channels += divided
            by_rows += whole * max(end - begin for begin, end in parts) / each.rows
        return by_channels - by_rows

    def _of(self, each: RowOperation) -> tuple[float, float]:
        """What an operation takes divided by channels, and whole."""
        if each.result not in self._seconds:
            self._seconds[each.result] = self._ranks.seconds(each.op), self._ranks.whole_seconds(each.op)
        return self._seconds[each.result]


# -- dividing it --------------------------------------------------------------------------------


def _share(region: Region, count: int) -> None:
    """Put the result together of ``count`` parts."""
    whole = region.divide(region.rows // count)
    whole.owner.attributes[BY_RANK] = ir.UnitAttr.get(whole.context)
