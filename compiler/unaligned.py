# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Letting kernels read a caller's arrays wherever they lie.

IREE takes it that every buffer begins at a multiple of 64 bytes, and its kernels fail where one does not.
NumPy's arrays begin at multiples of 16, and slices of them wherever an element may: without this they would
have to be copied first.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from iree.compiler import ir

from .analysis import stream_ir

_ALIGNMENT = "stream.alignment"

#: Operations of a function whose result is the buffer that they are given, or a part of it.
_FORWARDING = ("stream.tensor.import", "stream.resource.subview", "stream.timepoint.await")

#: Operations and commands that no kernel runs for.
_NEUTRAL = ("hal.buffer_view.assert", "stream.cmd.copy", "stream.cmd.flush", "stream.cmd.invalidate")


class _NotUnderstood(Exception):
    """A use of an argument that may lead to a kernel or may not."""


def accept_unaligned(stream: ir.Module, arguments: Mapping[str, int]) -> bool:
    """Have kernels take the first arguments of functions as aligned to their elements and no more.

    ``stream`` is a module at the stream phase, ``arguments`` the number of such arguments by function.
    Returns whether all were followed to the kernels that read them; nothing has changed if not.
    """
    kernels = stream_ir.kernels(stream)
    try:
        found = [
            binding
            for name, count in arguments.items()
            for argument in list(stream_ir.function(stream, name).regions[0].blocks[0].arguments)[:count]
            for binding in _bindings(argument, kernels)
        ]
    except (_NotUnderstood, ValueError):
        return False
    for function, index in found:
        _forget_alignment(function, index)
    return True


def _bindings(value: Any, kernels: Mapping[stream_ir.Entry, Any]) -> Iterator[tuple[Any, int]]:
    """The kernels that a buffer is bound to, and as which of their bindings."""
    for use in value.uses:
        op = use.owner.operation
        if op.name in _FORWARDING:
            yield from _bindings(op.results[use.operand_number if len(op.results) > 1 else 0], kernels)
        elif op.name == "stream.cmd.execute":
            yield from _bindings(op.regions[0].blocks[0].arguments[use.operand_number], kernels)
        elif op.name == "stream.cmd.dispatch":
            # Behind workload and uniform operands.
            first = sum(map(len, stream_ir.operand_groups(op)[:2]))
            for entry in stream_ir.entries(op):
                if entry not in kernels:
                    raise _NotUnderstood
                yield kernels[entry], use.operand_number - first
        elif op.name not in _NEUTRAL:
            raise _NotUnderstood


def _forget_alignment(function: Any, binding: int) -> None:
    """Drop what a kernel knows of where its ``binding`` begins."""
    index = stream_ir.bindings(function)[binding].arg_number
    attributes = [ir.DictAttr(each) for each in ir.ArrayAttr(function.attributes["arg_attrs"])]
    kept = {named.name: named.attr for named in attributes[index] if named.name != _ALIGNMENT}
    attributes[index] = ir.DictAttr.get(kept, function.context)
    function.attributes["arg_attrs"] = ir.ArrayAttr.get(attributes, function.context)
