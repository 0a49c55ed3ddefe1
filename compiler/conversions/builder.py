# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Building linalg on tensors: what the conversions of training ops are written with."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch_mlir import ir
from torch_mlir.dialects import arith, linalg, tensor

from pock.compiler.torch_ir import TorchBuilder
from pock.dialects.types import builtin_tensor

Body = Callable[..., ir.Value | Sequence[ir.Value]]
"""The body of a generic: scalars of the operands in, what is yielded out."""

BARRIER = "iree_tensor_ext.compute_barrier.start"
"""Its result is its operand, and nothing is fused across it; it is gone when IREE has formed dispatches."""

_TERM = re.compile(r"([a-z][a-z0-9_]*)(?:\*(\d+))?|(\d+)")


def shape(value: ir.Value) -> list[int]:
    """The static shape of a builtin tensor."""
    return list(ir.RankedTensorType(value.type).shape)


def element(value: ir.Value) -> ir.Type:
    """The element type of a builtin tensor."""
    return ir.RankedTensorType(value.type).element_type


class Access:
    """The subscripts of a generic's operands in a small notation, as einsum has one.

    ``"n c h*2+k, f c k -> n f h"`` are the subscripts of two inputs and a result: dimensions are
    names, a subscript is a sum of dimensions, of dimensions times a number, and of numbers; a scalar
    has none. Loops run over the dimensions of the result in order, then over the others, which are
    reduced, in order of appearance. Of several results, one may have a dimension that others are sums over:
    it is ``reduced`` too.
    """

    def __init__(self, spec: str, inputs_count: int, reduced: Sequence[str] = ()) -> None:
        inputs, outputs = ([part.split() for part in side.split(",")] for side in spec.split("->"))
        inputs = inputs[:inputs_count]
        self.inputs, self.outputs = inputs, outputs
        kept = self._names(outputs)
        self.dims = kept + [name for name in self._names(inputs) if name not in kept]
        self.parallel = [name in kept and name not in reduced for name in self.dims]

    @staticmethod
    def _names(operands: Sequence[Sequence[str]]) -> list[str]:
        subscripts = " ".join(" ".join(operand) for operand in operands)
        return list(dict.fromkeys(match[1] for match in _TERM.finditer(subscripts) if match[1]))

    def _expression(self, subscript: str) -> ir.AffineExpr:
        total: ir.AffineExpr = ir.AffineConstantExpr.get(0)
        for match in _TERM.finditer(subscript):
            if match[3]:
                total = total + int(match[3])
            else:
                total = total + ir.AffineDimExpr.get(self.dims.index(match[1])) * int(match[2] or 1)
        return total

    def maps(self) -> ir.ArrayAttr:
        """The indexing maps, inputs first."""
        return ir.ArrayAttr.get(
            [
                ir.AffineMapAttr.get(
                    ir.AffineMap.get(len(self.dims), 0, [self._expression(s) for s in operand])
                )
                for operand in [*self.inputs, *self.outputs]
            ]
        )

    def iterators(self) -> ir.ArrayAttr:
        """The iterator types."""
        kinds = ["parallel" if parallel else "reduction" for parallel in self.parallel]
        return ir.ArrayAttr.get([ir.Attribute.parse(f"#linalg.iterator_type<{kind}>") for kind in kinds])


class LinalgBuilder(TorchBuilder):
    """Creates linalg, tensor and arith operations before ``anchor``, on builtin tensors.

    ``panel`` and ``winograd`` are the target's (see ``Target``).
    """

    def __init__(self, anchor: Any, panel: int = 0, winograd: int = 0) -> None:
        super().__init__(anchor)
        self.panel = panel
        self.winograd = winograd
        self.f32 = ir.F32Type.get(self.context)
        self.i1 = ir.IntegerType.get_signless(1, self.context)
        self.i32 = ir.IntegerType.get_signless(32, self.context)

    # Crossing between torch's tensors and builtin ones.

    def operand(self, op: Any, index: int) -> ir.Value:
        """Operand ``index`` of ``op``, a ``!torch.vtensor``, as a builtin tensor."""
        return self.builtin(op.operation.operands[index])

    def builtin(self, value: ir.Value) -> ir.Value:
        """A ``!torch.vtensor`` as a builtin tensor."""
        cast: ir.Value = self.create("torch_c.to_builtin_tensor", [value], [builtin_tensor(value.type)])
        return cast

    def torch_value(self, value: ir.Value, type_: ir.Type) -> ir.Value:
        """A builtin tensor as the ``!torch.vtensor`` ``type_``, cast to its element type."""
        value = self.cast(value, builtin_tensor(type_).element_type)
        return self.create("torch_c.from_builtin_tensor", [value], [type_])

    # Constants and fresh tensors.

    def tensor_type(self, shape: Sequence[int], element: ir.Type) -> ir.RankedTensorType:
        return ir.RankedTensorType.get(list(shape), element, loc=self.location)

    def scalar(self, value: float, element: ir.Type) -> ir.Value:
        """``arith.constant`` of a float or integer type."""
        integral = isinstance(element, ir.IntegerType)
        attr = ir.IntegerAttr.get(element, int(value)) if integral else ir.FloatAttr.get(element, value)
        return self.create("arith.constant", [], [element], {"value": attr})

    def dense(self, values: "np.ndarray[Any, Any]") -> ir.Value:
        """A constant tensor of f32 or i32."""
        element = self.f32 if values.dtype == np.float32 else self.i32
        attr = ir.DenseElementsAttr.get(
            np.ascontiguousarray(values), type=element, shape=list(values.shape), context=self.context
        )
        return self.create("arith.constant", [], [self.tensor_type(values.shape, element)], {"value": attr})

    def empty(self, shape: Sequence[int], element: ir.Type) -> ir.Value:
        return self.create("tensor.empty", [], [self.tensor_type(shape, element)])

    def like(self, value: ir.Value, element: ir.Type | None = None) -> ir.Value:
        """``tensor.empty`` of the shape of ``value``, and its element type unless another is given."""
        type_ = ir.RankedTensorType(value.type)
        return self.empty(list(type_.shape), element or type_.element_type)

    def full(self, shape: Sequence[int], value: float, element: ir.Type) -> ir.Value:
        """A tensor with ``value`` everywhere."""
        with self.ip, self.location:
            return linalg.fill(self.scalar(value, element), outs=[self.empty(shape, element)])

    # Shape.

    def slice(
        self,
        value: ir.Value,
        offsets: Sequence[int],
        sizes: Sequence[int],
        strides: Sequence[int] | None = None,
        dropped: Sequence[int] = (),
    ) -> ir.Value:
        """``tensor.extract_slice`` without the dimensions ``dropped``; nothing for the whole of ``value``."""
        strides = [1] * len(sizes) if strides is None else list(strides)
        if list(sizes) == shape(value) and not dropped:
            return value
        kept = [n for i, n in enumerate(sizes) if i not in dropped]
        with self.ip, self.location:
            return tensor.extract_slice(
                self.tensor_type(kept, element(value)),
                value,
                [],
                [],
                [],
                list(offsets),
                list(sizes),
                strides,
            )

    def pad(self, value: ir.Value, low: Sequence[int], high: Sequence[int], fill: float = 0.0) -> ir.Value:
        """``value`` with ``low`` and ``high`` elements of ``fill`` before and after each dimension.

        Negative numbers remove elements.
        """
        begin = [max(-n, 0) for n in low]
        sizes = [n - first - max(-m, 0) for n, first, m in zip(shape(value), begin, high, strict=True)]
        if min(sizes) <= 0:
            sizes = [n + a + b for n, a, b in zip(shape(value), low, high, strict=True)]
            return self.full(sizes, fill, element(value))
        value = self.slice(value, begin, sizes)
        low, high = [max(n, 0) for n in low], [max(n, 0) for n in high]
        if not any(low) and not any(high):
            return value
        sizes = [n + a + b for n, a, b in zip(sizes, low, high, strict=True)]
        padding = self.scalar(fill, element(value))
        with self.ip, self.location:
            padded = tensor.PadOp(self.tensor_type(sizes, element(value)), value, [], [], low, high)
        index = ir.IndexType.get(self.context)
        block = padded.region.blocks.append(*[index] * len(sizes), arg_locs=[self.location] * len(sizes))
        with ir.InsertionPoint(block), self.location:
            tensor.yield_(padding)
        return padded.result

    def reshape(self, value: ir.Value, groups: Sequence[Sequence[int]]) -> ir.Value:
        """Split each dimension of ``value`` into the sizes that ``groups`` has for it."""
        sizes = [n for group in groups for n in group]
        if len(sizes) == len(groups):
            return value
        with self.ip, self.location:
            return tensor.expand_shape(
                self.tensor_type(sizes, element(value)), value, _reassociation(groups), [], sizes
            )

    def merge(self, value: ir.Value, counts: Sequence[int]) -> ir.Value:
        """Merge runs of adjacent dimensions: ``counts`` are their lengths."""
        if all(count == 1 for count in counts):
            return value
        source = shape(value)
        sizes: list[int] = []
        groups: list[list[int]] = []
        for count in counts:
            start = sum(len(group) for group in groups)
            groups.append(source[start : start + count])
            sizes.append(int(np.prod(groups[-1], dtype=np.int64)))
        with self.ip, self.location:
            return tensor.collapse_shape(
                self.tensor_type(sizes, element(value)), value, _reassociation(groups)
            )

    def flatten(self, value: ir.Value, keep: int = 0) -> ir.Value:
        """All dimensions but the last ``keep`` as one, the first; of no dimensions as one of size 1."""
        leading = len(shape(value)) - keep
        if leading:
            return self.merge(value, [leading] + [1] * keep)
        sizes = [1, *shape(value)]
        groups = [list(range(2)), *([i] for i in range(2, keep + 1))] if keep else []
        with self.ip, self.location:
            return tensor.expand_shape(self.tensor_type(sizes, element(value)), value, groups, [], sizes)

    def unflatten(self, value: ir.Value, sizes: Sequence[int]) -> ir.Value:
        """A tensor of one dimension in the shape ``sizes``."""
        if sizes:
            return self.reshape(value, [sizes])
        with self.ip, self.location:
            return tensor.collapse_shape(self.tensor_type([], element(value)), value, [])

    def stack(self, values: Sequence[ir.Value]) -> ir.Value:
        """Tensors of one type along a new first dimension."""
        sizes = shape(values[0])
        stacked = self.empty([len(values), *sizes], element(values[0]))
        for i, value in enumerate(values):
            offsets, ones = [i] + [0] * len(sizes), [1] * (len(sizes) + 1)
            with self.ip, self.location:
                stacked = tensor.insert_slice(value, stacked, [], [], [], offsets, [1, *sizes], ones)
        return stacked

    def unstack(self, value: ir.Value) -> list[ir.Value]:
        """What lies along the first dimension of ``value``."""
        count, *sizes = shape(value)
        first = [[i, *[0] * len(sizes)] for i in range(count)]
        return [self.slice(value, offsets, [1, *sizes], dropped=(0,)) for offsets in first]

    def transpose(self, value: ir.Value, order: Sequence[int]) -> ir.Value:
        """``linalg.transpose``: dimension ``i`` of the result is dimension ``order[i]`` of ``value``."""
        if list(order) == list(range(len(order))):
            return value
        source = shape(value)
        init = self.empty([source[i] for i in order], element(value))
        with self.ip, self.location:
            return linalg.transpose(value, outs=[init], permutation=list(order)).result[0]

    def gather(
        self, value: ir.Value, sizes: Sequence[int], at: Callable[[list[ir.Value]], Sequence[ir.Value]]
    ) -> ir.Value:
        """A copy in the shape ``sizes``, whose element at the given indices is that of ``value`` ``at`` them.

        For copies that are to stay copies: iree-compile folds transpositions and strides into products,
        some of which then take many times as long.
        """

        def read(_: ir.Value) -> ir.Value:
            return tensor.extract(value, at([loop_index(i) for i in range(len(sizes))]))

        names = " ".join(f"d{i}" for i in range(len(sizes)))
        return self.generic(f"-> {names}", [], [self.empty(sizes, element(value))], read)

    def reorder(self, value: ir.Value, order: Sequence[int]) -> ir.Value:
        """As ``transpose``, a copy that stays one.

        iree-compile folds transpositions into products and named convolutions, which then take many times
        as long.
        """
        if list(order) == list(range(len(order))):
            return value
        return self.barrier(self.transpose(value, order))

    def barrier(self, value: ir.Value) -> ir.Value:
        """``value``, across which nothing is fused; it is gone when iree-compile has formed dispatches."""
        result: ir.Value = self.create(BARRIER, [value], [value.type])
        return result

    # Computation.

    def generic(
        self,
        spec: str,
        inputs: Sequence[ir.Value],
        inits: Sequence[ir.Value],
        body: Body,
        reduced: Sequence[str] = (),
    ) -> Any:
        """``linalg.generic`` with the subscripts ``spec`` and loops ``reduced`` (see ``Access``).

        Returns its result, or the list of them.
        """
        access = Access(spec, len(inputs), reduced)
        operands = [*inputs, *inits]
        op = ir.Operation.create(
            "linalg.generic",
            results=[init.type for init in inits],
            operands=operands,
            attributes={
                "indexing_maps": access.maps(),
                "iterator_types": access.iterators(),
                "operandSegmentSizes": ir.DenseI32ArrayAttr.get([len(inputs), len(inits)]),
            },
            regions=1,
            loc=self.location,
            ip=self.ip,
        )
        block = op.regions[0].blocks.append(
            *[element(v) for v in operands], arg_locs=[self.location] * len(operands)
        )
        with ir.InsertionPoint(block), self.location:
            yielded = body(*block.arguments)
            linalg.yield_([yielded] if isinstance(yielded, ir.Value) else list(yielded))
        return op.results[0] if len(op.results) == 1 else list(op.results)

    def elementwise(self, value: ir.Value, result: ir.Type, body: Body) -> ir.Value:
        """``body`` of each element, into element type ``result``."""
        names = " ".join(f"d{i}" for i in range(len(shape(value))))
        init = self.like(value, result)
        return self.generic(f"{names} -> {names}", [value], [init], lambda a, _: body(a))

    def cast(self, value: ir.Value, result: ir.Type) -> ir.Value:
        """``value`` in the element type ``result``; floats to floats, integers to integers."""
        if element(value) == result:
            return value
        return self.elementwise(value, result, lambda a: convert_scalar(a, result))

    def contract(self, spec: str, a: ir.Value, b: ir.Value, result: Sequence[int]) -> ir.Value:
        """Sum of products, accumulated and returned in f32."""

        def multiply_add(x: ir.Value, y: ir.Value, total: ir.Value) -> ir.Value:
            product = arith.mulf(convert_scalar(x, self.f32), convert_scalar(y, self.f32))
            return arith.addf(total, product)

        return self.generic(spec, [a, b], [self.full(result, 0.0, self.f32)], multiply_add)

    def convolution(
        self,
        name: str,
        x: ir.Value,
        weight: ir.Value,
        strides: Sequence[int],
        dilations: Sequence[int],
        out: Sequence[int],
        total: ir.Value | None = None,
    ) -> ir.Value:
        """The named convolution ``linalg.<name>`` of a fitted ``x [N, *in, C]``, in f32.

        ``weight`` is ``[*kernel, C, F]`` or ``[*kernel, C]``, ``out`` the spatial size of the result; it is
        added to ``total``, if given.
        """
        result = [shape(x)[0], *out, shape(weight)[-1]]
        init = self.full(result, 0.0, self.f32) if total is None else total
        with self.ip, self.location:
            value: ir.Value = getattr(linalg, name)(
                x, weight, outs=[init], strides=list(strides), dilations=list(dilations)
            )
        return value


# Scalars in the body of a generic, at the current insertion point and location.


def loop_index(dimension: int) -> ir.Value:
    """The position of a generic's loop ``dimension``, of type index."""
    attributes = {"dim": ir.IntegerAttr.get(ir.IntegerType.get_signless(64), dimension)}
    return ir.Operation.create("linalg.index", [ir.IndexType.get()], [], attributes).result


def index(value: int) -> ir.Value:
    """A constant of type index."""
    return arith.constant(ir.IndexType.get(), value)


def to_index(value: ir.Value) -> ir.Value:
    """A signed integer as an index."""
    return arith.index_cast(ir.IndexType.get(), value)


def is_negative(value: ir.Value) -> ir.Value:
    """Whether a signed integer is below zero."""
    return arith.cmpi(arith.CmpIPredicate.slt, value, arith.constant(value.type, 0))


def at_least_zero(value: ir.Value) -> ir.Value:
    """The larger of a signed integer and zero."""
    return arith.maxsi(value, arith.constant(value.type, 0))


def convert_scalar(value: ir.Value, result: ir.Type) -> ir.Value:
    """``value`` in the float or integer type ``result``."""
    if value.type == result:
        return value
    grows = result.width > value.type.width
    if isinstance(result, ir.IntegerType):
        return arith.extsi(result, value) if grows else arith.trunci(result, value)
    return arith.extf(result, value) if grows else arith.truncf(result, value)


def _reassociation(groups: Sequence[Sequence[int]]) -> list[list[int]]:
    indices, start = [], 0
    for group in groups:
        indices.append(list(range(start, start + len(group))))
        start += len(group)
    return indices
