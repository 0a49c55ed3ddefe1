# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-split-rows``: large activations that nothing keeps are computed a few rows at a time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.analysis.block_graph import BlockGraph
from pock.compiler.analysis.elementwise import ELEMENTWISE, FILLS
from pock.compiler.torch_ir import NotConstant, TorchBuilder, attributes_of, gradients_of, permutation
from pock.dialects.sparsebp import Mask
from pock.dialects.sparsebp.layout import is_channels_last
from pock.dialects.sparsebp.window import PADDING_HIGH, Window
from pock.dialects.types import NotAStaticTensor, bytes_of, element_of, is_vtensor, shape_of, vtensor

from .base import Pass
from .condensing import POSITIONS
from .simplify import erase_unused
from .sinking import select

_CONVOLUTION, _PERMUTE = "sparsebp.convolution", "torch.aten.permute"

_ELEMENTWISE = frozenset(ELEMENTWISE) - {*FILLS, "sparsebp.save"}

_ROWS = 1
"""The dimension of ``[N, *spatial, C]`` that is divided."""

MOST_AGAIN = 1.25
"""Operations, by those of the whole, up to which rows are computed by each strip that needs them."""

LEAST_ROWS = 4
"""Rows of a strip: of fewer, products have too few rows themselves."""

Rows = tuple[int, int]
"""The first row and the one behind the last."""


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


def _images(op: Any) -> dict[int, int] | None:
    """Which operands an operation reads row by row, and their dimension of rows; None if it does not.

    A row of the result is made of rows of these, and of all of the other operands.
    """
    if len(op.results) != 1 or not is_vtensor(op.results[0].type):
        return None
    try:
        shape = shape_of(op.results[0].type)
        if len(shape) < 3 or shape[_ROWS] < 2:
            return None
        if op.name == _CONVOLUTION:
            return {0: _ROWS} if is_channels_last(op) and _reads_input(op) else None
        if op.name == _PERMUTE:
            source, order = permutation(op.results[0])
            return {0: order[_ROWS]} if source == op.operands[0] else None
        return _elementwise_images(op, shape) if op.name in _ELEMENTWISE else None
    except (NotAStaticTensor, NotConstant):
        return None


def _reads_input(op: Any) -> bool:
    """Whether each row of a convolution's output is made of more than padding."""
    window = _window(op)
    return max(window.padding[0], window.high[0]) <= (window.kernel[0] - 1) * window.dilation[0]


def _elementwise_images(op: Any, shape: Sequence[int]) -> dict[int, int] | None:
    found = {}
    for position, value in enumerate(op.operands):
        if not is_vtensor(value.type):
            continue
        own = shape_of(value.type)
        axis = _ROWS - (len(shape) - len(own))
        if axis >= 0 and own[axis] > 1:
            found[position] = axis
    return found


class _Finder:
    """Finds the operations around activations of more than ``most`` bytes, those together that share one."""

    def __init__(self, function: Any, most: int) -> None:
        self.graph = BlockGraph(function)
        self.images = [_images(op) for op in self.graph.operations]
        self._of = list(range(len(self.graph)))
        """A tree for each group of operations, whose root it is known by."""
        sizes = [
            0 if self.images[i] is None else bytes_of(op.results[0].type)
            for i, op in enumerate(self.graph.operations)
        ]
        self.largest = max(sizes, default=0)
        """Bytes of the largest activation."""
        for i, size in enumerate(sizes):
            if size > most and self._is_read_by_rows(i):
                for user in self.graph.users[i]:
                    self._of[self._root(user)] = self._root(i)

    def regions(self) -> list["_Region"]:
        """What may be divided, in program order."""
        groups: dict[int, set[int]] = {}
        for i in range(len(self.graph)):
            groups.setdefault(self._root(i), set()).add(i)
        together = [group for group in groups.values() if len(group) > 1]
        taken = set().union(*together)
        found = []
        for group in together:
            if sum(self.graph.names[i] == _CONVOLUTION for i in group) >= 2 and self._grow(group, taken):
                taken |= group
                found.append(sorted(group))
        return [
            _Region([self.graph.operations[i] for i in group], [self.images[i] or {} for i in group])
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
            images, operands = self.images[user], self.graph.operations[user].operands
            if images is None or any(v == value and images.get(p) != _ROWS for p, v in enumerate(operands)):
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
            if user in taken or self.graph.names[user] not in _ELEMENTWISE:
                break
            group.add(user)
            last = user
        for i in sorted(group):
            for producer in self.graph.producers[i]:
                copies = self.graph.names[producer] == _PERMUTE and self.images[producer] is not None
                if copies and producer not in taken and group.issuperset(users[producer]):
                    group.add(producer)
        return all(self._is_read_by_rows(i, group.intersection(users[i])) for i in group)


# -- dividing it --------------------------------------------------------------------------------


@dataclass
class _Region:
    """Operations over space in program order, the last of which makes the only value that others read."""

    operations: list[Any]
    images: list[dict[int, int]]
    made: set[ir.Value] = field(init=False)

    def __post_init__(self) -> None:
        self.made = {op.results[0] for op in self.operations}

    @property
    def result(self) -> ir.Value:
        """What others read."""
        return self.operations[-1].results[0]

    def height(self, most: int) -> int | None:
        """How many rows of the result a strip has, None if dividing it does not pay."""
        rows = shape_of(self.result.type)[_ROWS]
        whole, _ = self._cost(rows)
        for height in (n for n in range(rows // 2, LEAST_ROWS - 1, -1) if rows % n == 0):
            operations, largest = self._cost(height)
            if operations > MOST_AGAIN * whole:
                return None
            if largest <= most:
                return height
        return None

    def _cost(self, height: int) -> tuple[int, int]:
        """How many operations all strips of so many rows take, and the bytes of the largest value of one."""
        operations = largest = 0
        for strip in self._strips(height):
            for op, (begin, end) in zip(self.operations, self._needed(strip), strict=True):
                type_ = op.results[0].type
                operations += (end - begin) * _row_operations(op)
                largest = max(largest, (end - begin) * bytes_of(type_) // shape_of(type_)[_ROWS])
        return operations, largest

    def _strips(self, height: int) -> Iterator[Rows]:
        rows = shape_of(self.result.type)[_ROWS]
        return ((begin, begin + height) for begin in range(0, rows, height))

    def _needed(self, strip: Rows) -> list[Rows]:
        """Which rows each operation computes for a strip of the result."""
        needed: dict[ir.Value, Rows] = {self.result: strip}
        for op, images in zip(reversed(self.operations), reversed(self.images), strict=True):
            rows = needed[op.results[0]]
            for position in images:
                value = op.operands[position]
                if value in self.made:
                    begin, end = _read(op, rows, shape_of(value.type)[_ROWS])
                    before = needed.get(value, (begin, end))
                    needed[value] = min(begin, before[0]), max(end, before[1])
        return [needed[op.results[0]] for op in self.operations]

    def divide(self, height: int) -> None:
        """Compute the result in strips of ``height`` rows, one after the other."""
        result = self.result
        builder = TorchBuilder(self.operations[-1])
        strips = [self._strip(builder, strip) for strip in self._strips(height)]
        builder.location = self.operations[-1].location
        result.replace_all_uses_with(builder.concatenated(strips, _ROWS))
        for op in reversed(self.operations):
            op.erase()

    def _strip(self, builder: TorchBuilder, strip: Rows) -> ir.Value:
        made: dict[ir.Value, tuple[ir.Value, int]] = {}
        for op, images, rows in zip(self.operations, self.images, self._needed(strip), strict=True):
            builder.location = op.location
            operands = list(op.operands)
            for position, axis in images.items():
                value = operands[position]
                begin, end = _read(op, rows, shape_of(value.type)[axis])
                source, first = made.get(value, (value, 0))
                mask = Mask.channels(
                    POSITIONS, range(begin - first, end - first), shape_of(source.type)[axis]
                )
                operands[position] = select(builder, source, axis, mask)
            shape = list(shape_of(op.results[0].type))
            shape[_ROWS] = rows[1] - rows[0]
            type_ = vtensor(shape, element_of(op.results[0].type))
            made[op.results[0]] = (
                builder.create(op.name, operands, [type_], _attributes(builder, op, rows)),
                rows[0],
            )
        return made[self.result][0]


def _window(op: Any) -> Window:
    return Window.of(op, shape_of(op.operands[1].type)[2:])


def _reach(op: Any, rows: Rows) -> Rows:
    """The rows of its input that a convolution reads for ``rows`` of its output, its padding among them."""
    window = _window(op)
    (kernel, *_), (stride, *_), (low, *_), (dilation, *_) = (
        window.kernel, window.stride, window.padding, window.dilation,
    )  # fmt: skip
    begin, end = rows
    return begin * stride - low, (end - 1) * stride - low + (kernel - 1) * dilation + 1


def _read(op: Any, rows: Rows, size: int) -> Rows:
    """The rows of an operand of ``size`` rows that an operation reads for ``rows`` of its result."""
    if op.name != _CONVOLUTION:
        return rows
    begin, end = _reach(op, rows)
    return max(begin, 0), min(end, size)


def _attributes(builder: TorchBuilder, op: Any, rows: Rows) -> dict[str, ir.Attribute]:
    """The attributes of an operation that computes ``rows`` of its result from the rows that it reads."""
    attributes = attributes_of(op)
    if op.name != _CONVOLUTION:
        return attributes
    window = _window(op)
    (begin, end), (first, last) = _reach(op, rows), _read(op, rows, shape_of(op.operands[0].type)[_ROWS])
    low, high = [first - begin, *window.padding[1:]], [end - last, *window.high[1:]]
    attributes.pop(PADDING_HIGH, None)
    return attributes | builder.int_arrays(padding=low, **({PADDING_HIGH: high} if high != low else {}))


def _row_operations(op: Any) -> int:
    """Multiplications and additions, or elements, of a row of an operation's result."""
    shape = shape_of(op.results[0].type)
    elements = prod(shape) // shape[_ROWS]
    return elements * (prod(shape_of(op.operands[1].type)[1:]) if op.name == _CONVOLUTION else 1)
