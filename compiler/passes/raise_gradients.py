# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-raise-gradients``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch_mlir import ir

from pock.compiler.torch_ir import DTYPE_CODE, TorchBuilder, constant, functions, operations, widen
from pock.dialects.sparsebp.window import Window
from pock.dialects.types import element_of, is_vtensor, shape_of, vtensor

from .base import Pass

Results = Sequence[ir.Value | None]
"""What replaces an operation's results; None for one that nothing uses."""


@dataclass(frozen=True)
class RaiseGradients(Pass):
    """Rewrite the gradients of windows and look-ups into ``sparsebp`` operations with one result each.

    ``aten.convolution_backward`` has up to three results and two meanings (``transposed``), and pooling
    gradients depend on flat indices; a mask could not be sunk through them. ::

        %dx, %dw, %db = torch.aten.convolution_backward %g, %x, %w, ...

    becomes::

        %dx = "sparsebp.conv_input_grad"(%g, %w) {dilation = ..., groups = 1, ...} : ...
        %dw = "sparsebp.conv_weight_grad"(%g, %x) {...} : ...
        %db = torch.aten.sum.dim_IntList %g, [0, 2, 3], ...

    A transposed convolution is the input gradient of the convolution with the same weight, so its own
    input gradient is that convolution. Max pooling becomes ``max_pool`` and ``max_pool_argmax``, which
    its gradient reads, unless something else uses PyTorch's indices.
    """

    name: ClassVar[str] = "sparsebp-raise-gradients"

    def apply(self, module: ir.Module) -> None:
        for function in functions(module).values():
            # Backwards, so that a pool's backward is gone when the pool is looked at.
            for op in reversed(list(operations(function))):
                _raise(op)


def _raise(op: Any) -> None:
    rule = _RULES.get(_aten_name(op))
    if rule is None:
        return
    replacements = rule(op, TorchBuilder(op))
    if replacements is None:
        return
    for result, value in zip(op.operation.results, replacements, strict=True):
        if value is not None:
            result.replace_all_uses_with(value)
    op.operation.erase()


def _aten_name(op: Any) -> str:
    """The operation's name; that of the operator for one that torch-mlir does not define."""
    if op.operation.name == "torch.operator":
        return ir.StringAttr(op.operation.attributes["name"]).value
    return op.operation.name


# Windows.


def _batched(value: ir.Value, rank: int, b: TorchBuilder) -> ir.Value:
    """``value`` with a batch dimension of 1 in front if it has ``rank`` spatial dimensions and none."""
    shape = shape_of(value.type)
    return b.view(value, (1, *shape)) if len(shape) == rank + 1 else value


def _as(value: ir.Value, type_: ir.Type, b: TorchBuilder) -> ir.Value:
    """``value`` in the shape of ``type_``: takes back what ``_batched`` did."""
    return value if value.type == type_ else b.view(value, shape_of(type_))


def _sum(value: ir.Value, dims: Sequence[int], b: TorchBuilder) -> ir.Value:
    """The sum over ``dims``, accumulated in f32 or wider."""
    element = element_of(value.type)
    if element not in ("f16", "bf16"):
        return b.sum(value, dims)
    shape = [n for i, n in enumerate(shape_of(value.type)) if i not in dims]
    total = b.aten("sum.dim_IntList", value, dims, False, DTYPE_CODE["f32"], shape=shape, element="f32")
    return b.aten("to.dtype", total, DTYPE_CODE[element], False, False, None, shape=shape, element=element)


# Convolution.


@dataclass(frozen=True)
class _Convolution:
    """The parameters of a convolution, or of the one whose input gradient a transposed one is."""

    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: int

    @staticmethod
    def of(
        stride: ir.Value, padding: ir.Value, dilation: ir.Value, groups: ir.Value, rank: int
    ) -> "_Convolution":
        s, p, d = (widen(constant(v), rank) for v in (stride, padding, dilation))
        return _Convolution(s, p, d, constant(groups))

    def attributes(self, b: TorchBuilder) -> dict[str, ir.Attribute]:
        window = b.int_arrays(stride=self.stride, padding=self.padding, dilation=self.dilation)
        return window | {"groups": b.i64(self.groups)}

    def forward(self, b: TorchBuilder, x: ir.Value, weight: ir.Value) -> ir.Value:
        zeros = [0] * len(self.stride)
        window = Window(shape_of(weight.type)[2:], *map(tuple, (self.stride, self.padding, self.dilation)))
        size = window.output_size(shape_of(x.type)[2:])
        return b.aten(
            "convolution",
            *(x, weight, None, self.stride, self.padding, self.dilation, False, zeros, self.groups),
            shape=(shape_of(x.type)[0], shape_of(weight.type)[0], *size),
            element=element_of(x.type),
        )

    def input_grad(self, b: TorchBuilder, grad: ir.Value, weight: ir.Value, result: ir.Type) -> ir.Value:
        return b.create("sparsebp.conv_input_grad", [grad, weight], [result], self.attributes(b))

    def weight_grad(self, b: TorchBuilder, grad: ir.Value, x: ir.Value, result: ir.Type) -> ir.Value:
        return b.create("sparsebp.conv_weight_grad", [grad, x], [result], self.attributes(b))


def _surplus(output_padding: ir.Value, stride: Sequence[int]) -> list[int]:
    """Positions that the output of a transposed convolution has room for behind its input.

    Output padding may exceed the stride where the dilation does.
    """
    padding = widen(constant(output_padding), len(stride))
    return [extra // s for extra, s in zip(padding, stride, strict=True)]


def _extend(value: ir.Value, surplus: Sequence[int], b: TorchBuilder) -> ir.Value:
    """``value`` with ``surplus`` zeros behind each spatial dimension."""
    if not any(surplus):
        return value
    pads = [n for extra in reversed(surplus) for n in (0, extra)]
    shape = [n + extra for n, extra in zip(shape_of(value.type), [0, 0, *surplus], strict=True)]
    return b.aten("constant_pad_nd", value, pads, 0.0, shape=shape, element=element_of(value.type))


def _crop(value: ir.Value, size: Sequence[int], b: TorchBuilder) -> ir.Value:
    """The first ``size`` elements of each dimension."""
    for axis, n in enumerate(size):
        shape = list(shape_of(value.type))
        if shape[axis] != n:
            shape[axis] = n
            value = b.aten("slice.Tensor", value, axis, 0, n, 1, shape=shape, element=element_of(value.type))
    return value


def _convolution(op: Any, b: TorchBuilder) -> Results | None:
    x, weight, bias, stride, padding, dilation, transposed, extra, groups = op.operation.operands
    if not constant(transposed):
        return None
    rank = len(shape_of(weight.type)) - 2
    convolution = _Convolution.of(stride, padding, dilation, groups, rank)
    x = _extend(x, _surplus(extra, convolution.stride), b)
    y = convolution.input_grad(b, x, weight, op.operation.results[0].type)
    if is_vtensor(bias.type):
        y = b.add(y, b.view(bias, (*shape_of(bias.type), *[1] * rank)))
    return [y]


def _convolution_backward(op: Any, b: TorchBuilder) -> Results:
    grad, x, weight, _, stride, padding, dilation, transposed, extra, groups, _ = op.operation.operands
    rank = len(shape_of(weight.type)) - 2
    convolution = _Convolution.of(stride, padding, dilation, groups, rank)
    dx, dw, db = (result if _is_used(result) else None for result in op.operation.results)
    results: list[ir.Value | None] = [None, None, None]
    if constant(transposed):
        if dx is not None:
            results[0] = _crop(convolution.forward(b, grad, weight), shape_of(x.type), b)
        if dw is not None:
            x = _extend(x, _surplus(extra, convolution.stride), b)
            results[1] = convolution.weight_grad(b, x, grad, dw.type)
    else:
        if dx is not None:
            results[0] = convolution.input_grad(b, grad, weight, dx.type)
        if dw is not None:
            results[1] = convolution.weight_grad(b, grad, x, dw.type)
    if db is not None:
        results[2] = _sum(grad, [0, *range(2, rank + 2)], b)
    return results


def _is_used(result: ir.Value) -> bool:
    """Whether a gradient is wanted: one that the output mask leaves out has type ``!torch.none``."""
    return is_vtensor(result.type) and bool(list(result.uses))


# Pooling.


def _pool_window(
    b: TorchBuilder,
    kernel: ir.Value,
    stride: ir.Value,
    padding: ir.Value,
    dilation: ir.Value | None,
    rank: int,
) -> dict[str, ir.Attribute]:
    """The window attributes of a pooling operation; no stride means the kernel's size."""
    size = widen(constant(kernel), rank)
    window = {"kernel": size, "stride": widen(constant(stride), rank) or size}
    window["padding"] = widen(constant(padding), rank)
    if dilation is not None:
        window["dilation"] = widen(constant(dilation), rank)
    return b.int_arrays(**window)


def _max_pool_arguments(op: Any, b: TorchBuilder) -> tuple[ir.Value, dict[str, ir.Attribute]] | None:
    """Input and window of a max pooling operation, or None where no window describes it."""
    name, operands = _aten_name(op), list(op.operation.operands)
    rank = _rank(name)
    if not name.startswith("torch.aten.adaptive"):
        return operands[0], _pool_window(b, operands[1], operands[2], operands[3], operands[4], rank)
    window = _adaptive_window(
        shape_of(operands[0].type)[-rank:], shape_of(op.operation.results[0].type)[-rank:]
    )
    return None if window is None else (operands[0], b.int_arrays(**window, dilation=[1] * rank))


def _rank(name: str) -> int:
    """The number of spatial dimensions in an operation's name: ``…pool2d…``."""
    return int(name[name.index("pool") + 4])


def _adaptive_window(source: Sequence[int], output: Sequence[int]) -> dict[str, list[int]] | None:
    """The window of adaptive pooling, which has one if the sizes divide."""
    if any(n % m for n, m in zip(source, output, strict=True)):
        return None
    kernel = [n // m for n, m in zip(source, output, strict=True)]
    return {"kernel": kernel, "stride": kernel, "padding": [0] * len(kernel)}


def _max_pool(op: Any, b: TorchBuilder) -> Results | None:
    indices = list(op.operation.results)[1:]
    arguments = _max_pool_arguments(op, b)
    if arguments is None or any(list(result.uses) for result in indices):
        return None
    x, window = arguments
    type_ = op.operation.results[0].type
    x = _batched(x, len(window["kernel"]), b)
    output = vtensor(
        (*shape_of(x.type)[:2], *shape_of(type_)[-len(window["kernel"]) :]), element_of(type_), b.context
    )
    y = b.create("sparsebp.max_pool", [x], [output], window)
    return [_as(y, type_, b), *[None] * len(indices)]


def _max_pool_backward(op: Any, b: TorchBuilder) -> Results | None:
    operands = list(op.operation.operands)
    indices = operands[2] if _aten_name(op).startswith("torch.aten.adaptive") else operands[7]
    pool = indices.owner
    if isinstance(pool, ir.Block) or _RULES.get(_aten_name(pool)) is not _max_pool:
        return None
    if any(_RULES.get(_aten_name(use.owner)) is not _max_pool_backward for use in indices.uses):
        return None
    # The positions are found where the pool is, so that they are saved and not its input.
    at_pool = TorchBuilder(pool)
    at_pool.ip = ir.InsertionPoint.after(pool)
    arguments = _max_pool_arguments(pool, at_pool)
    if arguments is None:
        return None
    x, window = arguments
    rank, type_ = len(window["kernel"]), op.operation.results[0].type
    x = _batched(x, rank, at_pool)
    grad = _batched(operands[0], rank, b)
    argmax_type = vtensor(shape_of(grad.type), "si32", b.context)
    argmax = at_pool.create("sparsebp.max_pool_argmax", [x], [argmax_type], window)
    dx = b.create("sparsebp.max_pool_grad", [grad, argmax], [x.type], window)
    return [_as(dx, type_, b)]


def _avg_pool_backward(op: Any, b: TorchBuilder) -> Results:
    grad, _, kernel, stride, padding, _, count_include_pad, divisor = op.operation.operands
    window = _pool_window(b, kernel, stride, padding, None, _rank(_aten_name(op)))
    return [_avg_pool_grad(op, grad, window, constant(count_include_pad), constant(divisor) or 0, b)]


def _avg_pool_grad(
    op: Any, grad: ir.Value, window: dict[str, ir.Attribute], include_pad: bool, divisor: int, b: TorchBuilder
) -> ir.Value:
    rank, type_ = len(window["kernel"]), op.operation.results[0].type
    grad = _batched(grad, rank, b)
    result = vtensor((*shape_of(grad.type)[:2], *shape_of(type_)[-rank:]), element_of(type_), b.context)
    attributes = window | {
        "count_include_pad": ir.BoolAttr.get(include_pad, b.context),
        "divisor_override": b.i64(divisor),
    }
    return _as(b.create("sparsebp.avg_pool_grad", [grad], [result], attributes), type_, b)


def _adaptive_avg_pool(op: Any, b: TorchBuilder) -> Results:
    x, _ = op.operation.operands
    result, rank = op.operation.results[0].type, _rank(_aten_name(op))
    source, output = shape_of(x.type)[-rank:], shape_of(result)[-rank:]
    window = _adaptive_window(source, output)
    if window is None:
        return [_along_each(b, x, [_averaging(n, m).T for n, m in zip(source, output, strict=True)])]
    x = _batched(x, rank, b)
    arguments = [*window.values(), False, True] + [None] * (rank > 1)
    shape = (*shape_of(x.type)[:2], *output)
    y = b.aten(f"avg_pool{rank}d", x, *arguments, shape=shape, element=element_of(result))
    return [_as(y, result, b)]


def _adaptive_avg_pool_backward(op: Any, b: TorchBuilder) -> Results:
    grad, x = op.operation.operands
    rank = _rank(_aten_name(op))
    source, output = shape_of(x.type)[-rank:], shape_of(grad.type)[-rank:]
    window = _adaptive_window(source, output)
    if window is None:
        return [_along_each(b, grad, [_averaging(n, m) for n, m in zip(source, output, strict=True)])]
    return [_avg_pool_grad(op, grad, b.int_arrays(**window), True, 0, b)]


def _averaging(size: int, outputs: int) -> "np.ndarray[Any, Any]":
    """``[outputs, size]``: the matrix of adaptive average pooling, whose windows may overlap."""
    matrix = np.zeros((outputs, size))
    for o in range(outputs):
        begin, end = o * size // outputs, -(-(o + 1) * size // outputs)
        matrix[o, begin:end] = 1 / (end - begin)
    return matrix


def _along_each(b: TorchBuilder, value: ir.Value, matrices: "Sequence[np.ndarray[Any, Any]]") -> ir.Value:
    """``value``, its last dimensions multiplied by a matrix each."""
    first = len(shape_of(value.type)) - len(matrices)
    for axis, matrix in enumerate(matrices, start=first):
        value = _along(b, value, axis, matrix)
    return value


def _along(b: TorchBuilder, value: ir.Value, axis: int, matrix: "np.ndarray[Any, Any]") -> ir.Value:
    """``value``, its dimension ``axis`` multiplied by ``matrix [n, m]``."""
    shape, element = shape_of(value.type), element_of(value.type)
    order = [i for i in range(len(shape)) if i != axis] + [axis]
    rows = b.view(b.permute(value, order), (int(np.prod(shape)) // shape[axis], shape[axis]))
    product = b.aten(
        "mm",
        rows,
        _literal(b, matrix, element),
        shape=(shape_of(rows.type)[0], matrix.shape[1]),
        element=element,
    )
    wide = b.view(product, [shape[i] for i in order[:-1]] + [matrix.shape[1]])
    return b.permute(wide, [order.index(i) for i in range(len(shape))])


def _literal(b: TorchBuilder, values: "np.ndarray[Any, Any]", element: str) -> ir.Value:
    """``torch.vtensor.literal`` of floats."""
    type_ = ir.RankedTensorType.get(values.shape, b.type(element), loc=b.location)
    attributes = [ir.FloatAttr.get(type_.element_type, float(v), loc=b.location) for v in values.flat]
    value = ir.DenseElementsAttr.get(attributes, type=type_, context=b.context)
    return b.create(
        "torch.vtensor.literal", [], [vtensor(values.shape, element, b.context)], {"value": value}
    )


# Look-ups.


def _embedding_backward(op: Any, b: TorchBuilder) -> Results:
    grad, indices, _, padding_idx, scale_grad_by_freq = op.operation.operands
    attributes = {
        "first_row": b.i64(0),
        "padding_idx": b.i64(constant(padding_idx)),
        "scale_grad_by_freq": ir.BoolAttr.get(constant(scale_grad_by_freq), b.context),
    }
    type_ = op.operation.results[0].type
    return [b.create("sparsebp.embedding_grad", [grad, indices], [type_], attributes)]


_RULES: dict[str, Callable[[Any, TorchBuilder], Results | None]] = {
    "torch.aten.convolution": _convolution,
    "torch.aten.convolution_backward": _convolution_backward,
    "torch.aten.embedding_dense_backward": _embedding_backward,
    "torch.aten._adaptive_avg_pool2d": _adaptive_avg_pool,
    "torch.aten._adaptive_avg_pool2d_backward": _adaptive_avg_pool_backward,
    "torch.aten._adaptive_avg_pool3d": _adaptive_avg_pool,
    "torch.aten._adaptive_avg_pool3d_backward": _adaptive_avg_pool_backward,
    "torch.aten.avg_pool2d_backward": _avg_pool_backward,
    "torch.aten.avg_pool3d_backward": _avg_pool_backward,
    "torch.aten.adaptive_avg_pool1d": _adaptive_avg_pool,
    "torch.aten.adaptive_avg_pool2d": _adaptive_avg_pool,
    "torch.aten.adaptive_avg_pool3d": _adaptive_avg_pool,
    "torch.aten.adaptive_max_pool2d": _max_pool,
    "torch.aten.adaptive_max_pool2d_backward": _max_pool_backward,
    "torch.aten.adaptive_max_pool3d": _max_pool,
    "torch.aten.adaptive_max_pool3d_backward": _max_pool_backward,
    "torch.aten.max_pool1d": _max_pool,
    "torch.aten.max_pool2d": _max_pool,
    "torch.aten.max_pool2d_with_indices": _max_pool,
    "torch.aten.max_pool2d_with_indices_backward": _max_pool_backward,
    "torch.aten.max_pool3d": _max_pool,
    "torch.aten.max_pool3d_with_indices": _max_pool,
    "torch.aten.max_pool3d_with_indices_backward": _max_pool_backward,
}
