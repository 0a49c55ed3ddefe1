# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-prune-backward``: delete what the update masks make unnecessary."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.analysis.declared import dimensions_of, mask_of, symbol_of
from pock.compiler.torch_ir import TorchBuilder, body, constant, defining_op, operations, step_of
from pock.dialects import sparsebp
from pock.dialects.sparsebp import Mask, MaskKind
from pock.dialects.types import element_of, is_vtensor, shape_of, vtensor

from .base import Pass
from .simplify import Simplify


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
    lives on into the backward pass for the sake of a slice. Only weight gradients are sliced; the
    gradients that flow on stay dense (PockEngine, MICRO 2023, section 3).
    """  # noqa: E501

    name: ClassVar[str] = "sparsebp-prune-backward"

    def apply(self, module: ir.Module) -> None:
        _mask_updates(module)
        step = step_of(module)
        changed = True
        while changed:
            changed = False
            for op in operations(step, "sparsebp.select_channels"):
                changed = _sink(op) or changed
        for op in operations(step, "sparsebp.select_channels"):
            _hoist(op, body(step))
        Simplify().apply(module)


def _mask_updates(module: ir.Module) -> None:
    """Erase the updates of frozen parameters and put a selection before those of sliced ones."""
    declared = sparsebp.declarations(module)
    for update in operations(step_of(module), "sparsebp.update"):
        declaration = declared[symbol_of(update)]
        mask = mask_of(declaration)
        if mask.kind is MaskKind.NONE:
            update.operation.erase()
        elif mask.is_sliced and Mask.from_attr(update.operation.attributes["mask"]) != mask:
            gradient = update.operation.operands[0]
            axis = mask.axis(dimensions_of(declaration))
            update.operation.operands[0] = _select(TorchBuilder(update), gradient, axis, mask)
            update.operation.attributes["mask"] = mask.to_attr()


def _select(builder: TorchBuilder, value: ir.Value, axis: int, mask: Mask) -> ir.Value:
    """``sparsebp.select_channels`` of ``value``."""
    shape = list(shape_of(value.type))
    shape[axis] = mask.count()
    attributes = {
        "axis": ir.IntegerAttr.get(ir.IntegerType.get_signless(64), axis),
        "mask": mask.to_attr(),
    }
    result = vtensor(shape, element_of(value.type))
    selected: ir.Value = builder.create("sparsebp.select_channels", [value], [result], attributes)
    return selected


def _hoist(op: Any, block: ir.Block) -> None:
    """Move a selection right behind the value that it selects from."""
    source = defining_op(op.operation.operands[0])
    if source is None:
        op.operation.move_before(block.operations[0])
    else:
        op.operation.move_after(source.operation)


# -- sinking ------------------------------------------------------------------------------------


@dataclass
class _Sink:
    """A selection of ``mask`` along ``axis`` of the result of ``producer``, to be moved to its operands."""

    producer: Any
    axis: int
    mask: Mask
    builder: TorchBuilder

    def operand(self, position: int) -> ir.Value:
        value: ir.Value = self.producer.operation.operands[position]
        return value

    def select(self, position: int, axis: int, mask: Mask | None = None) -> ir.Value:
        """The selection of one operand."""
        return _select(self.builder, self.operand(position), axis, mask or self.mask)

    def result_type(self) -> ir.Type:
        """The type of the producer's result, with only the selected channels."""
        result = self.producer.operation.results[0].type
        shape = list(shape_of(result))
        shape[self.axis] = self.mask.count()
        return vtensor(shape, element_of(result))

    def rebuild(
        self, operands: Sequence[ir.Value], attributes: dict[str, ir.Attribute] | None = None
    ) -> ir.Value:
        """The producer again, on other operands, giving only the selected channels."""
        kept = {named.name: named.attr for named in _attributes(self.producer)}
        value: ir.Value = self.builder.create(
            self.producer.operation.name, operands, [self.result_type()], {**kept, **(attributes or {})}
        )
        return value


def _attributes(op: Any) -> list[Any]:
    attributes = op.operation.attributes
    return [attributes[i] for i in range(len(attributes))]


def _sink(op: Any) -> bool:
    """Move a selection to the operands of what it selects from. False if it is as deep as it goes."""
    source = op.operation.operands[0]
    producer = defining_op(source)
    # A value with other users is computed anyway; selecting from it is all that can be saved.
    if producer is None or len(list(source.uses)) != 1:
        return False
    rule = _RULES.get(producer.operation.name)
    if rule is None:
        return False
    axis = ir.IntegerAttr(op.operation.attributes["axis"]).value
    mask = Mask.from_attr(op.operation.attributes["mask"])
    value = rule(_Sink(producer, axis, mask, TorchBuilder(op, producer.operation.location)))
    if value is None:
        return False
    op.operation.results[0].replace_all_uses_with(value)
    op.operation.erase()
    producer.operation.erase()
    return True


def _sink_matmul(sink: _Sink) -> ir.Value:
    """mm and bmm: rows come from the left operand, columns from the right, batches from both."""
    last = len(shape_of(sink.operand(0).type)) - 1
    left, right = sink.operand(0), sink.operand(1)
    if sink.axis != last:
        left = sink.select(0, sink.axis)
    if sink.axis != last - 1:
        right = sink.select(1, sink.axis)
    return sink.rebuild([left, right])


def _sink_permute(sink: _Sink) -> ir.Value:
    order = constant(sink.operand(1))
    return sink.rebuild([sink.select(0, order[sink.axis] % len(order)), sink.operand(1)])


def _sink_transpose(sink: _Sink) -> ir.Value:
    rank = len(shape_of(sink.operand(0).type))
    a, b = (constant(sink.operand(i)) % rank for i in (1, 2))
    axis = {a: b, b: a}.get(sink.axis, sink.axis)
    return sink.rebuild([sink.select(0, axis), sink.operand(1), sink.operand(2)])


def _sink_t(sink: _Sink) -> ir.Value:
    rank = len(shape_of(sink.operand(0).type))
    return sink.rebuild([sink.select(0, rank - 1 - sink.axis)])


def _sink_view(sink: _Sink) -> ir.Value | None:
    """A view keeps the selected dimension where one of the same size stands before the same elements."""
    source, result = shape_of(sink.operand(0).type), shape_of(sink.producer.operation.results[0].type)
    before = prod(result[: sink.axis])
    for axis, size in enumerate(source):
        if size == result[sink.axis] and prod(source[:axis]) == before:
            selected = sink.select(0, axis)
            return sink.builder.view(selected, shape_of(sink.result_type()))
    return None


def _sink_unsqueeze(sink: _Sink) -> ir.Value | None:
    rank = len(shape_of(sink.operand(0).type))
    added = constant(sink.operand(1)) % (rank + 1)
    if sink.axis == added:
        return None
    return sink.rebuild([sink.select(0, sink.axis - (sink.axis > added)), sink.operand(1)])


def _sink_squeeze(sink: _Sink) -> ir.Value:
    source = shape_of(sink.operand(0).type)
    removed = constant(sink.operand(1)) % len(source)
    dropped = source[removed] == 1
    return sink.rebuild([sink.select(0, sink.axis + (dropped and sink.axis >= removed)), sink.operand(1)])


def _sink_expand(sink: _Sink) -> ir.Value:
    source, result = shape_of(sink.operand(0).type), shape_of(sink.result_type())
    axis = sink.axis - (len(result) - len(source))
    value = sink.select(0, axis) if axis >= 0 and source[axis] != 1 else sink.operand(0)
    rest = list(sink.producer.operation.operands)[2:]
    return sink.rebuild([value, sink.builder.int_list(result), *rest])


def _sink_reduction(sink: _Sink) -> ir.Value:
    """sum.dim_IntList and mean.dim, over dimensions that are not the selected one."""
    rank = len(shape_of(sink.operand(0).type))
    dims = constant(sink.operand(1))
    reduced = {d % rank for d in dims} if dims else set(range(rank))
    axis = sink.axis if constant(sink.operand(2)) else [i for i in range(rank) if i not in reduced][sink.axis]
    return sink.rebuild([sink.select(0, axis), *list(sink.producer.operation.operands)[1:]])


def _sink_elementwise(sink: _Sink) -> ir.Value:
    """Element by element with broadcasting: an operand that is broadcast stays as it is."""
    rank = len(shape_of(sink.producer.operation.results[0].type))
    operands = list(sink.producer.operation.operands)
    for i, operand in enumerate(operands):
        if is_vtensor(operand.type):
            shape = shape_of(operand.type)
            axis = sink.axis - (rank - len(shape))
            if axis >= 0 and shape[axis] != 1:
                operands[i] = sink.select(i, axis)
    return sink.rebuild(operands)


def _groups(sink: _Sink) -> int:
    count: int = ir.IntegerAttr(sink.producer.operation.attributes["groups"]).value
    return count


def _sink_conv_weight_grad(sink: _Sink) -> ir.Value | None:
    """Weight ``[F, C / groups, *kernel]`` from the output gradient (0) and the input (1)."""
    groups = _groups(sink)
    if sink.axis == 1:
        return sink.rebuild([sink.operand(0), _select_in_groups(sink, groups)])
    if sink.axis != 0:
        return None
    if groups == 1:
        return sink.rebuild([sink.select(0, 1), sink.operand(1)])
    # Output channels of a grouped convolution: whole groups only, as all of a depthwise one's are.
    outputs, inputs = shape_of(sink.operand(0).type)[1], shape_of(sink.operand(1).type)[1]
    chosen = _whole_groups(sink.mask, outputs // groups)
    if chosen is None:
        return None
    per_group = inputs // groups
    channels = [g * per_group + i for g in chosen for i in range(per_group)]
    kept = Mask.channels(sink.mask.dimension, channels, inputs)
    count = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), len(chosen))
    return sink.rebuild([sink.select(0, 1), sink.select(1, 1, kept)], {"groups": count})


def _select_in_groups(sink: _Sink, groups: int) -> ir.Value:
    """The selected input channels of every group."""
    if groups == 1:
        return sink.select(1, 1)
    batch, channels, *size = shape_of(sink.operand(1).type)
    grouped = sink.builder.view(sink.operand(1), [batch, groups, channels // groups, *size])
    selected = _select(sink.builder, grouped, 2, sink.mask)
    return sink.builder.view(selected, [batch, groups * sink.mask.count(), *size])


def _whole_groups(mask: Mask, per_group: int) -> list[int] | None:
    """The groups whose channels a mask keeps, or None if it cuts through a group."""
    positions = mask.positions()
    chosen = sorted({p // per_group for p in positions})
    return chosen if len(chosen) * per_group == len(positions) else None


def _sink_embedding_grad(sink: _Sink) -> ir.Value | None:
    """Rows of the table: compute only those. Features: select them from the output gradient."""
    if sink.axis == 1:
        rank = len(shape_of(sink.operand(0).type))
        return sink.rebuild([sink.select(0, rank - 1), sink.operand(1)])
    if sink.mask.kind is not MaskKind.RANGE:
        return None
    first = ir.IntegerAttr(sink.producer.operation.attributes["first_row"])
    moved = ir.IntegerAttr.get(first.type, first.value + sink.mask.indices[0])
    return sink.rebuild([sink.operand(0), sink.operand(1)], {"first_row": moved})


_ELEMENTWISE = (
    "abs", "add.Scalar", "add.Tensor", "bitwise_and.Tensor", "bitwise_not", "bitwise_or.Tensor", "ceil", "clamp",
    "clamp.Tensor", "cos", "div.Scalar", "div.Tensor", "eq.Scalar", "eq.Tensor", "erf", "exp", "expm1", "floor",
    "ge.Scalar", "ge.Tensor", "gelu", "gt.Scalar", "gt.Tensor", "hardswish", "le.Scalar", "le.Tensor", "log",
    "log1p", "logical_and", "logical_not", "logical_or", "lt.Scalar", "lt.Tensor", "maximum", "minimum",
    "mul.Scalar", "mul.Tensor", "ne.Scalar", "ne.Tensor", "neg", "pow.Tensor_Scalar", "pow.Tensor_Tensor",
    "reciprocal", "relu", "rsqrt", "rsub.Scalar", "sigmoid", "sign", "silu", "sin", "sqrt", "square", "sub.Scalar",
    "sub.Tensor", "tanh", "to.dtype", "where.ScalarOther", "where.ScalarSelf", "where.self", "_to_copy",
)  # fmt: skip

_RULES: dict[str, Callable[[_Sink], ir.Value | None]] = {
    "torch.aten.mm": _sink_matmul,
    "torch.aten.bmm": _sink_matmul,
    "torch.aten.permute": _sink_permute,
    "torch.aten.transpose.int": _sink_transpose,
    "torch.aten.t": _sink_t,
    "torch.aten.view": _sink_view,
    "torch.aten.reshape": _sink_view,
    "torch.aten._unsafe_view": _sink_view,
    "torch.aten.unsqueeze": _sink_unsqueeze,
    "torch.aten.squeeze.dim": _sink_squeeze,
    "torch.aten.expand": _sink_expand,
    "torch.aten.sum.dim_IntList": _sink_reduction,
    "torch.aten.mean.dim": _sink_reduction,
    "torch.prims.convert_element_type": _sink_elementwise,
    "sparsebp.conv_weight_grad": _sink_conv_weight_grad,
    "sparsebp.embedding_grad": _sink_embedding_grad,
    **{f"torch.aten.{name}": _sink_elementwise for name in _ELEMENTWISE},
}
