# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs training programs, torch and sparsebp dialect, with PyTorch: the reference that passes are checked by.

``torch.aten.X.Y`` is ``torch.ops.aten.X.Y``; a handler below says what each sparsebp operation means. Every
result is checked against the shape and element type that the program gives it.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch_mlir import ir

from pock.compiler.torch_ir import body, functions
from pock.dialects.sparsebp import Mask, declarations
from pock.dialects.sparsebp.avg_pool_grad import window as avg_pool_window
from pock.dialects.sparsebp.layout import OVER_SPACE, channels_first, is_channels_last
from pock.dialects.sparsebp.window import Window
from pock.dialects.types import element_of, is_vtensor, shape_of
from tests.philox import random_mask, random_uniform

DTYPES = {
    "i1": torch.bool, "ui8": torch.uint8, "si8": torch.int8, "si16": torch.int16, "si32": torch.int32,
    "si64": torch.int64, "f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32,
    "f64": torch.float64,
}  # fmt: skip
DTYPE_BY_CODE = {
    0: torch.uint8, 1: torch.int8, 2: torch.int16, 3: torch.int32, 4: torch.int64, 5: torch.float16,
    6: torch.float32, 7: torch.float64, 11: torch.bool, 15: torch.bfloat16,
}  # fmt: skip
BUILTIN_DTYPES = {"i64": torch.int64, "i32": torch.int32, "i16": torch.int16, "i8": torch.int8} | DTYPES
MEMORY_FORMATS = {
    0: torch.contiguous_format, 1: torch.preserve_format, 2: torch.channels_last, 3: torch.channels_last_3d,
}  # fmt: skip


class Interpreter:
    """The functions of a training program, over state that one call leaves to the next.

    ``state`` holds the value of each declaration by name. Parameters start as given in ``parameters``
    (clones; those not given are zero), other state from its declaration's ``initial``.

    With ``in_place`` a read is the storage itself and an assign writes into it, so that whatever runs
    behind the assign and looks at what was read sees the new value: IREE's hazard.
    """

    def __init__(
        self,
        module: ir.Module,
        parameters: Mapping[str, torch.Tensor] | None = None,
        *,
        in_place: bool = False,
    ) -> None:
        self.module = module
        self.in_place = in_place
        self.dimensions: dict[str, list[str]] = {}
        self.state: dict[str, torch.Tensor] = {}
        self.gradients: dict[str, torch.Tensor] = {}
        """What ``sparsebp.update`` operations got in the last call, by parameter."""
        given = dict(parameters or {})
        for name, op in declarations(module).items():
            attributes = op.operation.attributes
            type_ = ir.RankedTensorType(ir.TypeAttr(attributes["type"]).value)
            dtype, initial = BUILTIN_DTYPES[str(type_.element_type)], 0
            if op.operation.name == "sparsebp.parameter":
                self.dimensions[name] = [ir.StringAttr(d).value for d in attributes["dimensions"]]
            else:
                self.dimensions[name] = [str(i) for i in range(type_.rank)]
                initial = attributes["initial"].value
            value = given.pop(name, None)
            if value is None:
                value = torch.full(list(type_.shape), initial, dtype=dtype)
            assert (list(value.shape), value.dtype) == (list(type_.shape), dtype), f"{name}: {value.shape}"
            self.state[name] = value.detach().clone(memory_format=torch.contiguous_format)
        assert not given, f"the program does not declare {', '.join(given)}"

    @torch.no_grad()
    def run(self, function: str, *inputs: torch.Tensor) -> list[torch.Tensor]:
        """What ``function`` returns for ``inputs``."""
        block = body(functions(self.module)[function])
        self.gradients = {}
        values: dict[ir.Value, Any] = {}
        assert len(inputs) == len(block.arguments), f"@{function} takes {len(block.arguments)} arguments"
        for argument, value in zip(block.arguments, inputs, strict=True):
            _check(f"argument {argument.arg_number} of @{function}", value, argument.type)
            values[argument] = value
        for op in block.operations:
            operands = [values[operand] for operand in op.operation.operands]
            if op.operation.name == "func.return":
                return [v.clone() if isinstance(v, torch.Tensor) else v for v in operands]
            results = self._execute(op.operation, operands)
            if len(op.operation.results) == 1:
                results = (results,)
            for value, result in zip(op.operation.results, results or (), strict=True):
                _check(op.operation.name, result, value.type)
                values[value] = result
        raise AssertionError(f"@{function} does not return")

    def _execute(self, op: Any, operands: list[Any]) -> Any:
        name = op.name
        if name.startswith(("torch.aten.", "torch.prims.")):
            return _dispatch(name.removeprefix("torch."), operands)
        if name == "torch.operator":
            return _dispatch(ir.StringAttr(op.attributes["name"]).value.removeprefix("torch."), operands)
        if name in ("torch.prim.ListConstruct", "torch.prim.TupleConstruct"):
            return operands
        if name == "torch.prim.ListUnpack":
            return operands[0][0] if len(op.results) == 1 else operands[0]
        if name == "torch.prim.NumToTensor.Scalar":
            return torch.tensor(operands[0], dtype=DTYPES[element_of(op.results[0].type)])
        if name == "torch.vtensor.literal":
            return literal(self.module, op)
        if name.startswith("torch.constant."):
            return _constant(op)
        if name == "sparsebp.read":
            value = self.state[_symbol(op)]
            return value if self.in_place else value.clone()
        if name == "sparsebp.assign":
            return self._assign(op, operands[0])
        if name == "sparsebp.update":
            self.gradients[_symbol(op)] = operands[0].clone()
            return None
        if name in OVER_SPACE and is_channels_last(op):
            return _with_channels_first(op, operands)
        if name in _HANDLERS:
            return _HANDLERS[name](op, *operands)
        raise NotImplementedError(f"the interpreter does not know {name}")

    def _assign(self, op: Any, value: torch.Tensor) -> None:
        name, mask = _symbol(op), Mask.from_attr(op.attributes["mask"])
        if not self.in_place:
            self.state[name] = self.state[name].clone()
        target = self.state[name]
        if mask.is_sliced:
            target.index_copy_(mask.axis(self.dimensions[name]), torch.tensor(mask.positions()), value)
        else:
            target.copy_(value)


def _with_channels_first(op: Any, operands: list[Any]) -> torch.Tensor:
    """What an operation on tensors with channels last computes, by that on PyTorch's."""
    over_space, has_result = OVER_SPACE[op.name]
    given = [v.movedim(-1, 1).contiguous() if i in over_space else v for i, v in enumerate(operands)]
    result = _HANDLERS[op.name](op, *given)
    return result.movedim(1, -1).contiguous() if has_result else result


def literal(module: ir.Module, op: Any) -> torch.Tensor:
    """The tensor of a ``torch.vtensor.literal``: dense, splat, or a resource of the module's."""
    attribute, type_ = op.attributes["value"], op.results[0].type
    shape, dtype = shape_of(type_), DTYPES[element_of(type_)]
    resource = re.match(r"dense_resource<([^>]+)>", str(attribute))
    if resource is not None:
        name = re.escape(resource[1].strip('"'))
        blob = re.search(rf'"?{name}"?: "0x([0-9A-Fa-f]*)"', str(module))
        assert blob is not None, f"no resource {resource[1]}"
        # The first four bytes are the alignment.
        return torch.frombuffer(bytearray.fromhex(blob[1])[4:], dtype=dtype).reshape(shape).clone()
    if attribute.is_splat and dtype.is_floating_point:
        return torch.full(shape, attribute.get_splat_value().value, dtype=dtype)
    if str(dtype) in ("torch.bfloat16", "torch.float16"):
        elements = [float(attribute[i]) for i in range(len(attribute))]
        return torch.tensor(elements, dtype=dtype).reshape(shape)
    return torch.from_numpy(np.array(attribute).copy()).to(dtype).reshape(shape)


def _check(what: str, value: Any, type_: ir.Type) -> None:
    if not is_vtensor(type_):
        return
    assert isinstance(value, torch.Tensor), f"{what}: {type_} is {value!r}"
    assert tuple(value.shape) == shape_of(type_), f"{what}: {type_} has shape {tuple(value.shape)}"
    assert value.dtype == DTYPES[element_of(type_)], f"{what}: {type_} has {value.dtype}"


def _dispatch(name: str, operands: list[Any]) -> Any:
    """Call ``aten.X.Y``; torch-mlir gives every argument of the schema, in order."""
    if name in ("aten.view", "aten._unsafe_view"):
        name = "aten.reshape"  # values of the program have no strides that a view could be incompatible with
    namespace, function, *overload = name.split(".")
    target = getattr(getattr(torch.ops, namespace), function)
    target = getattr(target, overload[0] if overload else "default")
    schema = target._schema.arguments
    assert len(schema) >= len(operands), f"{name} takes {len(schema)} arguments, got {len(operands)}"
    positional, keywords = [], {}
    for argument, given in zip(schema, operands, strict=False):
        value = given
        if isinstance(given, int) and "ScalarType" in str(argument.real_type):
            value = DTYPE_BY_CODE[given]
        elif isinstance(given, int) and "MemoryFormat" in str(argument.real_type):
            value = MEMORY_FORMATS[given]
        elif "Layout" in str(argument.real_type):
            value = None
        if argument.kwarg_only:
            keywords[argument.name] = value
        else:
            positional.append(value)
    return target(*positional, **keywords)


def _constant(op: Any) -> Any:
    if op.name == "torch.constant.none":
        return None
    value = op.attributes["value"]
    return bool(value.value) if op.name == "torch.constant.bool" else value.value


def _symbol(op: Any) -> str:
    name: str = ir.FlatSymbolRefAttr(op.attributes["symbol"]).value
    return name


def _select_channels(op: Any, source: torch.Tensor) -> torch.Tensor:
    mask, axis = Mask.from_attr(op.attributes["mask"]), ir.IntegerAttr(op.attributes["axis"]).value
    positions = mask.positions()
    if positions == tuple(range(positions[0], positions[-1] + 1)):
        return source.narrow(axis, positions[0], len(positions))  # a view, as a slice is in IREE
    return source.index_select(axis, torch.tensor(positions))


def _convolution_backward(op: Any, grad: Any, source: Any, weight: Any, which: int) -> torch.Tensor:
    window = Window.of(op, weight.shape[2:])
    groups, none = ir.IntegerAttr(op.attributes["groups"]).value, [0] * len(window.stride)
    results = torch.ops.aten.convolution_backward(
        grad, _padded(window, source), weight, None, window.stride, none, window.dilation, False,
        none, groups, [which == 0, which == 1, False],
    )  # fmt: skip
    return results[which] if which else _padded(window, results[0], -1)


def _padded(window: Window, source: torch.Tensor, sign: int = 1) -> torch.Tensor:
    """``source`` with a convolution's padding, or with ``sign`` -1 without it."""
    pairs = reversed(list(zip(window.padding, window.high, strict=True)))
    return torch.nn.functional.pad(source, [sign * n for pair in pairs for n in pair])


def _conv_input_grad(op: Any, grad: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    source = torch.empty(channels_first(op, op.results[0].type), dtype=grad.dtype)
    return _convolution_backward(op, grad, source, weight, 0)


def _conv_weight_grad(op: Any, grad: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    weight = torch.empty(shape_of(op.results[0].type), dtype=grad.dtype)
    return _convolution_backward(op, grad, source, weight, 1)


def _ceil_mode(window: Window, source: Any, result: Any) -> bool:
    return tuple(result[2:]) != window.output_size(source[2:])


def _max_pool(op: Any, source: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Maxima and their flat positions in the input's spatial dimensions."""
    window = Window.of(op)
    pool = getattr(torch.nn.functional, f"max_pool{len(window.kernel)}d")
    ceil = _ceil_mode(window, source.shape, channels_first(op, op.results[0].type))
    result: tuple[torch.Tensor, torch.Tensor] = pool(
        source, window.kernel, window.stride, window.padding, window.dilation, ceil, return_indices=True
    )
    return result


def _window_origins(window: Window, spatial: Any) -> list[torch.Tensor]:
    """For each spatial dimension the first input position of each window, shaped to broadcast."""
    origins = []
    for i, size in enumerate(spatial):
        shape = [1] * len(spatial)
        shape[i] = size
        origins.append((torch.arange(size) * window.stride[i] - window.padding[i]).reshape(shape))
    return origins


def _max_pool_argmax(op: Any, source: torch.Tensor) -> torch.Tensor:
    window, (_, flat) = Window.of(op), _max_pool(op, source)
    result, rest = torch.zeros_like(flat), flat
    factor = 1
    origins = _window_origins(window, flat.shape[2:])
    for i in reversed(range(len(window.kernel))):
        position, rest = rest % source.shape[2 + i], rest // source.shape[2 + i]
        result += (position - origins[i]) // window.dilation[i] * factor
        factor *= window.kernel[i]
    return result.to(torch.int32)


def _max_pool_grad(op: Any, grad: torch.Tensor, argmax: torch.Tensor) -> torch.Tensor:
    window, shape = Window.of(op), channels_first(op, op.results[0].type)
    flat, rest, factor = torch.zeros_like(argmax, dtype=torch.int64), argmax.to(torch.int64), 1
    origins = _window_origins(window, grad.shape[2:])
    for i in reversed(range(len(window.kernel))):
        within, rest = rest % window.kernel[i], rest // window.kernel[i]
        flat += (origins[i] + within * window.dilation[i]) * factor
        factor *= shape[2 + i]
    result = torch.zeros(*shape[:2], factor, dtype=grad.dtype)
    return result.scatter_add_(2, flat.flatten(2), grad.flatten(2)).reshape(shape)


def _convolution(op: Any, source: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    window = Window.of(op, weight.shape[2:])
    groups, none = ir.IntegerAttr(op.attributes["groups"]).value, [0] * len(window.stride)
    return torch.ops.aten.convolution(
        _padded(window, source), weight, None, window.stride, none, window.dilation, False, none, groups
    )


def _avg_pool(op: Any, source: torch.Tensor) -> torch.Tensor:
    window, divisor = avg_pool_window(op), ir.IntegerAttr(op.attributes["divisor_override"]).value
    pool = getattr(torch.nn.functional, f"avg_pool{len(window.kernel)}d")
    ceil = _ceil_mode(window, source.shape, channels_first(op, op.results[0].type))
    include = bool(ir.BoolAttr(op.attributes["count_include_pad"]).value)
    options = {"divisor_override": divisor} if divisor else {}
    result: torch.Tensor = pool(
        source, window.kernel, window.stride, window.padding, ceil, include, **options
    )
    return result


def _avg_pool_grad(op: Any, grad: torch.Tensor) -> torch.Tensor:
    window, shape = avg_pool_window(op), channels_first(op, op.results[0].type)
    divisor = ir.IntegerAttr(op.attributes["divisor_override"]).value
    include = bool(ir.BoolAttr(op.attributes["count_include_pad"]).value)
    pool = getattr(torch.nn.functional, f"avg_pool{len(window.kernel)}d")
    options = {"divisor_override": divisor} if divisor else {}
    with torch.enable_grad():
        source = torch.zeros(shape, dtype=grad.dtype, requires_grad=True)
        result = pool(
            source, window.kernel, window.stride, window.padding,
            _ceil_mode(window, shape, grad.shape), include, **options,
        )  # fmt: skip
        return torch.autograd.grad(result, source, grad)[0]


def _embedding_grad(op: Any, grad: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    first = ir.IntegerAttr(op.attributes["first_row"]).value
    padding = ir.IntegerAttr(op.attributes["padding_idx"]).value
    rows, width = shape_of(op.results[0].type)
    flat, values = indices.flatten(), grad.reshape(-1, width)
    kept = (flat >= first) & (flat < first + rows) & (flat != padding)
    result = torch.zeros(rows, width, dtype=grad.dtype).index_add_(0, flat[kept] - first, values[kept])
    if ir.BoolAttr(op.attributes["scale_grad_by_freq"]).value:
        counts = torch.bincount(flat[kept] - first, minlength=rows).clamp(min=1)
        result = result / counts[:, None].to(grad.dtype)
    return result


def _random_mask(op: Any, seed: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    stream = ir.IntegerAttr(op.attributes["stream"]).value
    probability = ir.FloatAttr(op.attributes["probability"]).value
    shape = shape_of(op.results[0].type)
    return torch.from_numpy(random_mask(int(seed), int(step), stream, probability, shape))


def _random_uniform(op: Any, seed: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    stream, shape = ir.IntegerAttr(op.attributes["stream"]).value, shape_of(op.results[0].type)
    return torch.from_numpy(random_uniform(int(seed), int(step), stream, shape))


_HANDLERS: dict[str, Callable[..., Any]] = {
    "sparsebp.avg_pool": _avg_pool,
    "sparsebp.avg_pool_grad": _avg_pool_grad,
    "sparsebp.convolution": _convolution,
    "sparsebp.conv_input_grad": _conv_input_grad,
    "sparsebp.conv_weight_grad": _conv_weight_grad,
    "sparsebp.embedding_grad": _embedding_grad,
    "sparsebp.max_pool": lambda op, source: _max_pool(op, source)[0],
    "sparsebp.max_pool_argmax": _max_pool_argmax,
    "sparsebp.max_pool_grad": _max_pool_grad,
    "sparsebp.random_mask": _random_mask,
    "sparsebp.random_uniform": _random_uniform,
    "sparsebp.save": lambda op, value: value,
    "sparsebp.select_channels": _select_channels,
}
