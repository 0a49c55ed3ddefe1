# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Whether a dispatch that reads and writes one buffer may do so in place.

A dispatch runs as many workgroups, in any order and at the same time, and IREE takes the buffers that it
reads and the buffers that it writes for different memory. So an element may be read only by the very
iteration that writes it, and by nothing else in the dispatch. That is so in one form, the one that IREE
gives an optimizer's arithmetic behind the gradient that it belongs to::

    %old = iree_tensor_ext.dispatch.tensor.load %r, offsets = [0, 0], sizes = [4, 16], ...
    %new = linalg.generic {iterator_types = ["parallel", "parallel"]} ins(%old, ...) ...
    iree_tensor_ext.dispatch.tensor.store %new, %w, offsets = [0, 0], sizes = [4, 16], ...

where ``%old`` and ``%new`` have the same indexing map. Everything else counts as unsafe.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from iree.compiler import ir

from . import stream_ir

_SUBSPAN = "stream.binding.subspan"
_LOAD = "iree_tensor_ext.dispatch.tensor.load"
_STORE = "iree_tensor_ext.dispatch.tensor.store"

#: Operations whose results are their operands, of another type or known to be in a range.
_SAME_NUMBER = ("arith.index_cast", "arith.index_castui", "util.assume.int")

NONE: Mapping[int, int] = MappingProxyType({})

#: Of the type of a binding's part, what stands in front of ``tensor<…>``.
_TENSOR = re.compile(r"^!iree_tensor_ext\.dispatch\.tensor<\w+:")


class _Unsafe(Exception):
    """A use of the buffer in a form that is not known to be safe."""


class _Place(NamedTuple):
    """Where the elements of a value lie in the buffer: equal places, equal elements in the same order."""

    shape: tuple[int, ...]
    base: str
    """What is added to ``offset`` at run time."""
    offset: int
    strides: tuple[int, ...]
    """Of the dimensions that have more than one element; in bytes, as ``offset`` is."""


class _Read(NamedTuple):
    """An operand that is a part of the buffer, and which part."""

    reader: Any
    operand: int
    place: _Place


class _Written(NamedTuple):
    """A value that is stored to a part of the buffer."""

    value: Any
    place: _Place


def reads(function: Any, bindings: Collection[int], numbers: Mapping[int, int] = NONE) -> bool:
    """Whether ``function`` reads what is bound to its arguments ``bindings``, or may do so.

    ``numbers`` are the arguments that are numbers known at the call, by index.
    """
    try:
        return bool(_accesses(function, bindings, numbers)[0])
    except _Unsafe:
        return True


def updates_in_place(function: Any, bindings: Collection[int], numbers: Mapping[int, int] = NONE) -> bool:
    """Whether ``function`` works when its arguments ``bindings``, read and written, are one buffer."""
    try:
        read, written = _accesses(function, bindings, numbers)
    except _Unsafe:
        return False
    return not read or _elementwise(read, written)


def _accesses(
    function: Any, bindings: Collection[int], numbers: Mapping[int, int]
) -> tuple[list[_Read], list[_Written]]:
    arguments = function.regions[0].blocks[0].arguments
    read: list[_Read] = []
    written: list[_Written] = []
    for binding in bindings:
        for subspan, _ in _uses(function, arguments[binding]):
            if subspan.name != _SUBSPAN:
                raise _Unsafe
            for op, operand in _uses(function, subspan.results[0]):
                if op.name == _LOAD:
                    place = _place(op, subspan, op.results[0], numbers)
                    read += [_Read(*use, place) for use in _uses(function, op.results[0])]
                elif op.name == _STORE and operand == 1:
                    written.append(_Written(op.operands[0], _place(op, subspan, op.operands[0], numbers)))
                else:
                    raise _Unsafe
    return read, written


def _uses(function: Any, value: Any) -> Iterator[tuple[Any, int]]:
    """The operations that use ``value`` and by which operand; all of them must be the function's own."""
    for use in value.uses:
        op = use.owner.operation
        if op.parent != function:
            raise _Unsafe
        yield op, use.operand_number


def _place(access: Any, subspan: Any, value: Any, numbers: Mapping[int, int]) -> _Place:
    """Where a load or store finds the elements of ``value``; raises ``_Unsafe`` if it is not known."""
    if any(str(operand.type) == "index" for operand in access.operands):
        raise _Unsafe
    tensor = ir.RankedTensorType(ir.Type.parse(_TENSOR.sub("", str(subspan.results[0].type)[:-1])))
    if not tensor.has_static_shape or tensor.encoding is not None:
        raise _Unsafe
    step = _bytes(tensor.element_type)
    offset = 0
    strides: list[int] = []
    parts = zip(
        tensor.shape, *(_static(access, part) for part in ("offsets", "sizes", "strides")), strict=True
    )
    for extent, begin, size, stride in reversed(list(parts)):
        offset += begin * step
        if size != 1:
            strides.insert(0, stride * step)
        step *= extent
    shape = tuple(ir.RankedTensorType(value.type).shape)
    start = subspan.operands[1]
    known = _number(start, numbers)
    if known is None:
        return _Place(shape, start.get_name(), offset, tuple(strides))
    return _Place(shape, "", known + offset, tuple(strides))


def _number(value: Any, numbers: Mapping[int, int]) -> int | None:
    """A number that is known at the call, ``numbers`` being the function's arguments that are."""
    if isinstance(value.owner, ir.Block):
        return numbers.get(ir.BlockArgument(value).arg_number)
    if value.owner.name not in _SAME_NUMBER:
        return stream_ir.constant(value)
    operand = value.owner.operands[list(value.owner.results).index(value)]
    known = _number(operand, numbers)
    # Others may be other numbers as another type.
    return known if known is not None and 0 <= known < 1 << 31 else None


def _static(access: Any, part: str) -> list[int]:
    return list(ir.DenseI64ArrayAttr(access.attributes[f"static_{part}"]))


def _bytes(element: ir.Type) -> int:
    """The size of an element in memory; raises ``_Unsafe`` for those that are packed."""
    if not isinstance(element, ir.IntegerType | ir.FloatType):
        raise _Unsafe
    bits: int = element.width
    if bits % 8:
        raise _Unsafe
    return bits // 8


def _elementwise(read: list[_Read], written: list[_Written]) -> bool:
    """Whether one ``linalg.generic`` is all that reads and writes, each element where it is."""
    generic = read[0].reader
    if generic.name != "linalg.generic" or any(use.reader != generic for use in read):
        return False
    # A result that something else in the dispatch uses might be computed again, from what is written by then.
    if any(use.owner.operation.name != _STORE for result in generic.results for use in result.uses):
        return False
    maps = [ir.AffineMapAttr(m).value for m in ir.ArrayAttr(generic.attributes["indexing_maps"])]
    results = list(generic.results)
    inputs = len(maps) - len(results)
    places = {(maps[use.operand], use.place) for use in read}
    operands = {use.operand for use in read}
    for value, place in written:
        if value not in results:
            return False
        # What a result begins with is put where it is going to be, before anything is read from there.
        begin = inputs + results.index(value)
        if begin not in operands and not _is_empty(generic.operands[begin]):
            return False
        places.add((maps[begin], place))
    # A permutation of all loops, those of other results' sums among them: an iteration has an element.
    return len(places) == 1 and all(order.is_permutation for order, _ in places)


def _is_empty(value: Any) -> bool:
    return not isinstance(value.owner, ir.Block) and value.owner.name == "tensor.empty"
