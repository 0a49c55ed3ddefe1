# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Declarations of a training program and the checks that need to see the whole module.

Operations defined through IRDL cannot be symbol users, so this is the dialect's ``verifySymbolUses``:
``verify_program`` runs when a program is read and after each pass. That no two declarations, or a
declaration and a function, have one name is MLIR's to check: a module sees to it for every ``sym_name``.
"""

from typing import Any

from torch_mlir import ir

from ..types import builtin_tensor, shape_of
from .dialect import fail
from .mask import Mask

_USERS = ("sparsebp.read", "sparsebp.update", "sparsebp.assign")


def declarations(module: Any) -> dict[str, Any]:
    """``sparsebp.parameter`` and ``sparsebp.state`` operations of ``module`` by name, in order."""
    return {
        ir.StringAttr(op.operation.attributes["sym_name"]).value: op
        for op in module.operation.regions[0].blocks[0].operations
        if op.operation.name in ("sparsebp.parameter", "sparsebp.state")
    }


def symbol_users(module: Any) -> list[Any]:
    """Every read, update and assign in ``module``, in program order."""
    users = []

    def visit(op: Any) -> ir.WalkResult:
        if op.operation.name in _USERS:
            users.append(op)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit, ir.WalkOrder.PRE_ORDER)
    return users


def _check(op: Any, declaration: Any | None) -> str | None:
    operation = op.operation
    symbol = ir.FlatSymbolRefAttr(operation.attributes["symbol"]).value
    if declaration is None:
        return f"refers to @{symbol}, which nothing declares"
    attributes = declaration.operation.attributes
    declared = ir.RankedTensorType(ir.TypeAttr(attributes["type"]).value)
    read = operation.name == "sparsebp.read"
    value = operation.results[0] if read else operation.operands[0]
    expected = tuple(declared.shape)
    if not read:
        mask = Mask.from_attr(operation.attributes["mask"])
        if declaration.operation.name == "sparsebp.parameter":
            names = [ir.StringAttr(n).value for n in ir.ArrayAttr(attributes["dimensions"])]
        else:
            names = [str(i) for i in range(declared.rank)]
        if (problem := mask.problem_for(expected, names)) is not None:
            return f"does not fit @{symbol}: {problem}"
        expected = mask.shape(expected, names)
    if operation.name == "sparsebp.update" and declaration.operation.name != "sparsebp.parameter":
        return f"updates @{symbol}, which is not a parameter"
    if shape_of(value.type) != expected:
        return f"has {value.type} for @{symbol}, whose shape here is {list(expected)}"
    if builtin_tensor(value.type).element_type != declared.element_type:
        return f"has {value.type} for @{symbol} of {declared}"
    return None


def verify_program(module: Any) -> bool:
    """Check every read, update and assign against its declaration; errors are emitted at the op."""
    good = True
    declared = declarations(module)
    for op in symbol_users(module):
        symbol = ir.FlatSymbolRefAttr(op.operation.attributes["symbol"]).value
        if (problem := _check(op, declared.get(symbol))) is not None:
            good = fail(op, problem)
    return good
