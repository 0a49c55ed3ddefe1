# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-prune-positions``: compute nothing at positions that the loss does not look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.torch_ir import NotConstant, TorchBuilder, constant, defining_op, functions, operations
from pock.dialects.sparsebp import Mask
from pock.dialects.types import is_vtensor, shape_of

from .base import Pass
from .condensing import POSITIONS, PRODUCTS, Condensed, condense, seed, spread
from .simplify import Simplify, erase_unused
from .sinking import SELECTION, select, selected, sink_to_the_end

_SLICES = ("torch.aten.select.int", "torch.aten.slice.Tensor")


@dataclass(frozen=True)
class PrunePositions(Pass):
    """Compute only those positions of a sequence or an image that the loss depends on, forward and backward.

    A classifier that takes the first token of a transformer needs of its last layer what becomes of that
    token: its query, its row of the scores, its feed-forward. Backward, the gradients of all other tokens
    are zero there. A slice moves towards what it is computed from (``sinking.py`` has the rules), and a
    gradient that is put among zeros is computed with as it is (``condensing.py``), as far as both go::

        %h = torch.aten.mm %x, %w : !torch.vtensor<[32,8],f32>, !torch.vtensor<[8,8],f32> -> !torch.vtensor<[32,8],f32>
        %s = torch.aten.view %h, [4, 8, 8] : ...
        %y = torch.aten.select.int %s, 1, 0 : !torch.vtensor<[4,8,8],f32>, ... -> !torch.vtensor<[4,8],f32>
        ...
        %p = torch.aten.slice_scatter %zeros, %g, 1, 0, 1, 1 : !torch.vtensor<[4,8,8],f32>, ...
        %f = torch.aten.view %p, [32, 8] : ...
        %t = torch.aten.permute %x, [1, 0] : ...
        %dw = torch.aten.mm %t, %f : !torch.vtensor<[8,32],f32>, !torch.vtensor<[32,8],f32> -> !torch.vtensor<[8,8],f32>

    becomes::

        %c = "sparsebp.select_channels"(%x) {axis = 0, mask = #sparsebp.mask<"list", …, array<i64: 0, 8, 16, 24>>} : ...
        %y = torch.aten.mm %c, %w : !torch.vtensor<[4,8],f32>, !torch.vtensor<[8,8],f32> -> !torch.vtensor<[4,8],f32>
        ...
        %t = torch.aten.permute %c, [1, 0] : ...
        %dw = torch.aten.mm %t, %g : !torch.vtensor<[8,4],f32>, !torch.vtensor<[4,8],f32> -> !torch.vtensor<[8,8],f32>

    Gradients are condensed if that makes a product of matrices smaller. Where activations that the loss does
    not depend on are infinite or NaN, PyTorch's gradients may be NaN, as zero times infinity is; here they
    are not looked at.
    """  # noqa: E501

    name: ClassVar[str] = "sparsebp-prune-positions"

    def apply(self, module: ir.Module) -> None:
        for function in functions(module).values():
            _condense_all(function)
            erase_unused(function)
            _select_all(function)
            sink_to_the_end(function)
        Simplify().apply(module)


# -- backward -----------------------------------------------------------------------------------


def _condense_all(function: Any) -> None:
    """Compute with what is not zero, from gradients that are put among zeros as far as it goes."""
    known: dict[ir.Value, Condensed] = {}
    origins: dict[ir.Value, set[ir.Value]] = {}
    found: list[tuple[Any, Condensed | ir.Value, set[ir.Value]]] = []
    paying: set[ir.Value] = set()
    for op in operations(function):
        operation = op.operation
        if (start := seed(op)) is not None:
            known[operation.results[0]], origins[operation.results[0]] = start, {operation.results[0]}
            continue
        used = [value for value in operation.operands if value in known]
        condensed = condense(op, known) if used else None
        if condensed is None:
            continue
        begun = set[ir.Value]().union(*(origins[value] for value in used))
        if operation.name in PRODUCTS:
            paying |= begun
        if isinstance(condensed, Condensed):
            known[operation.results[0]], origins[operation.results[0]] = condensed, begun
        found.append((operation, condensed, begun))
    _replace([(op, condensed) for op, condensed, begun in found if begun & paying])


def _replace(found: Sequence[tuple[Any, Condensed | ir.Value]]) -> None:
    """Let operations that are not among the ``found`` ones use what these are replaced by."""
    rewritten = {op for op, _ in found}
    for op, condensed in found:
        result = op.results[0]
        if isinstance(condensed, Condensed):
            if all(use.owner.operation in rewritten for use in result.uses):
                continue
            condensed = spread(TorchBuilder(op), condensed, shape_of(result.type))
        result.replace_all_uses_with(condensed)


# -- forward ------------------------------------------------------------------------------------


def _select_all(function: Any) -> None:
    """Make slices selections where nothing else of what they are taken from is used."""
    for op in operations(function):
        taken = _taken(op) if op.operation.name in _SLICES else None
        if taken is None:
            continue
        # Of an argument or what is needed whole, nothing is saved.
        source = op.operation.operands[0]
        if defining_op(source) is not None and all(_taken(use.owner) == taken for use in source.uses):
            _select(op, *taken)


def _taken(op: Any) -> tuple[int, tuple[int, ...]] | None:
    """Axis and positions that a slice or a selection takes a part of its operand at; else None."""
    operation = op.operation
    if operation.name == SELECTION:
        axis, mask = selected(op)
        return axis, mask.positions()
    if operation.name not in _SLICES or not is_vtensor(operation.operands[0].type):
        return None
    shape = shape_of(operation.operands[0].type)
    try:
        axis, first, *rest = (constant(operand) for operand in list(operation.operands)[1:])
    except NotConstant:
        return None
    axis %= len(shape)
    within = range(shape[axis])
    chosen = tuple(within[slice(first, *rest)] if rest else (within[first],))
    return (axis, chosen) if 0 < len(chosen) < len(within) else None


def _select(op: Any, axis: int, chosen: tuple[int, ...]) -> None:
    """Make a slice a selection."""
    source, result = op.operation.operands[0], op.operation.results[0]
    builder = TorchBuilder(op)
    value = select(builder, source, axis, Mask.channels(POSITIONS, chosen, shape_of(source.type)[axis]))
    if shape_of(value.type) != shape_of(result.type):
        value = builder.view(value, shape_of(result.type))
    result.replace_all_uses_with(value)
    op.operation.erase()
