# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-prune-backward``: delete what the update masks make unnecessary."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.analysis.declared import dimensions_of, mask_of, symbol_of
from pock.compiler.analysis.old_values import is_view
from pock.compiler.torch_ir import TorchBuilder, body, defining_op, operations, step_of
from pock.dialects import sparsebp
from pock.dialects.sparsebp import Mask, MaskKind
from pock.dialects.types import is_vtensor

from .base import Pass, fail_at
from .simplify import Simplify, erase_unused
from .sinking import SELECTION, select, sink_to_the_end


@dataclass(frozen=True)
class PruneBackward(Pass):
    """Delete frozen gradients and compute masked ones only for the channels that are kept.

    The update of a frozen parameter goes, and with it everything that only it needed: its gradient,
    the activations saved for that, and the backward pass below the earliest trained layer. A
    channel mask becomes a ``sparsebp.select_channels`` of the gradient, which sinks through the
    operations that produce it until it selects from a saved activation or an output gradient::

        %dw = "sparsebp.conv_weight_grad"(%g, %x) {...} : (..., !torch.vtensor<[8,16,6,6],f32>) -> !torch.vtensor<[4,16,3,3],f32>
        "sparsebp.update"(%dw) {mask = #sparsebp.mask<"full", "", array<i64>>, symbol = @w} : ...

    with the mask ``range [0, 8)`` along ``input_channels`` on ``@w`` becomes::

        %s = "sparsebp.select_channels"(%x) {axis = 1, mask = #sparsebp.mask<"range", "input_channels", array<i64: 0, 8>>} : ...
        %dw = "sparsebp.conv_weight_grad"(%g, %s) {...} : (..., !torch.vtensor<[8,8,6,6],f32>) -> !torch.vtensor<[4,8,3,3],f32>
        "sparsebp.update"(%dw) {mask = #sparsebp.mask<"range", "input_channels", array<i64: 0, 8>>, symbol = @w} : ...

    Each selection stands right behind the value that it selects from, so that no whole activation
    lives on into the backward pass for the sake of a slice; from one that is needed whole later on,
    it selects where it is used. Only weight gradients are sliced; the gradients that flow on stay
    dense (PockEngine, MICRO 2023, section 3). ``sinking.py`` has the rules.
    """  # noqa: E501

    name: ClassVar[str] = "sparsebp-prune-backward"

    def apply(self, module: ir.Module) -> None:
        _mask_updates(module)
        step = step_of(module)
        erase_unused(step)
        while sink_to_the_end(step):
            # What a smaller gradient no longer needs is no user of other values: they may be sliced now.
            erase_unused(step)
        Simplify().apply(module)
        _hoist_all(step)


# -- updates ------------------------------------------------------------------------------------


def _mask_updates(module: ir.Module) -> None:
    """Erase the updates of frozen parameters and put a selection before those of sliced ones."""
    declared = sparsebp.declarations(module)
    for update in operations(step_of(module), "sparsebp.update"):
        declaration = declared[symbol_of(update)]
        wanted, given = mask_of(declaration), Mask.from_attr(update.operation.attributes["mask"])
        if MaskKind.NONE in (wanted.kind, given.kind):
            update.operation.erase()
        elif wanted != given:
            if given.is_sliced:
                raise fail_at(
                    update,
                    f"the gradient of @{symbol_of(update)} is that of {given.to_attr()} and cannot become "
                    f"that of {wanted.to_attr()}; prune a program whose gradients are whole",
                )
            _slice(update, wanted, dimensions_of(declaration))


def _slice(update: Any, mask: Mask, dimensions: list[str]) -> None:
    """Make an update of the whole parameter one of what ``mask`` selects."""
    gradient = update.operation.operands[0]
    update.operation.operands[0] = select(TorchBuilder(update), gradient, mask.axis(dimensions), mask)
    update.operation.attributes["mask"] = mask.to_attr()


# -- hoisting -----------------------------------------------------------------------------------


def _hoist_all(step: Any) -> None:
    """Move selections right behind the values that would otherwise live on only for their sake.

    A value that an operation behind the selection needs too stays whole up to there, and an argument or
    state is there all the time: a selection made early would only be kept besides.
    """
    order = {op.operation: i for i, op in enumerate(operations(step))}
    for op in operations(step, SELECTION):
        chain = list(_views_behind(op))
        value = chain[-1].operation.operands[0]
        source = defining_op(value)
        if source is None or source.operation.name == "sparsebp.read":
            continue
        others = [user for user in _users(value) if not _is_selected(user)]
        if all(order[user.operation] < order[op.operation] for user in others):
            for moved in chain:
                moved.operation.move_after(source.operation)
                _lead(moved, body(step))


def _views_behind(op: Any) -> Iterator[Any]:
    """``op`` and, upwards from it, the views that only it looks through."""
    yield op
    value = op.operation.operands[0]
    while (view := defining_op(value)) is not None and _is_view(view) and len(_users(value)) == 1:
        yield view
        value = view.operation.operands[0]


def _is_view(op: Any) -> bool:
    """Whether an operation is a view of its first operand."""
    return is_view(op.operation.name) and is_vtensor(op.operation.operands[0].type)


def _users(value: ir.Value) -> list[Any]:
    return [use.owner for use in value.uses]


def _is_selected(op: Any) -> bool:
    """Whether an operation selects channels, or is a view from which all users select some."""
    if op.operation.name == SELECTION:
        return True
    if not _is_view(op):
        return False
    users = _users(op.operation.results[0])
    return bool(users) and all(_is_selected(user) for user in users)


def _lead(op: Any, block: ir.Block) -> None:
    """Move the constants that an operation takes to the beginning of the block."""
    for operand in op.operation.operands:
        constant = None if is_vtensor(operand.type) else defining_op(operand)
        if constant is not None:
            if constant.operation != block.operations[0].operation:
                constant.operation.move_before(block.operations[0])
            _lead(constant, block)
