# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The state of a training program that is no parameter: the random seed and the step count."""

from typing import Any

from torch_mlir import ir

from pock.compiler.source import MODEL, Part, Source
from pock.compiler.torch_ir import TorchBuilder, body, update_of
from pock.dialects import sparsebp
from pock.dialects.sparsebp import Mask
from pock.dialects.types import vtensor

SEED = "#seed"
STEP = "#step"


def declare_state(
    module: ir.Module, name: str, type_: ir.Type, role: str, initial: ir.Attribute, **more: Any
) -> None:
    """Declare state in front of the functions; what is declared already stays as it is."""
    if name in sparsebp.declarations(module):
        return
    first_function = next(op for op in module.body.operations if op.operation.name == "func.func")
    builder = TorchBuilder(first_function, ir.Location.unknown(module.context))
    attributes = {
        "sym_name": ir.StringAttr.get(name),
        "type": ir.TypeAttr.get(type_),
        "role": ir.StringAttr.get(role),
        "initial": initial,
        **more,
    }
    builder.create("sparsebp.state", [], [], attributes)


def _scalar_i64() -> tuple[ir.Type, ir.Attribute]:
    element = ir.IntegerType.get_signless(64)
    return ir.RankedTensorType.get([], element), ir.IntegerAttr.get(element, 0)


def declare_random_state(module: ir.Module) -> None:
    """Declare the seed of the random masks."""
    type_, zero = _scalar_i64()
    declare_state(module, SEED, type_, "seed", zero)


def count_steps(module: ir.Module) -> None:
    """Declare the step count and let ``@step`` add one to it, unless it does already.

    The count is 0 during the first step; it is read before it is assigned.
    """
    if STEP in sparsebp.declarations(module):
        return
    type_, zero = _scalar_i64()
    declare_state(module, STEP, type_, "step", zero)
    step = update_of(module)
    end = list(body(step).operations)[-1]
    builder = TorchBuilder(end, Source(Part.UPDATE, MODEL).around(end.operation.location))
    value = builder.read(STEP, vtensor((), "si64"))
    builder.write("assign", STEP, Mask.full().to_attr(), builder.add(value, 1))
