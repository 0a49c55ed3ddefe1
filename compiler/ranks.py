# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The programs of the cores that share a step by its channels, as one module.

Each rank's program is compiled as any other (``sparsebp-split-channels`` says what is in it); here they
become functions of one module, ``step``, ``step_1`` and so on, and their parts of parameters globals of their
own.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch_mlir import ir

from pock.dialects import sparsebp

from .analysis.declared import role_of
from .passes.base import fail_at
from .passes.materialize_state import SCOPE, state_of, tensor_type
from .passes.split_channels import part_of
from .passes.split_evaluation import LOSS
from .program import archive_key
from .torch_ir import functions, operations, step_of


class Part(NamedTuple):
    """Which part of a tensor each of ``ranks`` ranks has: one along ``axis``, of each of its ``blocks``."""

    axis: int
    blocks: int
    ranks: int

    def of(self, whole: np.ndarray, rank: int) -> np.ndarray:
        """The part of ``rank``."""
        before, size, behind = whole.shape[: self.axis], whole.shape[self.axis], whole.shape[self.axis + 1 :]
        own = size // (self.blocks * self.ranks)
        blocked = whole.reshape(*before, self.blocks, self.ranks, own, *behind)
        taken = np.take(blocked, rank, axis=self.axis + 1)
        return np.ascontiguousarray(taken.reshape(*before, self.blocks * own, *behind))


def of_rank(name: str, rank: int) -> str:
    """The name of a function, or parameter, of ``rank``."""
    return name if rank == 0 else f"{name}_{rank}"


def _global(name: str, rank: int) -> str:
    """The name of the global of a part of a parameter."""
    return f"{name}/{rank}"


def parts_of(module: ir.Module) -> dict[str, Part]:
    """The declarations of which ranks have parts, an optimizer's slots among them."""
    declared = sparsebp.declarations(module)
    found = {name: Part(*part) for name, op in declared.items() if (part := part_of(op)) is not None}
    for name, op in declared.items():
        attributes = op.operation.attributes
        if role_of(op) != "optimizer":
            continue
        of = ir.StringAttr(attributes["parameter"]).value
        if of in found and tensor_type(op).shape == tensor_type(declared[of]).shape:
            found[name] = found[of]
    return found


def state_parts(module: ir.Module) -> list[dict[str, int] | None]:
    """The metadata of the parts of the state, None of what each rank has whole."""
    parts = parts_of(module)
    return [
        {"axis": parts[name].axis, "blocks": parts[name].blocks} if name in parts else None
        for name in state_of(module)
    ]


def part_values(values: Mapping[str, np.ndarray], parts: Mapping[str, Part]) -> dict[str, np.ndarray]:
    """The values of the globals of parts, by their names."""
    return {
        _global(name, rank): part.of(values[name], rank)
        for name, part in parts.items()
        if name in values
        for rank in range(part.ranks)
    }


def exchanges(module: ir.Module) -> bool:
    """Whether there is anything that ranks tell each other."""
    return any(operations(function, "sparsebp.all_reduce") for function in functions(module).values())


def exchange_bytes(module: ir.Module) -> int:
    """The bytes that ranks exchange in, of a lowered program."""
    arguments = list(step_of(module).operation.regions[0].blocks[0].arguments)
    size: int = ir.RankedTensorType(arguments[-2].type).shape[0]
    return size


def merge(modules: Sequence[ir.Module], parts: Mapping[str, Part]) -> None:
    """Move everything that the ranks' lowered modules do not have in common into the first."""
    orders = [_exchanges(module) for module in modules]
    if any(order != orders[0] for order in orders):
        raise fail_at(modules[0].operation, "ranks do not exchange in the same order")
    for rank, module in enumerate(modules):
        for op in list(module.body.operations):
            operation = op.operation
            name = ir.StringAttr(operation.attributes["sym_name"]).value
            if operation.name == "func.func":
                if rank > 0 and name == LOSS:
                    continue
                _rename_loads(op, parts, rank)
                operation.attributes["sym_name"] = ir.StringAttr.get(of_rank(name, rank), module.context)
            elif operation.name == "util.global" and name in parts:
                _rename_global(operation, _global(name, rank))
            elif rank > 0:
                continue
            if rank > 0:
                operation.detach_from_parent()
                modules[0].body.append(op)


def _exchanges(module: ir.Module) -> dict[str, list[str]]:
    """What each function of a rank exchanges, in order."""
    return {
        name: [str(op.operation.attributes["entry_points"]) for op in operations(function, "flow.dispatch")]
        for name, function in functions(module).items()
    }


def _rename_loads(function: Any, parts: Mapping[str, Part], rank: int) -> None:
    for op in operations(function, "util.global.load"):
        name = ir.FlatSymbolRefAttr(op.operation.attributes["global"]).value
        if name in parts:
            op.operation.attributes["global"] = ir.FlatSymbolRefAttr.get(
                _global(name, rank), op.operation.context
            )


def _rename_global(operation: Any, name: str) -> None:
    context = operation.context
    type_ = ir.TypeAttr(operation.attributes["type"]).value
    key = ir.StringAttr.get(archive_key(name), context)
    initial = f'#flow.parameter.named<"{SCOPE}"::{key}> : {type_}'
    operation.attributes["sym_name"] = ir.StringAttr.get(name, context)
    operation.attributes["initial_value"] = ir.Attribute.parse(initial, context)
