# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reading a program's declarations: masks, dimensions, who reads and writes what."""

from collections.abc import Iterator
from typing import Any

from torch_mlir import ir

from pock.compiler.torch_ir import operations, update_of
from pock.dialects import sparsebp
from pock.dialects.sparsebp import Mask

WRITES = ("sparsebp.update", "sparsebp.assign")
"""The operations that give a declaration a new value."""


def symbol_of(op: Any) -> str:
    """The declaration that a read, update or assign refers to."""
    name: str = ir.FlatSymbolRefAttr(op.operation.attributes["symbol"]).value
    return name


def role_of(declaration: Any) -> str:
    """``parameter``, ``buffer``, ``optimizer``, ``step`` or ``seed``."""
    role: str = ir.StringAttr(declaration.operation.attributes["role"]).value
    return role


def mask_of(declaration: Any) -> Mask:
    """The update mask of a ``sparsebp.parameter``; state is always updated whole."""
    if declaration.operation.name == "sparsebp.state":
        return Mask.full()
    return Mask.from_attr(declaration.operation.attributes["mask"])


def dimensions_of(declaration: Any) -> list[str]:
    """The names of a parameter's dimensions."""
    return [ir.StringAttr(n).value for n in ir.ArrayAttr(declaration.operation.attributes["dimensions"])]


def writers(module: ir.Module) -> Iterator[Any]:
    """The updates and assigns of a training step, in program order."""
    for op in operations(update_of(module)):
        if op.operation.name in WRITES:
            yield op


def frozen(module: ir.Module) -> set[str]:
    """Declarations that no training step writes, nor the caller, as the seed: constants of the program."""
    written = {symbol_of(op) for op in writers(module)}
    return {
        name
        for name, op in sparsebp.declarations(module).items()
        if name not in written and role_of(op) != "seed"
    }
