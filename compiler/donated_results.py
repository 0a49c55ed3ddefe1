# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Returning nothing that the caller holds already.

A function of IREE's returns a view of each result, also of those that lie in storage which its caller has
donated and knows. Of a hundred and more state tensors a step makes and the caller drops as many views, all of
them out of the caches after a long step.
"""

from collections.abc import Mapping
from typing import Any

from iree.compiler import ir

from .analysis import stream_ir

_AWAIT, _PART = "stream.timepoint.await", "stream.resource.subview"
_EXPORT, _IMPORT = "stream.tensor.export", "stream.tensor.import"
_REFLECTION, _DECLARATION = "iree.reflection", "iree.abi.declaration"


def drop_donated(stream: ir.Module, donated: Mapping[str, Mapping[int, int]]) -> bool:
    """Have functions no longer return what they leave in donated storage.

    ``stream`` is a module at the stream phase; ``donated`` maps, for each function, the index of an argument
    to the index of the result that lives in its storage. Returns whether that is so of all functions: each
    such result is where it is to be, and what is still returned waits for all of them. Nothing has changed
    if not.
    """
    functions = {name: stream_ir.function(stream, name) for name, given in donated.items() if given}
    if not all(_is_in_place(function, donated[name]) for name, function in functions.items()):
        return False
    for name, function in functions.items():
        _drop(function, set(donated[name].values()))
    return True


def _is_in_place(function: Any, donated: Mapping[int, int]) -> bool:
    blocks = list(function.regions[0].blocks)
    if len(blocks) != 1:
        return False
    returned = [_made_of(value, _EXPORT) for value in _terminator(function).operands]
    for argument, result in donated.items():
        storage = _made_of(_computed(returned[result]), _IMPORT)
        if storage is None or storage != blocks[0].arguments[argument]:
            return False
    results = set(donated.values())
    dropped = {_wait(returned[i]) for i in results} - {None}
    kept = {_wait(resource) for i, resource in enumerate(returned) if i not in results}
    return dropped <= kept


def _made_of(value: Any | None, name: str) -> Any | None:
    """What an operation called ``name`` makes ``value`` of, None if there is no such."""
    if value is None or isinstance(value.owner, ir.Block) or value.owner.name != name:
        return None
    return value.owner.operands[0]


def _wait(resource: Any | None) -> Any | None:
    """The operation that waits until a resource, or what it is a part of, is computed."""
    while (whole := _made_of(resource, _PART)) is not None:
        resource = whole
    return None if resource is None or _made_of(resource, _AWAIT) is None else resource.owner


def _computed(resource: Any | None) -> Any | None:
    """The memory that a resource is computed in."""
    if resource is None or _made_of(resource, _AWAIT) is None:
        return resource
    return resource.owner.operands[ir.OpResult(resource).result_number]


def _terminator(function: Any) -> Any:
    operations = function.regions[0].blocks[0].operations
    return operations[len(operations) - 1].operation


def _drop(function: Any, dropped: set[int]) -> None:
    """No longer return the results ``dropped``."""
    end = _terminator(function)
    returned = list(end.operands)
    kept = [i for i in range(len(returned)) if i not in dropped]
    ir.Operation.create(
        "util.return", [], [returned[i] for i in kept], loc=end.location, ip=ir.InsertionPoint(end)
    )
    end.erase()
    for index in dropped:
        returned[index].owner.erase()
    attributes, context = function.attributes, function.context
    type_ = ir.FunctionType(ir.TypeAttr(attributes["function_type"]).value)
    results = [type_.results[i] for i in kept]
    attributes["function_type"] = ir.TypeAttr.get(
        ir.FunctionType.get(type_.inputs, results, context), context
    )
    if "res_attrs" in attributes:
        each = list(ir.ArrayAttr(attributes["res_attrs"]))
        attributes["res_attrs"] = ir.ArrayAttr.get([each[i] for i in kept], context)
    if _REFLECTION in attributes:
        # The declaration is for people, who would read what is no longer so.
        entries = {named.name: named.attr for named in ir.DictAttr(attributes[_REFLECTION])}
        entries.pop(_DECLARATION, None)
        attributes[_REFLECTION] = ir.DictAttr.get(entries, context)
