# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Finding one's way in a module at IREE's stream phase.

There, a function is a list of commands, and a dispatch names the kernels that may run for it. These are
functions within executables::

    stream.executable private @step_dispatch_0 {
      stream.executable.export public @step_dispatch_0_matmul workgroups() -> (index, index, index) {...}
      builtin.module {
        func.func @step_dispatch_0_matmul(%r: !stream.binding, %w: !stream.binding) {...}
      }
    }
    util.func public @step(%x: !hal.buffer_view) -> !hal.buffer_view {
      ...
      stream.cmd.dispatch @step_dispatch_0::@step_dispatch_0_matmul {...}
    }
"""

from collections.abc import Iterator
from typing import Any

from iree.compiler import ir

Entry = tuple[str, ...]
"""A kernel's name: that of its executable, and that of its function."""


def symbol(op: Any) -> str:
    """The name of an operation, empty if it has none."""
    attributes = op.operation.attributes
    return ir.StringAttr(attributes["sym_name"]).value if "sym_name" in attributes else ""


def function(module: ir.Module, name: str) -> Any:
    """The function ``name``; raises ``ValueError`` if there is none."""
    for op in _operations(module.operation, "util.func"):
        if symbol(op) == name:
            return op
    raise ValueError(f"no function @{name} at the stream phase")


def kernels(module: ir.Module) -> dict[Entry, Any]:
    """The functions of the executables, but for those that are only declared."""
    return {
        (symbol(executable), symbol(kernel)): kernel
        for executable in _operations(module.operation, "stream.executable")
        for inner in _operations(executable, "builtin.module")
        for kernel in _operations(inner, "func.func")
        if len(kernel.regions[0].blocks)
    }


def entries(dispatch: Any) -> list[Entry]:
    """The kernels of which one runs for a ``stream.cmd.dispatch``."""
    return [
        tuple(ir.SymbolRefAttr(entry).value) for entry in ir.ArrayAttr(dispatch.attributes["entry_points"])
    ]


def bindings(kernel: Any) -> list[Any]:
    """The arguments of a kernel that are buffers."""
    return [each for each in kernel.regions[0].blocks[0].arguments if str(each.type) == "!stream.binding"]


def operand_groups(op: Any) -> list[list[Any]]:
    """The operands of an operation by the groups that its definition puts them in."""
    operands, groups, start = list(op.operands), [], 0
    for size in ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]):
        groups.append(operands[start : start + size])
        start += size
    return groups


def constant(value: Any) -> int | None:
    """A number that is known at compile time, else None."""
    owner = value.owner
    if isinstance(owner, ir.Block) or owner.name != "arith.constant":
        return None
    return ir.IntegerAttr(owner.attributes["value"]).value


def _operations(parent: Any, name: str) -> Iterator[Any]:
    """The operations called ``name`` in the body of ``parent``."""
    for op in parent.regions[0].blocks[0].operations:
        if op.operation.name == name:
            yield op.operation
