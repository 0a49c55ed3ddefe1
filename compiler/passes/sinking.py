# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Moving a selection of channels from an operation's result to its operands, one rule an operation.

A rule rebuilds the operation so that it computes only the selected channels, from selections of those
operands that the channels come from. Where none does, as for the one dimension that a product adds up, or
where the selection is no slice of an operand, as of two dimensions that a view has merged, there is no such
operation and the selection stays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from torch_mlir import ir

from pock.compiler.analysis.elementwise import ELEMENTWISE, REDUCTIONS
from pock.compiler.analysis.positions import Positions
from pock.compiler.torch_ir import (
    NotConstant,
    TorchBuilder,
    attributes_of,
    constant,
    defining_op,
    operations,
    paddings,
)
from pock.dialects.sparsebp import Mask, MaskKind
from pock.dialects.types import NotAStaticTensor, element_of, shape_of, vtensor

SELECTION = "sparsebp.select_channels"


def select(builder: TorchBuilder, value: ir.Value, axis: int, mask: Mask) -> ir.Value:
    """``sparsebp.select_channels`` of ``value``; ``value`` itself where the mask leaves nothing out."""
    shape = list(shape_of(value.type))
    if mask.kind is MaskKind.FULL or mask.count() == shape[axis]:
        return value
    shape[axis] = mask.count()
    attributes = {"axis": _i64(axis), "mask": mask.to_attr()}
    result = vtensor(shape, element_of(value.type))
    selected: ir.Value = builder.create(SELECTION, [value], [result], attributes)
    return selected


def rebuilt(
    builder: TorchBuilder,
    op: Any,
    operands: Sequence[ir.Value],
    shape: Sequence[int],
    attributes: dict[str, ir.Attribute] | None = None,
) -> ir.Value:
    """``op`` again, on other operands, with a result of ``shape`` and some attributes exchanged."""
    result = vtensor(shape, element_of(op.operation.results[0].type))
    value: ir.Value = builder.create(
        op.operation.name, operands, [result], {**attributes_of(op), **(attributes or {})}
    )
    return value


def sink(producer: Any, axis: int, mask: Mask) -> ir.Value | None:
    """What ``mask`` selects along ``axis`` of ``producer``'s result, from selections of its operands.

    The new operations stand in front of ``producer``, which stays. None if the selection is as deep as it
    goes.
    """
    rule = _RULES.get(producer.operation.name)
    if rule is None:
        return None
    try:
        return rule(_Sink(producer, axis, mask, TorchBuilder(producer)))
    except (NotConstant, NotAStaticTensor):
        return None  # a shape or an argument is not known before run time


def sink_to_the_end(step: Any) -> bool:
    """Move selections as deep as they go. False if they are there already."""
    moved = False
    while _sink_all(operations(step, SELECTION)):
        moved = True
    return moved


def _sink_all(selections: list[Any]) -> bool:
    """Move each selection to the operands of what it selects from. False if none can be moved."""
    by_source: dict[ir.Value, list[Any]] = {}
    for op in selections:
        by_source.setdefault(op.operation.operands[0], []).append(op)
    # Backwards: what a selection selects from may be a selection itself, which is gone once it has moved.
    moved = [_sink_from(source, twins) for source, twins in reversed(by_source.items())]
    return any(moved)


def _sink_from(source: ir.Value, selections: list[Any]) -> bool:
    """Move the selections of ``source`` to the operands of its producer if they are one and the same.

    A value with other users is computed anyway: selecting from it is all that can be saved.
    """
    producer = defining_op(source)
    axis, mask = selected(selections[0])
    # Parameters may call one dimension by different names.
    same = all((a, m.positions()) == (axis, mask.positions()) for a, m in map(selected, selections))
    if producer is None or not same or len(list(source.uses)) > len(selections):
        return False
    value = sink(producer, axis, mask)
    if value is None:
        return False
    for op in selections:
        op.operation.results[0].replace_all_uses_with(value)
        op.operation.erase()
    producer.operation.erase()
    return True


def selected(op: Any) -> tuple[int, Mask]:
    """Axis and mask of a selection."""
    attributes = op.operation.attributes
    return ir.IntegerAttr(attributes["axis"]).value, Mask.from_attr(attributes["mask"])


def _i64(value: int) -> ir.Attribute:
    return ir.IntegerAttr.get(ir.IntegerType.get_signless(64), value)


@dataclass
class _Sink:
    """A selection of ``mask`` along ``axis`` of the result of ``producer``, to be moved to its operands.

    It leaves channels out: the dimension ``axis`` has at least two.
    """

    producer: Any
    axis: int
    mask: Mask
    builder: TorchBuilder

    @property
    def operands(self) -> list[ir.Value]:
        return list(self.producer.operation.operands)

    def operand(self, position: int) -> ir.Value:
        return self.operands[position]

    def shape(self, position: int) -> tuple[int, ...]:
        """The shape of one operand."""
        return shape_of(self.operand(position).type)

    def result_shape(self) -> tuple[int, ...]:
        """The shape of the producer's whole result."""
        return shape_of(self.producer.operation.results[0].type)

    def selected_shape(self) -> tuple[int, ...]:
        """The shape of its result with only the selected channels."""
        shape = list(self.result_shape())
        shape[self.axis] = self.mask.count()
        return tuple(shape)

    def select(self, position: int, axis: int, mask: Mask | None = None) -> ir.Value:
        """The selection of one operand."""
        return select(self.builder, self.operand(position), axis, mask or self.mask)

    def dimension(self, position: int, rank: int) -> int:
        """An operand that names one of ``rank`` dimensions, counted from the front."""
        return int(constant(self.operand(position))) % rank

    def dimensions(self, position: int, rank: int) -> set[int]:
        """An operand that lists some of ``rank`` dimensions; all of them where it lists none."""
        listed = constant(self.operand(position))
        return {d % rank for d in listed} if listed else set(range(rank))

    def rebuild(
        self, operands: Sequence[ir.Value], attributes: dict[str, ir.Attribute] | None = None
    ) -> ir.Value:
        """The producer again, on other operands, giving only the selected channels."""
        return rebuilt(self.builder, self.producer, operands, self.selected_shape(), attributes)


# -- products -----------------------------------------------------------------------------------


def _matmul(sink: _Sink) -> ir.Value:
    """mm and bmm: rows come from the left operand, columns from the right, batches from both."""
    last = len(sink.result_shape()) - 1
    left, right = sink.operands
    if sink.axis != last:
        left = sink.select(0, sink.axis)
    if sink.axis != last - 1:
        right = sink.select(1, sink.axis)
    return sink.rebuild([left, right])


# -- shapes -------------------------------------------------------------------------------------


def _permute(sink: _Sink) -> ir.Value:
    order = constant(sink.operand(1))
    return sink.rebuild([sink.select(0, order[sink.axis] % len(order)), sink.operand(1)])


def _transpose(sink: _Sink) -> ir.Value:
    rank = len(sink.shape(0))
    a, b = sink.dimension(1, rank), sink.dimension(2, rank)
    axis = {a: b, b: a}.get(sink.axis, sink.axis)
    return sink.rebuild([sink.select(0, axis), *sink.operands[1:]])


def _t(sink: _Sink) -> ir.Value:
    return sink.rebuild([sink.select(0, len(sink.shape(0)) - 1 - sink.axis)])


def _view(sink: _Sink) -> ir.Value | None:
    """A view selects along a dimension that is the same, or was merged of others, or was split."""
    source, result = sink.shape(0), sink.result_shape()
    before = prod(result[: sink.axis])
    for axis, size in enumerate(source):
        if size == result[sink.axis] and prod(source[:axis]) == before:
            return sink.builder.view(sink.select(0, axis), sink.selected_shape())
    found = Positions.of(result, sink.axis, sink.mask.positions()).along(source)
    if found is None:
        return None
    axis, chosen = found
    mask = Mask.channels(sink.mask.dimension, chosen, source[axis])
    return sink.builder.view(sink.select(0, axis, mask), sink.selected_shape())


def _unsqueeze(sink: _Sink) -> ir.Value:
    added = sink.dimension(1, len(sink.result_shape()))
    return sink.rebuild([sink.select(0, sink.axis - (sink.axis > added)), sink.operand(1)])


def _squeeze(sink: _Sink) -> ir.Value:
    """squeeze.dim, and prims.squeeze of several dimensions: they drop those whose size is 1."""
    source = sink.shape(0)
    named = constant(sink.operand(1))
    dropped = {d % len(source) for d in (named if isinstance(named, list) else [named])}
    kept = [i for i, size in enumerate(source) if size != 1 or i not in dropped]
    return sink.rebuild([sink.select(0, kept[sink.axis]), sink.operand(1)])


def _expand(sink: _Sink) -> ir.Value:
    """A dimension that is repeated is repeated less often."""
    axis = sink.axis - (len(sink.result_shape()) - len(sink.shape(0)))
    value = sink.select(0, axis) if axis >= 0 and sink.shape(0)[axis] != 1 else sink.operand(0)
    return sink.rebuild([value, sink.builder.int_list(sink.selected_shape()), *sink.operands[2:]])


# -- parts of tensors ---------------------------------------------------------------------------


def _slice(sink: _Sink) -> ir.Value:
    """slice.Tensor; channels of a slice are channels of what it slices."""
    if sink.axis != sink.dimension(1, len(sink.shape(0))):
        return sink.rebuild([sink.select(0, sink.axis), *sink.operands[1:]])
    size = sink.shape(0)[sink.axis]
    start, step = constant(sink.operand(2)) or 0, constant(sink.operand(4))
    first = min(max(start + size if start < 0 else start, 0), size)
    channels = [first + step * i for i in sink.mask.positions()]
    return sink.select(0, sink.axis, Mask.channels(sink.mask.dimension, channels, size))


def _slice_scatter(sink: _Sink) -> ir.Value | None:
    """slice_scatter along another dimension: the selection of the one tensor and of the other."""
    if sink.axis == sink.dimension(2, len(sink.shape(0))):
        return None
    return sink.rebuild([sink.select(0, sink.axis), sink.select(1, sink.axis), *sink.operands[2:]])


def _select_int(sink: _Sink) -> ir.Value:
    """select.int, which has dropped the dimension that it takes one element of."""
    taken = sink.dimension(1, len(sink.shape(0)))
    return sink.rebuild([sink.select(0, sink.axis + (sink.axis >= taken)), *sink.operands[1:]])


def _cat(sink: _Sink) -> ir.Value | None:
    """cat; along its own dimension each tensor gives those of the channels that it has."""
    listed = defining_op(sink.operand(0))
    if listed is None or listed.operation.name != "torch.prim.ListConstruct":
        return None
    tensors = list(listed.operation.operands)
    if sink.axis == sink.dimension(1, len(sink.result_shape())):
        selected = _parts(sink, tensors)
    else:
        selected = [select(sink.builder, tensor, sink.axis, sink.mask) for tensor in tensors]
    if len(selected) == 1:
        return selected[0]
    parts = sink.builder.create("torch.prim.ListConstruct", selected, [sink.operand(0).type])
    return sink.rebuild([parts, sink.operand(1)])


def _parts(sink: _Sink, tensors: Sequence[ir.Value]) -> list[ir.Value]:
    """The selected channels of each of ``tensors``, which follow each other, without those that give none."""
    parts, begin, chosen = [], 0, sink.mask.positions()
    for tensor in tensors:
        size = shape_of(tensor.type)[sink.axis]
        within = [p - begin for p in chosen if begin <= p < begin + size]
        mask = Mask.channels(sink.mask.dimension, within, size)
        if mask.is_sliced:
            parts.append(select(sink.builder, tensor, sink.axis, mask))
        elif within:
            parts.append(tensor)
        begin += size
    return parts


def _pad(sink: _Sink) -> ir.Value | None:
    if any(paddings(sink.producer)[sink.axis]):
        return None
    return sink.rebuild([sink.select(0, sink.axis), *sink.operands[1:]])


# -- arithmetic ---------------------------------------------------------------------------------


def _reduction(sink: _Sink) -> ir.Value:
    """Over dimensions of a list that are not the selected one."""
    rank = len(sink.shape(0))
    reduced = sink.dimensions(1, rank)
    keeps = constant(sink.operand(2))
    axis = sink.axis if keeps else [i for i in range(rank) if i not in reduced][sink.axis]
    return sink.rebuild([sink.select(0, axis), *sink.operands[1:]])


def _along_dimension(sink: _Sink) -> ir.Value | None:
    """What is computed along one dimension, as a softmax is: of each selected row of its own."""
    if sink.axis == sink.dimension(1, len(sink.shape(0))):
        return None
    return sink.rebuild([sink.select(0, sink.axis), *sink.operands[1:]])


def _reduction_of_one(sink: _Sink) -> ir.Value:
    """Over one dimension, which is not the selected one."""
    reduced = sink.dimension(1, len(sink.shape(0)))
    axis = sink.axis if constant(sink.operand(2)) else sink.axis + (sink.axis >= reduced)
    return sink.rebuild([sink.select(0, axis), *sink.operands[1:]])


def _elementwise(sink: _Sink) -> ir.Value:
    """Element by element with broadcasting: an operand that is broadcast stays as it is."""
    rank, operands = len(sink.result_shape()), sink.operands
    for i, operand in enumerate(operands):
        if str(operand.type).startswith(("!torch.vtensor", "!torch.tensor")):
            axis = sink.axis - (rank - len(sink.shape(i)))
            if axis >= 0 and sink.shape(i)[axis] != 1:
                operands[i] = sink.select(i, axis)
    return sink.rebuild(operands)


# -- convolutions and pools ---------------------------------------------------------------------


def _groups(sink: _Sink) -> int:
    return int(ir.IntegerAttr(sink.producer.operation.attributes["groups"]).value)


def _conv_weight_grad(sink: _Sink) -> ir.Value | None:
    """Weight ``[F, C / groups, *kernel]`` from the output gradient (0) and the input (1)."""
    groups = _groups(sink)
    if sink.axis == 1:
        return sink.rebuild([sink.operand(0), _select_in_groups(sink, groups)])
    if sink.axis != 0:
        return None
    if groups == 1:
        return sink.rebuild([sink.select(0, 1), sink.operand(1)])
    # All of a depthwise convolution's groups are whole.
    chosen = _whole_groups(sink.mask, sink.shape(0)[1] // groups)
    if chosen is None:
        return None
    inputs = _channels_of(chosen, groups, sink.shape(1)[1], sink.mask.dimension)
    return sink.rebuild([sink.select(0, 1), sink.select(1, 1, inputs)], {"groups": _i64(len(chosen))})


def _select_in_groups(sink: _Sink, groups: int) -> ir.Value:
    """The selected input channels of every group."""
    channels = sink.shape(1)[1]
    chosen = [g * channels // groups + p for g in range(groups) for p in sink.mask.positions()]
    return sink.select(1, 1, Mask.channels(sink.mask.dimension, chosen, channels))


def _whole_groups(mask: Mask, per_group: int) -> list[int] | None:
    """The groups whose channels a mask keeps, or None if it cuts through a group."""
    positions = mask.positions()
    chosen = sorted({p // per_group for p in positions})
    return chosen if len(chosen) * per_group == len(positions) else None


def _channels_of(chosen: Sequence[int], groups: int, channels: int, dimension: str) -> Mask:
    """The channels of the ``chosen`` groups, not all of them, of ``channels`` in ``groups``."""
    each = channels // groups
    return Mask.channels(dimension, [g * each + i for g in chosen for i in range(each)], channels)


def _conv_input_grad(sink: _Sink) -> ir.Value | None:
    """Input ``[N, C, *size]`` from the output gradient (0) and weight ``[F, C / groups, *kernel]`` (1)."""
    groups = _groups(sink)
    if sink.axis == 0:
        return sink.rebuild([sink.select(0, 0), sink.operand(1)])
    if sink.axis != 1:
        return None
    if groups == 1:
        return sink.rebuild([sink.operand(0), sink.select(1, 1)])
    chosen = _whole_groups(sink.mask, sink.shape(1)[1])
    if chosen is None:
        return None
    outputs = _channels_of(chosen, groups, sink.shape(0)[1], sink.mask.dimension)
    operands = [sink.select(0, 1, outputs), sink.select(1, 0, outputs)]
    return sink.rebuild(operands, {"groups": _i64(len(chosen))})


def _pool(sink: _Sink) -> ir.Value | None:
    """Samples and channels of a pool, or of its gradient, come from those of every operand."""
    if sink.axis > 1:
        return None
    return sink.rebuild([sink.select(i, sink.axis) for i in range(len(sink.operands))])


# -- look-ups -----------------------------------------------------------------------------------


def _embedding_grad(sink: _Sink) -> ir.Value | None:
    """Rows of the table: compute only those. Features: select them from the output gradient."""
    if sink.axis == 1:
        return sink.rebuild([sink.select(0, len(sink.shape(0)) - 1), sink.operand(1)])
    if sink.mask.kind is not MaskKind.RANGE:
        return None
    first = ir.IntegerAttr(sink.producer.operation.attributes["first_row"]).value
    return sink.rebuild(sink.operands, {"first_row": _i64(first + sink.mask.indices[0])})


_RULES: dict[str, Callable[[_Sink], ir.Value | None]] = {
    "sparsebp.avg_pool_grad": _pool,
    "sparsebp.conv_input_grad": _conv_input_grad,
    "sparsebp.conv_weight_grad": _conv_weight_grad,
    "sparsebp.embedding_grad": _embedding_grad,
    "sparsebp.max_pool_argmax": _pool,
    "sparsebp.max_pool_grad": _pool,
    "torch.aten._log_softmax": _along_dimension,
    "torch.aten._softmax": _along_dimension,
    "torch.aten._unsafe_view": _view,
    "torch.aten.all.dim": _reduction_of_one,
    "torch.aten.any.dim": _reduction_of_one,
    "torch.aten.bmm": _matmul,
    "torch.aten.cat": _cat,
    "torch.aten.constant_pad_nd": _pad,
    "torch.aten.expand": _expand,
    "torch.aten.mm": _matmul,
    "torch.aten.permute": _permute,
    "torch.aten.reshape": _view,
    "torch.aten.select.int": _select_int,
    "torch.aten.slice.Tensor": _slice,
    "torch.aten.slice_scatter": _slice_scatter,
    "torch.aten.squeeze.dim": _squeeze,
    "torch.aten.t": _t,
    "torch.aten.transpose.int": _transpose,
    "torch.aten.unsqueeze": _unsqueeze,
    "torch.aten.view": _view,
    "torch.prims.squeeze": _squeeze,
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys(ELEMENTWISE, _elementwise),
}
