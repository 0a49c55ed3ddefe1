# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How much a step does, for the runtime to choose how many cores that is worth."""

import math
from dataclasses import dataclass
from typing import Any

from iree.compiler import ir

from .analysis.state_hazards import dispatched, executables, stream_function
from .tiling import nest_of, root_of

_LOAD, _STORE = "iree_tensor_ext.dispatch.tensor.load", "iree_tensor_ext.dispatch.tensor.store"


@dataclass(frozen=True)
class Work:
    """Dispatches of one call, bytes that they load and store, and multiplications in their products."""

    dispatches: int = 0
    bytes: int = 0
    products: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.dispatches + other.dispatches, self.bytes + other.bytes, self.products + other.products
        )


def work_of(stream: ir.Module, name: str) -> Work:
    """The work of the function ``name`` of a module at the stream phase, as far as sizes are known."""
    among = executables(stream)
    known: dict[str, Work] = {}
    found: list[Work] = []

    def visit(op: Any) -> ir.WalkResult:
        if op.operation.name == "stream.cmd.dispatch":
            entry = str(ir.ArrayAttr(op.operation.attributes["entry_points"])[0])
            if entry not in known:
                known[entry] = _kernel(dispatched(among, entry))
            found.append(known[entry])
        return ir.WalkResult.ADVANCE

    stream_function(stream, name).walk(visit)
    return sum(found, Work())


def _kernel(function: Any) -> Work:
    """The work of one dispatch."""
    moved = 0
    for op in function.regions[0].blocks[0].operations:
        if op.operation.name == _LOAD:
            moved += _bytes(op.operation.results[0].type)
        elif op.operation.name == _STORE:
            moved += _bytes(op.operation.operands[0].type)
    root = root_of(function)
    nest = None if root is None else nest_of(root)
    return Work(1, moved, math.prod(nest.sizes) if nest is not None and nest.multiplies else 0)


def _bytes(type_: ir.Type) -> int:
    """The size of a tensor; 0 if it is not static."""
    if not isinstance(type_, ir.RankedTensorType) or not type_.has_static_shape:
        return 0
    element = type_.element_type
    width = element.width if isinstance(element, ir.IntegerType | ir.FloatType) else 64
    return math.prod(type_.shape) * -(-width // 8)
