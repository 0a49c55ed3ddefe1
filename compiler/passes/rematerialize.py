# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-rematerialize``: keep the least of the forward pass from which the backward pass can go on."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.analysis.block_graph import BlockGraph
from pock.compiler.analysis.old_values import is_view
from pock.compiler.analysis.saved_values import Choice, SavedValues
from pock.compiler.torch_ir import (
    NotConstant,
    TorchBuilder,
    attributes_of,
    constant,
    defining_op,
    gradients_of,
    operations,
)
from pock.dialects.types import element_of, is_vtensor, shape_of

from .base import Pass
from .simplify import Simplify, erase_unused
from .split_batch import outputs_of


@dataclass(frozen=True)
class Rematerialize(Pass):
    """Save less of the forward pass, and compute again what is cheap.

    What the backward pass takes of the forward pass is written there and kept until then. Arithmetic on
    elements and views cost next to nothing inside the operations that use their results, so there is a
    choice: an activation, what it is computed from, or what is made of it. A minimum cut through that
    arithmetic finds the fewest bytes, as PyTorch's partitioner for ``torch.compile`` does; of about as many,
    those that are stored anyway, as what products make and take. What a contraction of the backward pass
    takes is never computed again. ::

        %z = torch.aten.convolution %x, %w, ...
        %a = torch.aten.add.Tensor %z, %shift, ...
        %r = torch.aten.hardtanh %a, 0.0, 6.0
        %y = torch.aten.convolution %r, %v, ...
        ...
        %low = torch.aten.le.Scalar %a, 0.0
        %high = torch.aten.ge.Scalar %a, 6.0
        %off = torch.aten.bitwise_or.Tensor %low, %high
        %da = torch.aten.where.self %off, %zero, %dr

    becomes, where nothing else needs ``%a`` or ``%r`` later::

        %z = torch.aten.convolution %x, %w, ...
        %a = torch.aten.add.Tensor %z, %shift, ...
        %r = torch.aten.hardtanh %a, 0.0, 6.0
        %low = torch.aten.le.Scalar %r, 0.0
        %high = torch.aten.ge.Scalar %r, 6.0
        %off = torch.aten.bitwise_or.Tensor %low, %high
        %s = "sparsebp.save"(%off)
        %y = torch.aten.convolution %r, %v, ...
        ...
        %da = torch.aten.where.self %s, %zero, %dr

    That ``hardtanh`` has clamped an element is seen from its result: where a trained weight needs ``%r``, the
    bits are made of it in the backward pass. Where something needs ``%z``, all else is computed again from
    that. The results are the same to the bit. Random numbers are never drawn again. Values of less than
    ``least`` bytes stay as they are, and exponentials and the like are computed again with
    ``transcendental`` only. Without ``bits`` none are stored: one takes a byte, which not every target has.
    """

    name: ClassVar[str] = "sparsebp-rematerialize"

    least: int = 4096
    transcendental: bool = False
    bits: bool = True

    def apply(self, module: ir.Module) -> None:
        step = gradients_of(module)
        _compare_results(step)
        for op in operations(step):
            _merge_views(op)
        Simplify().apply(module)
        choice = Choice(self.least, self.transcendental, self.bits)
        values = SavedValues(BlockGraph(step), choice, outputs_of(step))
        _Rewriter(values).rewrite()
        erase_unused(step)


# -- preparation --------------------------------------------------------------------------------


def _compare_results(step: Any) -> None:
    """Let comparisons with the bounds of a ``hardtanh`` of the same, if behind it, take its result."""
    clamped: dict[ir.Value, tuple[ir.Value, dict[str, float]]] = {}
    for op in operations(step):
        name, operands = op.operation.name, op.operation.operands
        if name == "torch.aten.hardtanh" and (bounds := _bounds(op)) is not None:
            names = ("torch.aten.le.Scalar", "torch.aten.ge.Scalar")
            clamped[operands[0]] = op.operation.results[0], dict(zip(names, bounds, strict=True))
        elif name in ("torch.aten.le.Scalar", "torch.aten.ge.Scalar") and operands[0] in clamped:
            result, expected = clamped[operands[0]]
            if _number(operands[1]) == expected[name]:
                op.operation.operands[0] = result


def _bounds(op: Any) -> tuple[float, float] | None:
    """The bounds of ``hardtanh``, if they are different numbers of the tensor's precision."""
    operand, *bounds = op.operation.operands
    low, high = (_number(bound) for bound in bounds)
    if low is None or high is None or not low < high or not is_vtensor(operand.type):
        return None
    wide = element_of(operand.type) in ("f32", "f64")
    # Whole numbers of eight bits are exact in all of them.
    return (low, high) if wide or all(n == int(n) and abs(n) <= 256 for n in (low, high)) else None


def _number(value: ir.Value) -> float | None:
    try:
        return float(constant(value))
    except NotConstant:
        return None


_RESHAPES = ("torch.aten.unsqueeze", "torch.aten.view")


def _merge_views(op: Any) -> None:
    """Make views of views of a vector views of that: equal ones are merged then."""
    result = op.operation.results[0] if op.operation.name in _RESHAPES else None
    if result is None or not is_vtensor(result.type) or len(shape_of(result.type)) < 3:
        return
    source = result
    while (producer := defining_op(source)) is not None and producer.operation.name in _RESHAPES:
        source = producer.operation.operands[0]
    if is_vtensor(source.type) and len(shape_of(source.type)) == 1:
        result.replace_all_uses_with(TorchBuilder(op).view(source, shape_of(result.type)))
        op.operation.erase()


# -- the border ---------------------------------------------------------------------------------


class _Rewriter:
    """Lets the backward pass compute what it needs from what is saved.

    ``moved`` are results that were computed behind the forward pass, and what is saved of them in it.
    ``kept`` are results of the forward pass, and what is saved of them, where the backward pass repeats
    arithmetic: that must not be merged with the first time. ``again`` is what it has computed, by the result
    of the operation that it has repeated.
    """

    def __init__(self, values: SavedValues) -> None:
        self.values = values
        self.graph = values.graph
        self.numbers = {op: i for i, op in enumerate(self.graph.operations)}
        self.moved: dict[ir.Value, ir.Value] = {}
        self.kept: dict[ir.Value, ir.Value] = {}
        self.again: dict[ir.Value, ir.Value] = {}

    def rewrite(self) -> None:
        for i in sorted(self.values.saved - self.values.forward):
            self._move(i)
        for i, op in enumerate(self.graph.operations):
            if i not in self.values.both and i not in self.values.free:
                for position, value in enumerate(op.operands):
                    op.operands[position] = self._late(value, op, False)

    def _number(self, value: ir.Value) -> int | None:
        """The number of the operation that defines ``value``; None for arguments and what is new."""
        op = defining_op(value)
        return None if op is None else self.numbers.get(op.operation)

    def _move(self, i: int) -> None:
        """Compute the result of operation ``i`` and save it as soon as what it needs is there."""
        needed = self._needed_behind(i)
        anchor = max(p for n in needed for p in self.graph.producers[n] if p in self.values.forward)
        last = self.graph.operations[anchor]
        copies: dict[ir.Value, ir.Value] = {}
        for n in sorted(n for n in needed if n > anchor):
            op = self.graph.operations[n]
            operands = [copies.get(value, value) for value in op.operands]
            last = _repeated(op, operands, ir.InsertionPoint.after(last))
            copies.update(zip(op.results, last.results, strict=True))
        self.moved[self.graph.operations[i].results[0]] = _save(last.results[0])

    def _needed_behind(self, i: int) -> set[int]:
        """Operation ``i`` and what it needs that is not of the forward pass."""
        found, pending = {i}, [i]
        while pending:
            new = set(self.graph.producers[pending.pop()]) - self.values.forward - found
            found |= new
            pending.extend(new)
        return found

    def _late(self, value: ir.Value, user: Any, repeats: bool) -> ir.Value:
        """``value`` as the backward pass has it for ``user``, which ``repeats`` arithmetic or does not."""
        i = self._number(value)
        if i is None or i not in self.values.both:
            return value
        if i in self.values.saved:
            if repeats and value not in self.moved and value not in self.kept:
                self.kept[value] = _save(value)
            return self.moved.get(value) or (self.kept[value] if repeats else value)
        if value not in self.again:
            op = self.graph.operations[i]
            repeats = repeats or (i in self.values.forward and not is_view(op.name))
            operands = [self._late(operand, user, repeats) for operand in op.operands]
            if operands == list(op.operands):
                return value
            self.again[value] = _repeated(op, operands, ir.InsertionPoint(user)).results[0]
        return self.again[value]


def _save(value: ir.Value) -> ir.Value:
    b = TorchBuilder(value.owner)
    b.ip = ir.InsertionPoint.after(value.owner)
    saved: ir.Value = b.create("sparsebp.save", [value], [value.type])
    return saved


def _repeated(op: Any, operands: list[ir.Value], ip: ir.InsertionPoint) -> Any:
    """The operation once more, on other operands."""
    return ir.Operation.create(
        op.name,
        results=[result.type for result in op.results],
        operands=operands,
        attributes=attributes_of(op),
        loc=op.location,
        ip=ip,
    )
