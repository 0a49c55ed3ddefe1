# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The values of what a lowered program computes from constants alone, by NumPy.

Operations on tensors, and arithmetic element by element whose results IEEE 754 defines to the last bit;
``math.rsqrt`` is rounded once. What a library approximates, as exponentials, is left to the target.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
from torch_mlir import ir

from pock.compiler.conversions.builder import BARRIER
from pock.compiler.torch_ir import defining_op

Array = np.ndarray[Any, Any]

_DTYPES: dict[str, Any] = {
    "f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "i64": np.int64,
    "i32": np.int32, "i16": np.int16, "i8": np.int8, "i1": np.bool_, "index": np.int64,
}  # fmt: skip

ARITHMETIC = (np.float64, np.float32, np.int64, np.int32)
"""Types that are computed in; of the others, elements are moved."""

_FLOAT_PREDICATES: dict[int, Callable[[Array, Array], Array]] = {
    1: np.equal, 2: np.greater, 3: np.greater_equal, 4: np.less, 5: np.less_equal, 13: np.not_equal,
}  # fmt: skip
"""Of ``arith.cmpf``: those that NumPy has, false for NaN but for "not equal"."""

_SIGNED_PREDICATES: dict[int, Callable[[Array, Array], Array]] = {
    0: np.equal, 1: np.not_equal, 2: np.less, 3: np.less_equal, 4: np.greater, 5: np.greater_equal,
}  # fmt: skip


class NotEvaluated(Exception):
    """An operation, or a value of it, that NumPy is not to compute."""


def dtype_of(type_: ir.Type) -> Any:
    """The NumPy type of the elements of a scalar's or tensor's type; raises ``NotEvaluated``."""
    element = ir.RankedTensorType(type_).element_type if isinstance(type_, ir.RankedTensorType) else type_
    found = _DTYPES.get(str(element))
    if found is None:
        raise NotEvaluated(f"elements of {element}")
    return found


def shape_of(type_: ir.Type) -> list[int]:
    """The shape of a tensor's type, and none of a scalar; raises ``NotEvaluated`` if it is not static."""
    if not isinstance(type_, ir.RankedTensorType):
        return []
    if not type_.has_static_shape:
        raise NotEvaluated("a shape that is not static")
    return list(type_.shape)


def is_evaluated(op: Any) -> bool:
    """Whether this knows operations of the kind of ``op``."""
    return op.operation.name in _KINDS or op.operation.name in _SCALARS


class ConstantValues:
    """Values by what they are computed from: ``known`` are those of operations' results to begin with.

    Each is computed when it is first asked for, and kept.
    """

    def __init__(self, known: Mapping[ir.Value, Array]) -> None:
        self._values: dict[ir.Value, Array | None] = dict(known)

    def __getitem__(self, value: ir.Value) -> Array:
        """The value, a tensor's or a scalar's (of no dimensions). Raises ``NotEvaluated``."""
        if value not in self._values:
            self._values[value] = self._computed(value)
        found = self._values[value]
        if found is None:
            raise NotEvaluated
        return found

    def _computed(self, value: ir.Value) -> Array | None:
        op = defining_op(value)
        if op is None or len(op.operation.results) != 1:
            return None
        try:
            with np.errstate(all="ignore"):
                return self._result(op.operation, value.type)
        except NotEvaluated:
            return None

    def _result(self, op: Any, type_: ir.Type) -> Array:
        dtype, shape = dtype_of(type_), shape_of(type_)
        if op.name in _KINDS:
            found = _KINDS[op.name](self, op)
        elif op.name in _SCALARS:
            found = _elementwise(op, [self[value] for value in op.operands])
        else:
            raise NotEvaluated(op.name)
        if list(found.shape) != shape or found.dtype != dtype:
            raise NotEvaluated(f"{op.name}: {found.dtype}{found.shape} for {type_}")
        return found


# -- operations on tensors ----------------------------------------------------------------------


def attribute_value(attribute: ir.Attribute, type_: ir.Type) -> Array:
    """The value of an attribute that says what is in a scalar or tensor; raises ``NotEvaluated``."""
    dtype = dtype_of(type_)
    if not isinstance(attribute, ir.DenseElementsAttr):
        return _scalar(attribute, dtype)
    if attribute.is_splat:
        return np.broadcast_to(_scalar(attribute.get_splat_value(), dtype), shape_of(type_))
    if dtype not in ARITHMETIC:
        raise NotEvaluated("a constant of another type")
    return np.array(attribute)


def _constant(_: ConstantValues, op: Any) -> Array:
    return attribute_value(op.attributes["value"], op.results[0].type)


def _scalar(attribute: ir.Attribute, dtype: Any) -> Array:
    if isinstance(attribute, ir.FloatAttr | ir.IntegerAttr | ir.BoolAttr):
        return np.asarray(attribute.value, dtype)
    raise NotEvaluated(f"a constant {attribute}")


def _same(values: ConstantValues, op: Any) -> Array:
    return values[op.operands[0]]


def _reshaped(values: ConstantValues, op: Any) -> Array:
    return values[op.operands[0]].reshape(shape_of(op.results[0].type))


def _filled(values: ConstantValues, op: Any) -> Array:
    return np.broadcast_to(values[op.operands[0]], shape_of(op.results[0].type))


def _transposed(values: ConstantValues, op: Any) -> Array:
    return values[op.operands[0]].transpose(list(ir.DenseI64ArrayAttr(op.attributes["permutation"])))


def _broadcast(values: ConstantValues, op: Any) -> Array:
    source = values[op.operands[0]]
    added = tuple(ir.DenseI64ArrayAttr(op.attributes["dimensions"]))
    return np.broadcast_to(np.expand_dims(source, added), shape_of(op.results[0].type))


def _window(op: Any) -> tuple[slice, ...]:
    lists = [
        list(ir.DenseI64ArrayAttr(op.attributes[f"static_{k}"])) for k in ("offsets", "sizes", "strides")
    ]
    return tuple(slice(at, at + size * step, step) for at, size, step in zip(*lists, strict=True))


def _extracted_slice(values: ConstantValues, op: Any) -> Array:
    (source,) = _operands(op, 1)
    return values[source][_window(op)].reshape(shape_of(op.results[0].type))


def _inserted_slice(values: ConstantValues, op: Any) -> Array:
    part, whole = _operands(op, 2)
    made, window = values[whole].copy(), _window(op)
    made[window] = values[part].reshape(made[window].shape)
    return made


def _padded(values: ConstantValues, op: Any) -> Array:
    (source,) = _operands(op, 1)
    low, high = (list(ir.DenseI64ArrayAttr(op.attributes[f"static_{k}"])) for k in ("low", "high"))
    block = op.regions[0].blocks[0]
    padding = values[block.operations[len(block.operations) - 1].operation.operands[0]]
    return np.pad(values[source], list(zip(low, high, strict=True)), constant_values=padding[()])


def _operands(op: Any, count: int) -> Sequence[ir.Value]:
    """The operands of an operation that has no dynamic sizes or places."""
    if len(op.operands) != count:
        raise NotEvaluated(f"{op.name} at a place known only at run time")
    return list(op.operands)


# -- element by element -------------------------------------------------------------------------


def _generic(values: ConstantValues, op: Any) -> Array:
    """``linalg.generic`` without reductions: its body on whole arrays."""
    result, block = op.results[0], op.regions[0].blocks[0]
    if any("parallel" not in str(kind) for kind in ir.ArrayAttr(op.attributes["iterator_types"])):
        raise NotEvaluated("a reduction")
    maps = [ir.AffineMapAttr(a).value for a in ir.ArrayAttr(op.attributes["indexing_maps"])]
    order, shape = _positions(maps[-1]), shape_of(result.type)
    if None in order or sorted(order) != list(range(maps[-1].n_dims)):  # type: ignore[type-var]
        raise NotEvaluated("a result that is no permutation")
    loops = [shape[order.index(i)] for i in range(len(order))]
    local: dict[ir.Value, Array] = {}
    for operand, argument, map_ in zip(op.operands, block.arguments, maps, strict=True):
        if any(True for _ in argument.uses):
            local[argument] = _in_loops(values[operand], _positions(map_), len(loops))
    for inner in block.operations:
        found = _inner(values, local, inner.operation, loops)
        if inner.operation.name == "linalg.yield":
            whole = np.broadcast_to(found, loops)
            return whole.transpose(order)  # type: ignore[arg-type]
        local[inner.operation.results[0]] = found
    raise NotEvaluated("a body without end")


def _positions(map_: ir.AffineMap) -> list[int | None]:
    """Which loop each dimension follows; None for one that stays at 0. Raises ``NotEvaluated``."""
    found: list[int | None] = []
    for expression in map_.results:
        if isinstance(expression, ir.AffineDimExpr):
            found.append(expression.position)
        elif isinstance(expression, ir.AffineConstantExpr) and expression.value == 0:
            found.append(None)
        else:
            raise NotEvaluated(f"elements at {expression}")
    return found


def _in_loops(value: Array, positions: Sequence[int | None], loops: int) -> Array:
    """``value`` with a dimension for each loop, of size 1 where it does not depend on it."""
    kept = value[tuple(0 if at is None else slice(None) for at in positions)]
    at = [position for position in positions if position is not None]
    if len(set(at)) != len(at):
        raise NotEvaluated("a diagonal")
    ordered = kept.transpose(np.argsort(at))
    return np.expand_dims(ordered, [i for i in range(loops) if i not in at])


def _inner(values: ConstantValues, local: Mapping[ir.Value, Array], op: Any, loops: Sequence[int]) -> Array:
    """What an operation of a body makes, or what its end yields."""
    if op.name == "linalg.index":
        dimension = ir.IntegerAttr(op.attributes["dim"]).value
        shape = [loops[dimension] if i == dimension else 1 for i in range(len(loops))]
        return np.arange(loops[dimension], dtype=np.int64).reshape(shape)
    if op.name == "arith.constant":
        return _constant(values, op)
    operands = [local[value] if value in local else values[value] for value in op.operands]
    if op.name == "linalg.yield":
        return operands[0]
    if op.name == "tensor.extract":
        return _gathered(operands[0], operands[1:])
    return _elementwise(op, operands)


def _gathered(source: Array, indices: Sequence[Array]) -> Array:
    for index, size in zip(indices, source.shape, strict=True):
        if index.size and (index.min() < 0 or index.max() >= size):
            raise NotEvaluated("an element that is not there")
    return source[tuple(indices)]


def _elementwise(op: Any, operands: Sequence[Array]) -> Array:
    """What an operation on scalars makes of whole arrays."""
    if op.name not in _SCALARS:
        raise NotEvaluated(op.name)
    dtype = dtype_of(op.results[0].type)
    computed = operands[1:] if op.name == "arith.select" else operands
    if any(value.dtype not in ARITHMETIC for value in computed):
        raise NotEvaluated("arithmetic in another type")
    found = np.asarray(_SCALARS[op.name](op, dtype, *operands))
    if found.dtype != dtype:
        raise NotEvaluated(f"{op.name}: {found.dtype} for {dtype}")
    return found


def _simple(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda op, dtype, *operands: function(*operands)


def _cast(_: Any, dtype: Any, a: Array) -> Array:
    return a.astype(dtype)


def _rsqrt(_: Any, dtype: Any, a: Array) -> Array:
    return (1.0 / np.sqrt(a.astype(np.float64))).astype(dtype)


def _compared(predicates: Mapping[int, Callable[[Array, Array], Array]]) -> Callable[..., Array]:
    def compare(op: Any, _: Any, a: Array, b: Array) -> Array:
        function = predicates.get(ir.IntegerAttr(op.attributes["predicate"]).value)
        if function is None:
            raise NotEvaluated("another comparison")
        return function(a, b)

    return compare


def _select(_op: Any, _dtype: Any, condition: Array, a: Array, b: Array) -> Array:
    return np.where(condition, a, b)


_SCALARS: dict[str, Callable[..., Array]] = {
    "arith.addf": _simple(np.add),
    "arith.subf": _simple(np.subtract),
    "arith.mulf": _simple(np.multiply),
    "arith.divf": _simple(np.divide),
    "arith.negf": _simple(np.negative),
    "arith.maximumf": _simple(np.maximum),
    "arith.minimumf": _simple(np.minimum),
    "arith.addi": _simple(np.add),
    "arith.subi": _simple(np.subtract),
    "arith.muli": _simple(np.multiply),
    "arith.maxsi": _simple(np.maximum),
    "arith.minsi": _simple(np.minimum),
    "arith.cmpf": _compared(_FLOAT_PREDICATES),
    "arith.cmpi": _compared(_SIGNED_PREDICATES),
    "arith.select": _select,
    "arith.extf": _cast,
    "arith.truncf": _cast,
    "arith.sitofp": _cast,
    "arith.index_cast": _cast,
    "math.absf": _simple(np.abs),
    "math.sqrt": _simple(np.sqrt),
    "math.rsqrt": _rsqrt,
}
"""What operations on scalars are for arrays: of the operation, its result's dtype, and its operands."""

_KINDS: dict[str, Callable[[ConstantValues, Any], Array]] = {
    "arith.constant": _constant,
    "linalg.broadcast": _broadcast,
    "linalg.fill": _filled,
    "linalg.generic": _generic,
    "linalg.transpose": _transposed,
    "tensor.collapse_shape": _reshaped,
    "tensor.expand_shape": _reshaped,
    "tensor.extract_slice": _extracted_slice,
    "tensor.insert_slice": _inserted_slice,
    "tensor.pad": _padded,
    BARRIER: _same,
}
