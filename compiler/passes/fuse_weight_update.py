# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-fuse-weight-update``: the input gradient and the update of a weight in one pass over it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar, TypeAlias

from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.compiler.conversions.builder import BARRIER, LinalgBuilder, element, shape
from pock.compiler.errors import UsageError
from pock.compiler.torch_ir import body, defining_op, functions, operations

from .base import Pass

LEAST_ELEMENTS = 1 << 16
"""Elements of a weight from which reading it once less is worth a loop of its own.

``python -m pock.benchmarks.updates`` prints what it gains.
"""

_VECTOR = 16
"""Elements of the widest vectors: what columns come in."""

_MOST_BUFFERS = 32
"""Of a kernel, in IREE's runtime."""

_DONATED = "iree.abi.output"
_RESHAPES = ("tensor.collapse_shape", "tensor.expand_shape")

#: Beginnings of the names of operations that have no effects.
_PURE = ("arith.", "linalg.", "math.", "tensor.", BARRIER)

At: TypeAlias = tuple[str, ...]
"""Which loop runs along each dimension of a tensor that has more than one element: ``n``, ``k`` or ``b``."""


@dataclass(frozen=True)
class FuseWeightUpdate(Pass):
    """Computes the input gradient of a layer and the update of its weight in one pass over the weight.

    Where a gradient has few rows, as a classifier's has at batch 1, both take as long as reading the weight
    does. This is of layers whose gradients have up to ``rows`` rows, in a step that has been lowered to
    linalg; with none (0) the program stays as it is. What becomes of an element of the weight may be any
    arithmetic on the element, its gradient, numbers and state of the weight's shape, which is updated along
    with it: all that optimizers do. ::

        func.func @step(%g: tensor<1x1000xf32>, %x: tensor<1x1280xf32>, %lr: tensor<f32>,
            %w: tensor<1000x1280xf32> {iree.abi.output = 1 : index}) -> (tensor<1x1280xf32>, tensor<1000x1280xf32>) {
          %dx = linalg.matmul ins(%g, %w : ...) outs(%zeros : tensor<1x1280xf32>) -> tensor<1x1280xf32>
          %dw = linalg.matmul ins(%gt, %x : ...) outs(%more : tensor<1000x1280xf32>) -> tensor<1000x1280xf32>
          %s = linalg.generic ... ins(%dw, %lr : ...) {... arith.mulf ...} -> tensor<1000x1280xf32>
          %new = linalg.generic ... ins(%w, %s : ...) {... arith.subf ...} -> tensor<1000x1280xf32>
          return %dx, %new : tensor<1x1280xf32>, tensor<1000x1280xf32>

    becomes a loop with two results, one of which is a sum over the rows ``d1`` of the weight::

          %both:2 = linalg.generic {iterator_types = ["parallel", "reduction"], indexing_maps = [
              (d0, d1) -> (d1), (d0, d1) -> (d1, d0), (d0, d1) -> (d0), (d0, d1) -> (),
              (d0, d1) -> (d0), (d0, d1) -> (d1, d0)]}
              ins(%g0, %w, %x0, %lr : ...) outs(%zeros, %empty : tensor<1280xf32>, tensor<1000x1280xf32>) {
          ^bb0(%g: f32, %w: f32, %x: f32, %lr: f32, %dx: f32, %_: f32):
            %1 = arith.mulf %g, %w : f32
            %2 = arith.addf %dx, %1 : f32
            %3 = arith.mulf %g, %x : f32
            %4 = arith.mulf %3, %lr : f32
            %5 = arith.subf %w, %4 : f32
            linalg.yield %2, %5 : f32, f32
          } -> (tensor<1280xf32>, tensor<1000x1280xf32>)

    Of more rows, each has a result of its own. Nothing may need the gradient of the weight besides its update,
    as clipping does, or the old value of what is updated behind the input gradient.
    """  # noqa: E501

    name: ClassVar[str] = "sparsebp-fuse-weight-update"

    rows: int = 0

    def apply(self, module: ir.Module) -> None:
        if self.rows < 0:
            raise UsageError(f"option 'rows' of pass '{self.name}' takes 0 or more rows, got {self.rows}")
        step = functions(module).get("step")
        if step is None:
            return
        # What one fusion erases, another may have found.
        while (fusion := _first_fusion(step, self.rows)) is not None:
            fusion.run()


class _Unfit(Exception):
    """What is not in the form that the pass knows."""


# -- views --------------------------------------------------------------------------------------


def _wide(value: ir.Value) -> list[int]:
    """The dimensions of a tensor that have more than one element."""
    return [i for i, size in enumerate(shape(value)) if size != 1]


def _sizes(value: ir.Value) -> list[int]:
    """The sizes of those dimensions."""
    return [size for size in shape(value) if size != 1]


def _step_back(value: ir.Value, at: At) -> tuple[ir.Value, At] | None:
    """What ``value`` is a view or a copy of, and the loops along it; None if it is neither."""
    op = defining_op(value)
    if op is None:
        return None
    source = op.operands[0] if len(op.operands) else None
    if op.name == BARRIER or (op.name in _RESHAPES and _sizes(source) == _sizes(value)):
        return source, at
    if op.name == "linalg.transpose":
        order = list(ir.DenseI64ArrayAttr(op.attributes["permutation"]))
        along = {order[i]: loop for i, loop in zip(_wide(value), at, strict=True)}
        return source, tuple(along[i] for i in sorted(along))
    return None


def _origin(value: ir.Value, at: At) -> tuple[ir.Value, At]:
    """What ``value`` is made of by views and copies, and the loops along it."""
    while (back := _step_back(value, at)) is not None:
        value, at = back
    return value, at


# -- loops --------------------------------------------------------------------------------------


def _loops(map_: ir.AffineMap, value: ir.Value) -> list[int]:
    """The loop along each dimension of an operand that has more than one element."""
    expressions = [map_.results[i] for i in _wide(value)]
    if not all(isinstance(e, ir.AffineDimExpr) for e in expressions):
        raise _Unfit
    return [ir.AffineDimExpr(e).position for e in expressions]


def _maps(op: Any) -> list[ir.AffineMap]:
    return [ir.AffineMapAttr(m).value for m in ir.ArrayAttr(op.attributes["indexing_maps"])]


def _inner(op: Any) -> list[Any]:
    """The operations of a linalg operation's body, the yield last."""
    return [inner.operation for inner in op.regions[0].blocks[0].operations]


@dataclass(frozen=True)
class _Contraction:
    """A sum of products of f32 numbers: the operands, and the loops along them and along the result."""

    operands: tuple[ir.Value, ir.Value]
    loops: tuple[list[int], list[int]]
    result: list[int]

    @staticmethod
    def of(op: Any) -> "_Contraction":
        """Raises ``_Unfit`` for an operation that is none."""
        if op.name not in ("linalg.generic", "linalg.matmul") or len(op.operands) != 3:
            raise _Unfit
        left, right, init = op.operands
        if not _multiplies(op) or not _is_zero(init) or str(element(init)) != "f32":
            raise _Unfit
        loops = [_loops(m, value) for m, value in zip(_maps(op), op.operands, strict=True)]
        return _Contraction((left, right), (loops[0], loops[1]), loops[2])

    def reductions(self) -> list[int]:
        """The loops that have more than one iteration and are summed over."""
        return sorted({*self.loops[0], *self.loops[1]}.difference(self.result))


def _multiplies(op: Any) -> bool:
    """Whether the body adds the product of two inputs to the result."""
    left, right, total = op.regions[0].blocks[0].arguments
    inner = _inner(op)
    if [i.name for i in inner] != ["arith.mulf", "arith.addf", "linalg.yield"]:
        return False
    multiply, add, end = inner
    product = multiply.results[0]
    return (
        set(multiply.operands) == {left, right}
        and set(add.operands) == {total, product}
        and list(end.operands) == [add.results[0]]
    )


def _is_zero(value: ir.Value) -> bool:
    fill = defining_op(value)
    if fill is None or fill.name != "linalg.fill":
        return False
    constant = defining_op(fill.operands[0])
    return (
        constant is not None
        and constant.name == "arith.constant"
        and isinstance(constant.attributes["value"], ir.FloatAttr)
        and ir.FloatAttr(constant.attributes["value"]).value == 0.0
    )


# -- products -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Product:
    """An input gradient: ``gradient [b, n]``, or of one row ``[n]``, times the argument ``weight [n, k]``."""

    op: Any
    gradient: ir.Value
    weight: ir.Value
    rows: int
    depth: int
    columns: int

    @staticmethod
    def of(op: Any, most: int) -> "_Product":
        """Raises ``_Unfit`` for anything else, and for what is not worth it."""
        found = _Contraction.of(op)
        reductions = found.reductions()
        if len(reductions) != 1 or not 1 <= len(found.result) <= 2:
            raise _Unfit
        names = {found.result[-1]: "k", reductions[0]: "n"}
        if len(found.result) == 2:
            names[found.result[0]] = "b"
        (left, left_at), (right, right_at) = (
            _origin(value, tuple(names[loop] for loop in loops))
            for value, loops in zip(found.operands, found.loops, strict=True)
        )
        if left_at == ("n", "k"):
            left, left_at, right, right_at = right, right_at, left, left_at
        if left_at not in (("n",), ("b", "n")) or right_at != ("n", "k"):
            raise _Unfit
        rows = prod(_sizes(left)[:-1])
        depth, columns = _sizes(right)
        if rows > most or columns % _VECTOR or depth * columns < LEAST_ELEMENTS:
            raise _Unfit
        if not isinstance(right.owner, ir.Block):
            raise _Unfit
        return _Product(op, left, right, rows, depth, columns)


# -- arithmetic ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Read:
    """An element of a tensor, at the loops along it; of ``row``, if it has rows."""

    value: ir.Value
    at: At
    row: int | None = None

    def subscripts(self) -> At:
        return tuple(loop for loop in self.at if loop != "b")


@dataclass(frozen=True)
class _Sum:
    """A sum of products of elements."""

    terms: tuple[tuple[_Read, _Read], ...]


@dataclass(frozen=True)
class _Scalar:
    """A number."""

    value: ir.Value


@dataclass(frozen=True)
class _Generic:
    """What an elementwise operation computes of elements."""

    op: Any
    inputs: tuple[tuple[ir.Value, At], ...]


_Node: TypeAlias = _Read | _Sum | _Scalar | _Generic


def _by_row(value: ir.Value, at: At) -> list[_Read]:
    """The elements of a tensor in each of its rows; there is one if it has none."""
    if "b" not in at:
        return [_Read(value, at)]
    if at[0] != "b":
        raise _Unfit
    return [_Read(value, at, row) for row in range(_sizes(value)[0])]


@dataclass
class _Arithmetic:
    """How elements of tensors ``[n, k]`` are computed."""

    most_rows: int
    nodes: dict[tuple[ir.Value, At], _Node] = field(default_factory=dict)
    whole: list[Any] = field(default_factory=list)
    """The operations that compute tensors ``[n, k]``."""

    def add(self, value: ir.Value, at: At) -> None:
        """Find out how the element of ``value`` at the loops ``at`` is computed.

        Raises ``_Unfit`` if it is a matter of more than elements.
        """
        if (value, at) in self.nodes:
            return
        if len(at) < 2 or isinstance(value.owner, ir.Block):
            self.nodes[value, at] = _Read(value, at)
            return
        op = value.owner
        self.whole.append(op)
        if (back := _step_back(value, at)) is not None:
            self.add(*back)
            self.nodes[value, at] = self.nodes[back]
            return
        if op.name == "linalg.fill":
            self.nodes[value, at] = _Scalar(op.operands[0])
        elif _is_elementwise(op):
            self.nodes[value, at] = node = self._generic(op, value, at)
            for operand in node.inputs:
                self.add(*operand)
        else:
            self.nodes[value, at] = self._sum(op, at)

    def _generic(self, op: Any, value: ir.Value, at: At) -> _Generic:
        *maps, result = _maps(op)
        names = dict(zip(_loops(result, value), at, strict=True))
        inputs = list(op.operands)[:-1]
        along = (tuple(names[d] for d in _loops(m, v)) for m, v in zip(maps, inputs, strict=True))
        return _Generic(op, tuple(zip(inputs, along, strict=True)))

    def _sum(self, op: Any, at: At) -> _Sum:
        found = _Contraction.of(op)
        reductions = found.reductions()
        if len(reductions) > 1:
            raise _Unfit
        names = {**dict(zip(found.result, at, strict=True)), **dict.fromkeys(reductions, "b")}
        sides = [
            _origin(value, tuple(names[loop] for loop in loops))
            for value, loops in zip(found.operands, found.loops, strict=True)
        ]
        left, right = (_by_row(*side) for side in sides)
        if len(left) != len(right) or len(left) > self.most_rows:
            raise _Unfit
        return _Sum(tuple(zip(left, right, strict=True)))

    def reads(self) -> Iterator[_Read]:
        """The elements that are read."""
        for node in self.nodes.values():
            if isinstance(node, _Read):
                yield node
            elif isinstance(node, _Sum):
                yield from (read for term in node.terms for read in term)

    def numbers(self) -> Iterator[ir.Value]:
        """What is defined outside and used in place of elements."""
        for node in self.nodes.values():
            if isinstance(node, _Scalar):
                yield node.value
            elif isinstance(node, _Generic):
                own = set(_inner(node.op))
                for inner in own:
                    yield from (v for v in inner.operands if _outside(v, own))


def _outside(value: ir.Value, own: set[Any]) -> bool:
    """Whether a value in a body is defined outside of it."""
    return not isinstance(value.owner, ir.Block) and value.owner not in own


def _is_elementwise(op: Any) -> bool:
    """Whether an operation has one result, each element of it computed from elements alone."""
    if op.name != "linalg.generic" or len(op.results) != 1:
        return False
    if any("parallel" not in str(kind) for kind in ir.ArrayAttr(op.attributes["iterator_types"])):
        return False
    block = op.regions[0].blocks[0]
    if list(block.arguments[len(block.arguments) - 1].uses):
        return False
    return all(
        i.name.startswith(("arith.", "math.", "linalg.yield")) and not len(i.regions) for i in _inner(op)
    )


@dataclass
class _Emitter:
    """Builds arithmetic in the body of a loop, from the scalars that are read."""

    arithmetic: _Arithmetic
    read: Mapping[_Read, ir.Value]
    made: dict[tuple[ir.Value, At], ir.Value] = field(default_factory=dict)

    def scalar(self, value: ir.Value, at: At) -> ir.Value:
        """The element of ``value`` at the loops ``at``."""
        if (value, at) not in self.made:
            self.made[value, at] = self._node(self.arithmetic.nodes[value, at])
        return self.made[value, at]

    def _node(self, node: _Node) -> ir.Value:
        if isinstance(node, _Read):
            return self.read[node]
        if isinstance(node, _Scalar):
            return node.value
        if isinstance(node, _Generic):
            return self._generic(node)
        total = None
        for left, right in node.terms:
            product = arith.mulf(self.read[left], self.read[right])
            total = product if total is None else arith.addf(total, product)
        return total

    def _generic(self, node: _Generic) -> ir.Value:
        arguments = node.op.regions[0].blocks[0].arguments
        scalars: dict[ir.Value, ir.Value] = {
            argument: self.scalar(*operand) for argument, operand in zip(arguments, node.inputs, strict=False)
        }
        *computing, end = _inner(node.op)
        for op in computing:
            copy = ir.Operation.create(
                op.name,
                results=[r.type for r in op.results],
                operands=[scalars.get(v, v) for v in op.operands],
                attributes={name: op.attributes[name] for name in op.attributes},
                loc=op.location,
            )
            scalars.update(zip(op.results, copy.results, strict=True))
        yielded: ir.Value = end.operands[0]
        return scalars.get(yielded, yielded)


# -- fusion -------------------------------------------------------------------------------------


def _first_fusion(step: Any, most_rows: int) -> "_Fusion | None":
    """What is to be done for the first input gradient of a step for which it can be."""
    for op in operations(step):
        with suppress(_Unfit):
            return _Fusion(step, _Product.of(op.operation, most_rows), most_rows)
    return None


class _Fusion:
    """An input gradient, and the updates that are to be computed with it."""

    def __init__(self, step: Any, product: _Product, most_rows: int) -> None:
        """Raises ``_Unfit`` if the weight's update is none that can be."""
        self._product = product
        self._order = {op.operation: i for i, op in enumerate(body(step).operations)}
        self._end = list(body(step).operations)[-1].operation
        self._arithmetic = _Arithmetic(most_rows)
        self._arithmetic.add(self._updated(step), ("n", "k"))
        self._gradient = _by_row(product.gradient, ("b", "n") if product.rows > 1 else ("n",))
        self._weight = _Read(product.weight, ("n", "k"))
        self._results = self._returned()
        self._reads = list(dict.fromkeys([*self._gradient, self._weight, *self._arithmetic.reads()]))
        buffers = len({read.value for read in self._reads}) + product.rows + len(self._results)
        if not self._results or buffers > _MOST_BUFFERS:
            raise _Unfit
        self._check_old_values()
        self._moved = self._late([*(r.value for r in self._reads), *self._arithmetic.numbers()])

    def _updated(self, step: Any) -> ir.Value:
        """What the step returns in the storage of the weight."""
        attributes = step.operation.attributes
        number = ir.BlockArgument(self._product.weight).arg_number
        own = ir.DictAttr(ir.ArrayAttr(attributes["arg_attrs"])[number]) if "arg_attrs" in attributes else {}
        if _DONATED not in own:
            raise _Unfit
        return self._end.operands[ir.IntegerAttr(own[_DONATED]).value]

    def _returned(self) -> list[ir.Value]:
        """What the step returns of the arithmetic; nothing else may use any of it."""
        whole, found = set(self._arithmetic.whole), dict[ir.Value, None]()
        for (value, at), node in self._arithmetic.nodes.items():
            if len(at) < 2 or isinstance(node, _Read):
                continue
            for use in value.uses:
                user = use.owner.operation
                if user == self._end and at == ("n", "k"):
                    found[value] = None
                elif _in_block(user, self._end) not in whole:
                    raise _Unfit
        return list(found)

    def _check_old_values(self) -> None:
        """Raise ``_Unfit`` if anything else looks at what is updated behind the input gradient."""
        mine = {self._product.op, *self._arithmetic.whole}
        for read in self._reads:
            if len(read.subscripts()) == 2:
                for user in _users(read.value, self._end):
                    if user not in mine and self._order[user] > self._order[self._product.op]:
                        raise _Unfit

    def _late(self, values: Iterable[ir.Value]) -> list[Any]:
        """The operations behind the input gradient that ``values`` are computed by, in order.

        Raises ``_Unfit`` if they need the gradient, or cannot be moved.
        """
        here, found = self._order[self._product.op], set()
        pending = list(values)
        while pending:
            op = defining_op(pending.pop())
            if op is None or op.operation in found or self._order[op.operation] < here:
                continue
            if self._order[op.operation] == here or not op.operation.name.startswith(_PURE):
                raise _Unfit
            found.add(op.operation)
            pending += _all_operands(op.operation)
        return sorted(found, key=lambda op: self._order[op])

    def run(self) -> None:
        """Replace the input gradient and the updates."""
        product = self._product
        for op in self._moved:
            op.move_before(product.op)
        b = LinalgBuilder(product.op)
        inputs = [_slice(b, read) for read in self._reads]
        zeros = b.full([product.columns], 0.0, b.f32)
        empty = [b.empty([product.depth, product.columns], element(value)) for value in self._results]
        subscripts = [" ".join(read.subscripts()) for read in self._reads]
        results = ["k"] * product.rows + ["n k"] * len(self._results)
        made = b.generic(
            f"{', '.join(subscripts)} -> {', '.join(results)}",
            inputs,
            [*[zeros] * product.rows, *empty],
            self._body,
            reduced=["n"],
        )
        self._replace(b, made[: product.rows], made[product.rows :])

    def _body(self, *scalars: ir.Value) -> list[ir.Value]:
        read = dict(zip(self._reads, scalars, strict=False))
        totals = scalars[len(self._reads) : len(self._reads) + self._product.rows]
        weight = read[self._weight]
        sums = [
            arith.addf(total, arith.mulf(read[gradient], weight))
            for gradient, total in zip(self._gradient, totals, strict=True)
        ]
        emitter = _Emitter(self._arithmetic, read)
        return [*sums, *(emitter.scalar(value, ("n", "k")) for value in self._results)]

    def _replace(self, b: LinalgBuilder, rows: Sequence[ir.Value], updated: Sequence[ir.Value]) -> None:
        old = self._product.op.results[0]
        gradient = b.stack(rows) if len(rows) > 1 else rows[0]
        # What computes from the gradient would be computed along with it, and the update again with that.
        old.replace_all_uses_with(_reshaped(b, b.barrier(gradient), shape(old)))
        for value, new in zip(self._results, updated, strict=True):
            value.replace_all_uses_with(_reshaped(b, new, shape(value)))
        _erase_dead([self._product.op, *self._arithmetic.whole])


def _slice(b: LinalgBuilder, read: _Read) -> ir.Value:
    """The tensor that a read is of, without dimensions of one element, and its row."""
    value, sizes = _reshaped(b, read.value, _sizes(read.value)), _sizes(read.value)
    if read.row is None:
        return value
    row = b.slice(value, [read.row, *[0] * (len(sizes) - 1)], [1, *sizes[1:]])
    return _reshaped(b, row, sizes[1:])


def _reshaped(b: LinalgBuilder, value: ir.Value, sizes: Sequence[int]) -> ir.Value:
    """A tensor in the shape ``sizes``."""
    return value if shape(value) == list(sizes) else b.unflatten(b.flatten(value), list(sizes))


def _in_block(op: Any, beside: Any) -> Any:
    """The operation of the block of ``beside`` that ``op`` is, or is in."""
    while op.parent != beside.parent:
        op = op.parent
    return op


def _users(value: ir.Value, beside: Any) -> Iterator[Any]:
    """The operations that use a value or a view of it."""
    for use in value.uses:
        op = _in_block(use.owner.operation, beside)
        yield op
        if op.name in (*_RESHAPES, "linalg.transpose"):
            yield from _users(op.results[0], beside)


def _all_operands(op: Any) -> list[ir.Value]:
    """The operands of an operation, and those of its body that are defined outside."""
    inner = [i for region in op.regions for block in region.blocks for i in block.operations]
    own = {i.operation for i in inner}
    return [*op.operands, *(v for i in own for v in i.operands if _outside(v, own))]


def _erase_dead(ops: Iterable[Any]) -> None:
    """Erase those of ``ops`` that nothing uses, and what is then of no use."""
    pending = dict.fromkeys(ops)
    while pending:
        op, _ = pending.popitem()
        if not op.name.startswith(_PURE) or any(list(result.uses) for result in op.results):
            continue
        makers = [maker.operation for v in _all_operands(op) if (maker := defining_op(v)) is not None]
        op.erase()
        pending |= dict.fromkeys(makers)
