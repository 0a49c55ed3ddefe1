# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A few rows of what operations over space make, from the rows that they need: what passes share.

Rows are those of one dimension of space: the third in PyTorch's layout, the second in channels-last.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

from torch_mlir import ir

from pock.compiler.analysis.elementwise import ELEMENTWISE, FILLS
from pock.compiler.torch_ir import (
    NotConstant,
    TorchBuilder,
    attributes_of,
    constant,
    paddings,
    permutation,
    widen,
)
from pock.dialects.sparsebp import Mask
from pock.dialects.sparsebp.layout import is_channels_last
from pock.dialects.sparsebp.window import PADDING_HIGH, Window
from pock.dialects.types import NotAStaticTensor, element_of, is_vtensor, shape_of, vtensor

from .condensing import POSITIONS
from .sinking import select

CONVOLUTION, PERMUTE = "sparsebp.convolution", "torch.aten.permute"

TORCH_CONVOLUTION = "torch.aten.convolution"
"""In PyTorch's layout."""

_CONVOLUTIONS = (CONVOLUTION, TORCH_CONVOLUTION)

_PAD = "torch.aten.constant_pad_nd"

MAPPED = frozenset(ELEMENTWISE) - {*FILLS, "sparsebp.save"}
"""Operations that compute each element from those of its own row."""

_STRIDE, _PADDING, _DILATION, _TRANSPOSED = 3, 4, 5, 6
"""Operands of ``torch.aten.convolution``."""

Rows = tuple[int, int]
"""The first row and the one behind the last."""

Images = dict[int, int]
"""Which operands an operation reads row by row, and their dimension of rows."""


class _RowWindow(NamedTuple):
    """The window of a convolution, along rows."""

    kernel: int
    stride: int
    low: int
    high: int
    dilation: int

    @property
    def reads_input(self) -> bool:
        """Whether each row of the output is made of more than padding."""
        return max(self.low, self.high) <= (self.kernel - 1) * self.dilation

    def reach(self, rows: Rows) -> Rows:
        """The rows of the input that are read for ``rows`` of the output, its padding among them."""
        begin, end = rows
        return begin * self.stride - self.low, (
            (end - 1) * self.stride - self.low + (self.kernel - 1) * self.dilation + 1
        )


class RowOperation(NamedTuple):
    """An operation each row of whose result is made of rows of some operands, and of all of the others."""

    op: Any
    result: ir.Value
    rows: int
    """How many rows the result has."""
    images: Images
    sizes: tuple[int, ...]
    """How many rows each of these operands has."""
    window: _RowWindow | None
    """That of a convolution, or of padding; others read the rows that they make."""

    def read(self, rows: Rows, size: int) -> Rows:
        """The rows of an operand of ``size`` rows that are read for ``rows`` of the result."""
        if self.window is None:
            return rows
        begin, end = self.window.reach(rows)
        return max(begin, 0), min(end, size)


def row_operation(op: Any, axis: int) -> RowOperation | None:
    """An operation as one over rows, of dimension ``axis``, of its result; None if it is none."""
    if len(op.results) != 1 or not is_vtensor(op.results[0].type):
        return None
    try:
        (result,) = op.results
        shape = shape_of(result.type)
        if len(shape) < 3 or axis >= len(shape) or shape[axis] < 2:
            return None
        window = _window(op, axis) if op.name in (*_CONVOLUTIONS, _PAD) else None
        images = _images(op, shape, axis) if window is None else {0: axis}
        if images is None or (window is not None and not _reads_rows(op, window, axis)):
            return None
        sizes = tuple(shape_of(op.operands[i].type)[at] for i, at in images.items())
        return RowOperation(op, result, shape[axis], images, sizes, window)
    except (NotAStaticTensor, NotConstant):
        return None


def _reads_rows(op: Any, window: _RowWindow, axis: int) -> bool:
    """Whether rows of dimension ``axis`` are made as the window says, of more than padding."""
    if op.name == _PAD:
        return True  # What a strip reads is looked at.
    transposed = op.name == TORCH_CONVOLUTION and constant(op.operands[_TRANSPOSED])
    return axis == _rows_of(op) and window.reads_input and not transposed


def _images(op: Any, shape: Sequence[int], axis: int) -> Images | None:
    if op.name == PERMUTE:
        source, order = permutation(op.results[0])
        return {0: order[axis]} if source == op.operands[0] else None
    return _mapped_images(op, shape, axis) if op.name in MAPPED else None


def _rows_of(op: Any) -> int:
    """A convolution's dimension of rows."""
    return 1 if op.name == CONVOLUTION and is_channels_last(op) else 2


def _mapped_images(op: Any, shape: Sequence[int], axis: int) -> Images:
    found = {}
    for position, value in enumerate(op.operands):
        if not is_vtensor(value.type):
            continue
        own = shape_of(value.type)
        at = axis - (len(shape) - len(own))
        if at >= 0 and own[at] > 1:
            found[position] = at
    return found


def _window(op: Any, axis: int) -> _RowWindow:
    if op.name == _PAD:
        low, high = paddings(op)[axis]
        return _RowWindow(1, 1, low, high, 1)
    kernel = shape_of(op.operands[1].type)[2:]
    if op.name == CONVOLUTION:
        w = Window.of(op, kernel)
        return _RowWindow(w.kernel[0], w.stride[0], w.padding[0], w.high[0], w.dilation[0])
    stride, padding, dilation = (_numbers(op, i)[0] for i in (_STRIDE, _PADDING, _DILATION))
    return _RowWindow(kernel[0], stride, padding, padding, dilation)


def _numbers(op: Any, position: int) -> list[int]:
    """One number for each dimension of space."""
    return widen([int(n) for n in constant(op.operands[position])], len(shape_of(op.operands[1].type)) - 2)


@dataclass
class Region:
    """Operations over space in program order, the last of which makes the only value that others read."""

    operations: list[RowOperation]
    axis: int
    """The dimension of rows of each result."""
    sources: list[list[int | None]] = field(init=False)
    """Which of the operations make the operands that each reads row by row; None for what others make."""

    def __post_init__(self) -> None:
        made = {each.result: i for i, each in enumerate(self.operations)}
        self.sources = [[made.get(each.op.operands[p]) for p in each.images] for each in self.operations]

    @property
    def result(self) -> ir.Value:
        """What others read."""
        return self.operations[-1].result

    @property
    def rows(self) -> int:
        """How many rows the result has."""
        return self.operations[-1].rows

    def reads_input(self, strip: Rows) -> bool:
        """Whether nothing of a strip is padding alone."""
        return all(
            begin < end
            for each, rows in zip(self.operations, self.needed(strip), strict=True)
            for begin, end in (each.read(rows, size) for size in each.sizes)
        )

    def needed(self, strip: Rows) -> list[Rows]:
        """Which rows each operation computes for a strip of the result."""
        last = len(self.operations) - 1
        needed: dict[int, Rows] = {last: strip}
        for i in range(last, -1, -1):
            each = self.operations[i]
            for source, size in zip(self.sources[i], each.sizes, strict=True):
                if source is not None:
                    begin, end = each.read(needed[i], size)
                    before = needed.get(source, (begin, end))
                    needed[source] = min(begin, before[0]), max(end, before[1])
        return [needed[i] for i in range(last + 1)]

    def strip(self, builder: TorchBuilder, strip: Rows) -> ir.Value:
        """Compute some rows of the result."""
        made: list[tuple[ir.Value, int]] = []
        for each, sources, rows in zip(self.operations, self.sources, self.needed(strip), strict=True):
            builder.location = each.op.location
            operands = list(each.op.operands)
            for (position, axis), source, size in zip(each.images.items(), sources, each.sizes, strict=True):
                begin, end = each.read(rows, size)
                value, first = (operands[position], 0) if source is None else made[source]
                mask = Mask.channels(POSITIONS, range(begin - first, end - first), shape_of(value.type)[axis])
                operands[position] = select(builder, value, axis, mask)
            made.append((self._again(builder, each, operands, rows), rows[0]))
        return made[-1][0]

    def _again(
        self, builder: TorchBuilder, each: RowOperation, operands: list[ir.Value], rows: Rows
    ) -> ir.Value:
        """``rows`` of what an operation makes, from the rows that it reads."""
        op = each.op
        shape, attributes = list(shape_of(each.result.type)), attributes_of(op)
        shape[self.axis] = rows[1] - rows[0]
        if each.window is not None:
            (begin, end), (size,) = each.window.reach(rows), each.sizes
            padding = max(-begin, 0), max(end - size, 0)
            if op.name == CONVOLUTION:
                attributes = _padded(builder, op, padding)
            elif op.name == _PAD:
                operands[1] = builder.int_list(_amounts(op, self.axis, padding))
            else:
                operands = _padded_operands(builder, op, operands, padding)
        type_ = vtensor(shape, element_of(each.result.type))
        made: ir.Value = builder.create(op.name, operands, [type_], attributes)
        return made

    def strips(self, height: int) -> list[Rows]:
        """The rows of the result in strips of so many, which divide them."""
        return [(begin, begin + height) for begin in range(0, self.rows, height)]

    def divide(self, height: int) -> ir.Value:
        """Put the result together of strips of ``height`` rows, and erase the operations; the new result."""
        last = self.operations[-1].op
        builder = TorchBuilder(last)
        strips = [self.strip(builder, strip) for strip in self.strips(height)]
        builder.location = last.location
        whole = builder.concatenated(strips, self.axis)
        self.result.replace_all_uses_with(whole)
        for each in reversed(self.operations):
            each.op.erase()
        return whole


def multiplications(each: RowOperation) -> int:
    """Multiplications and additions, or elements, of a row of an operation's result."""
    elements = prod(shape_of(each.result.type)) // each.rows
    convolves = each.op.name in _CONVOLUTIONS
    return elements * (prod(shape_of(each.op.operands[1].type)[1:]) if convolves else 1)


def _amounts(pad: Any, axis: int, rows: tuple[int, int]) -> list[int]:
    """What PyTorch pads by, from the last dimension on, with ``rows`` for the dimension ``axis``."""
    amounts = paddings(pad)
    amounts[axis] = rows
    return [n for both in reversed(amounts) for n in both]


def _padded(builder: TorchBuilder, op: Any, padding: tuple[int, int]) -> dict[str, ir.Attribute]:
    """The attributes of a convolution with another padding of rows."""
    window, attributes = Window.of(op, ()), attributes_of(op)
    low, high = [padding[0], *window.padding[1:]], [padding[1], *window.high[1:]]
    attributes.pop(PADDING_HIGH, None)
    return attributes | builder.int_arrays(padding=low, **({PADDING_HIGH: high} if high != low else {}))


def _padded_operands(
    builder: TorchBuilder, op: Any, operands: Sequence[ir.Value], padding: tuple[int, int]
) -> list[ir.Value]:
    """The operands of a convolution with another padding of rows, apart where both ends differ."""
    x, *rest = operands
    rows, *others = _numbers(op, _PADDING)
    own = padding[0] if padding[0] == padding[1] else 0
    if own != padding[0] or own != padding[1]:
        shape = list(shape_of(x.type))
        shape[2] += sum(padding)
        pads = [0, 0] * len(others) + list(padding)
        x = builder.aten("constant_pad_nd", x, pads, 0.0, shape=shape, element=element_of(x.type))
    if own != rows:
        rest[_PADDING - 1] = builder.int_list([own, *others])
    return [x, *rest]
