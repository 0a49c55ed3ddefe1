# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-convert-layout``: channels last, through the whole training graph."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.analysis.elementwise import ELEMENTWISE, FILLS, REDUCTIONS
from pock.compiler.torch_ir import (
    PERMUTATIONS,
    NotConstant,
    TorchBuilder,
    attributes_of,
    constant,
    defining_op,
    functions,
    operations,
    paddings,
    permutation,
    widen,
)
from pock.dialects.sparsebp.layout import CHANNELS_LAST, OVER_SPACE, is_channels_last, to_first, to_last
from pock.dialects.types import NotAStaticTensor, element_of, is_vtensor, shape_of, vtensor

from .base import Pass
from .simplify import Simplify


@dataclass(frozen=True)
class ConvertLayout(Pass):
    """Compute convolutions, pools and what is between them on tensors that have their channels last.

    There a pointwise convolution is a matrix product, and in every loop over channels the elements are
    adjacent. Convolutions and pools are exchanged for ones with ``channels_last``; arithmetic, reductions,
    slices and concatenations of their results follow, forward and backward, so that what one leaves for
    another is not transposed in between. What must have PyTorch's layout (an argument, a result, the view
    of a whole image as a vector) is permuted there. Weights keep their layout. ::

        %y = torch.aten.convolution %x, %w, %b, ... : ..., -> !torch.vtensor<[8,32,64,64],f32>
        %z = torch.aten.relu %y : !torch.vtensor<[8,32,64,64],f32> -> !torch.vtensor<[8,32,64,64],f32>
        %p = torch.aten.mean.dim %z, [2, 3], ... : ... -> !torch.vtensor<[8,32],f32>

    becomes::

        %0 = torch.aten.permute %x, [0, 2, 3, 1]
        %1 = "sparsebp.convolution"(%0, %w) {channels_last, ...} : ... -> !torch.vtensor<[8,64,64,32],f32>
        %y = torch.aten.add.Tensor %1, %b : ... -> !torch.vtensor<[8,64,64,32],f32>
        %z = torch.aten.relu %y : !torch.vtensor<[8,64,64,32],f32> -> !torch.vtensor<[8,64,64,32],f32>
        %p = torch.aten.mean.dim %z, [1, 2], ... : ... -> !torch.vtensor<[8,32],f32>
    """

    name: ClassVar[str] = "sparsebp-convert-layout"

    def apply(self, module: ir.Module) -> None:
        for function in functions(module).values():
            _Function(function).convert()
        Simplify().apply(module)


class _Function:
    """The conversion of one function, operation by operation from the first.

    ``last`` are the values that are there with their channels last; what they stand for goes when nothing
    uses it any more. ``first`` are those of them that are there in PyTorch's layout too. ``cheap`` are
    results in PyTorch's layout that can be had with channels last without permuting a whole image.
    ``assigned`` is arithmetic only for the new values of parameters and optimizer state.
    """

    def __init__(self, function: Any) -> None:
        self.function = function
        self.last: dict[ir.Value, ir.Value] = {}
        self.first: dict[ir.Value, ir.Value] = {}
        self.cheap: set[ir.Value] = set()
        self.assigned = _assigned(function)

    def convert(self) -> None:
        for op in operations(self.function):
            name = op.operation.name
            if name in _LISTS:
                continue  # what takes the list says which layout its elements have
            rule = _RULES.get(name)
            if rule is not None and rule(self, op, TorchBuilder(op)):
                continue
            self._permute_back(op)
            if _is_pullable(self, op):
                self.cheap.add(op.operation.results[0])

    def _permute_back(self, op: Any) -> None:
        """Give an operation that is not converted, and lists that it takes, operands in PyTorch's layout."""
        for i, value in enumerate(op.operation.operands):
            source = defining_op(value)
            if source is not None and source.operation.name in _LISTS:
                self._permute_back(source)
            if value in self.last:
                op.operation.operands[i] = self.as_first(value)

    def as_first(self, value: ir.Value) -> ir.Value:
        """``value`` in PyTorch's layout."""
        if value in self.last and value not in self.first:
            last = self.last[value]
            self.first[value] = _to_first(last, _behind(last, self.function))
        return self.first.get(value, value)

    def of(self, value: ir.Value) -> ir.Value:
        """``value [N, C, *spatial]`` with its channels last."""
        if value not in self.last:
            self.last[value] = self._pulled(value) or _to_last(value, _behind(value, self.function))
            self.first[value] = value
        return self.last[value]

    def is_cheap(self, value: ir.Value) -> bool:
        """Whether ``value`` with its channels last costs nothing: it is there, or there are no positions."""
        return value in self.last or value in self.cheap or _is_order_kept(shape_of(value.type))

    def _pulled(self, value: ir.Value) -> ir.Value | None:
        """A cheap result, computed with channels last at once."""
        op = defining_op(value)
        rule = _PULLED.get(op.operation.name) if op is not None else None
        # Its operands may have been permuted since it was looked at.
        if rule is None or not (value in self.cheap or _is_pullable(self, op)):
            return None
        return self.last[value] if rule(self, op, TorchBuilder(op), force=True) else None


def _assigned(function: Any) -> set[ir.Value]:
    """Results of arithmetic that state is assigned and that nothing else needs.

    It stays in the layout of the state, so that each step of it can be in place.
    """
    found: set[ir.Value] = set()
    for op in reversed(operations(function)):
        if op.operation.name not in ELEMENTWISE:
            continue
        users = [use.owner.operation for use in op.operation.results[0].uses]
        if users and all(
            user.name == "sparsebp.assign" or any(result in found for result in user.results)
            for user in users
        ):
            found.add(op.operation.results[0])
    return found


# -- values -------------------------------------------------------------------------------------


def _behind(value: ir.Value, function: Any) -> TorchBuilder:
    """Builds right behind the definition of ``value``, so that all its users may use what is built."""
    op = defining_op(value)
    if op is None:
        return TorchBuilder(operations(function)[0], _first_user(value, function).operation.location)
    b = TorchBuilder(op)
    b.ip = ir.InsertionPoint.after(op)
    return b


def _first_user(value: ir.Value, function: Any) -> Any:
    """The first operation that an argument goes into."""
    return next(op for op in operations(function) if value in op.operation.operands)


def _order(rank: int) -> list[int]:
    """Dimension ``i`` of a tensor with channels last is dimension ``order[i]`` of PyTorch's."""
    return list(to_last(range(rank)))


def _is_order_kept(shape: Sequence[int]) -> bool:
    """Whether elements come in the same order in both layouts: there is one channel, or one position."""
    return len(shape) > 2 and (shape[1] == 1 or all(n == 1 for n in shape[2:]))


def _to_last(value: ir.Value, b: TorchBuilder) -> ir.Value:
    shape = shape_of(value.type)
    if _is_order_kept(shape):
        return b.view(value, to_last(shape))
    # A permutation of a permuted value may undo it.
    source, order = permutation(value)
    return _permuted(source, [order[i] for i in _order(len(shape))], b)


def _permuted(value: ir.Value, order: Sequence[int], b: TorchBuilder) -> ir.Value:
    return value if list(order) == list(range(len(order))) else b.permute(value, order)


def _to_first(value: ir.Value, b: TorchBuilder) -> ir.Value:
    shape = to_first(shape_of(value.type))
    if _is_order_kept(shape):
        return b.view(value, shape)
    return b.permute(value, to_first(range(len(shape))))


def _as_last(type_: ir.Type, b: TorchBuilder) -> ir.Type:
    return vtensor(to_last(shape_of(type_)), element_of(type_), b.context)


def _dimension(value: ir.Value, rank: int) -> int:
    """Where the dimension that a constant names is when channels are last."""
    return _order(rank).index(constant(value) % rank)


def _checked(rule: Callable[..., bool]) -> Callable[..., bool]:
    """``rule``, which is false of operations whose shapes or arguments are not known before run time."""

    def checked(*arguments: Any, **options: Any) -> bool:
        try:
            return rule(*arguments, **options)
        except (NotConstant, NotAStaticTensor):
            return False

    return checked


@_checked
def _is_pullable(f: _Function, op: Any) -> bool:
    """Whether the result of ``op``, in PyTorch's layout, is had with channels last from what costs nothing.

    That is what spreads a value over positions, is the same everywhere, computes with that, takes a part of
    it or regroups its positions, and what permutes a tensor that has its channels last.
    """
    operation = op.operation
    name, results = operation.name, operation.results
    if name not in (*_PULLED, *PERMUTATIONS) or len(results) != 1:
        return False
    shape = shape_of(results[0].type)
    if len(shape) < 3:
        return False
    if name in FILLS:
        return True
    if name in PERMUTATIONS:
        return permutation(results[0])[1] == list(to_first(range(len(shape))))
    if name in _VIEWS and not _regroups_positions(op):
        return False
    wide = [v for _, v in _tensors(op) if name in _VIEWS or len(shape_of(v.type)) == len(shape)]
    return bool(wide) and all(f.is_cheap(v) for v in wide)


# -- rules: they convert an operation, or leave it and return False ------------------------------


def _spatial(f: _Function, op: Any, b: TorchBuilder) -> bool:
    """An operation of the dialect: which of its operands and results are over space says ``OVER_SPACE``."""
    operation = op.operation
    if is_channels_last(op):
        return False
    operands, result = OVER_SPACE[operation.name]
    values = [f.of(v) if i in operands else v for i, v in enumerate(operation.operands)]
    kept = attributes_of(op)
    old = operation.results[0]
    type_ = _as_last(old.type, b) if result else old.type
    new = b.create(operation.name, values, [type_], {**kept, CHANNELS_LAST: ir.UnitAttr.get(b.context)})
    if result:
        f.last[old] = new
    else:
        old.replace_all_uses_with(new)
    return True


def _convolution(f: _Function, op: Any, b: TorchBuilder) -> bool:
    x, weight, bias, stride, padding, dilation, transposed, _, groups = op.operation.operands
    rank = len(shape_of(weight.type)) - 2
    if constant(transposed) or len(shape_of(x.type)) != rank + 2:
        return False
    names = {"stride": stride, "padding": padding, "dilation": dilation}
    window = b.int_arrays(**{name: widen(constant(value), rank) for name, value in names.items()})
    attributes = {
        **window,
        "groups": b.i64(constant(groups)),
        CHANNELS_LAST: ir.UnitAttr.get(b.context),
    }
    old = op.operation.results[0]
    y = b.create("sparsebp.convolution", [f.of(x), weight], [_as_last(old.type, b)], attributes)
    f.last[old] = b.add(y, bias) if is_vtensor(bias.type) else y
    return True


def _avg_pool(f: _Function, op: Any, b: TorchBuilder) -> bool:
    x, kernel, stride, padding, _, include_pad, *divisor = op.operation.operands
    rank = int(op.operation.name.removeprefix("torch.aten.avg_pool")[0])
    if len(shape_of(x.type)) != rank + 2:
        return False
    size = widen(constant(kernel), rank)
    window = b.int_arrays(
        kernel=size, stride=widen(constant(stride), rank) or size, padding=widen(constant(padding), rank)
    )
    override = (constant(divisor[0]) if divisor else None) or 0
    attributes = {
        **window,
        "count_include_pad": ir.BoolAttr.get(constant(include_pad), b.context),
        "divisor_override": b.i64(override),
        CHANNELS_LAST: ir.UnitAttr.get(b.context),
    }
    old = op.operation.results[0]
    f.last[old] = b.create("sparsebp.avg_pool", [f.of(x)], [_as_last(old.type, b)], attributes)
    return True


def _tensors(op: Any) -> list[tuple[int, ir.Value]]:
    return [(i, v) for i, v in enumerate(op.operation.operands) if is_vtensor(v.type)]


def _elementwise(f: _Function, op: Any, b: TorchBuilder, force: bool = False) -> bool:
    """Follows the operands that have channels last; the others are permuted."""
    old = op.operation.results[0]
    rank = len(shape_of(old.type))
    tensors = _tensors(op)
    follows = any(v in f.last and len(shape_of(v.type)) == rank for _, v in tensors)
    if not force and (old in f.assigned or not follows):
        return False
    operands = list(op.operation.operands)
    for i, value in tensors:
        shape = shape_of(value.type)
        if 0 < len(shape) < rank:
            wide = b.view(f.as_first(value), (*[1] * (rank - len(shape)), *shape))
            operands[i] = _to_last(wide, b)
        elif shape:
            operands[i] = f.of(value)
    f.last[old] = _again(op, b, operands, _as_last(old.type, b))
    return True


def _fill(f: _Function, op: Any, b: TorchBuilder, force: bool = False) -> bool:
    """A constant of the shape of a tensor, whose elements are of no interest."""
    x, *rest = op.operation.operands
    if not force and x not in f.last:
        return False
    old = op.operation.results[0]
    shaped = f.last[x] if x in f.last else b.view(x, to_last(shape_of(x.type)))
    f.last[old] = _again(op, b, [shaped, *rest], _as_last(old.type, b))
    return True


def _again(op: Any, b: TorchBuilder, operands: Sequence[ir.Value], type_: ir.Type) -> ir.Value:
    """The operation on other operands, with a result of another shape."""
    value: ir.Value = b.create(op.operation.name, operands, [type_], attributes_of(op))
    return value


def _expand(f: _Function, op: Any, b: TorchBuilder, force: bool = False) -> bool:
    x, _, implicit = op.operation.operands
    old = op.operation.results[0]
    rank = len(shape_of(old.type))
    if len(shape_of(x.type)) != rank or not (force or x in f.last):
        return False
    wanted = b.int_list(to_last(shape_of(old.type)))
    f.last[old] = b.create(op.operation.name, [f.of(x), wanted, implicit], [_as_last(old.type, b)])
    return True


def _reduction(f: _Function, op: Any, b: TorchBuilder) -> bool:
    """Dimensions that stay come out in PyTorch's order, unless all are kept."""
    x, dims, *rest = op.operation.operands
    if x not in f.last:
        return False
    old, rank = op.operation.results[0], len(shape_of(x.type))
    listed = constant(dims) or list(range(rank))
    reduced = sorted(_order(rank).index(d % rank) for d in listed)
    operands = [f.last[x], b.int_list(reduced), *rest]
    shape = shape_of(old.type)
    if len(shape) == rank:
        f.last[old] = _again(op, b, operands, _as_last(old.type, b))
        return True
    left = [d for i, d in enumerate(_order(rank)) if i not in reduced]
    wanted = [left.index(d) for d in sorted(left)]
    found = vtensor([shape_of(x.type)[d] for d in left], element_of(old.type), b.context)
    value = _again(op, b, operands, found)
    old.replace_all_uses_with(_permuted(value, wanted, b))
    return True


def _total(f: _Function, op: Any, _: TorchBuilder) -> bool:
    """A reduction over all elements, whose order is all the same."""
    x = op.operation.operands[0]
    if x not in f.last:
        return False
    op.operation.operands[0] = f.last[x]
    return True


def _cat(f: _Function, op: Any, b: TorchBuilder) -> bool:
    tensors, dim = op.operation.operands
    construct = defining_op(tensors)
    if construct is None or construct.operation.name != "torch.prim.ListConstruct":
        return False
    parts = list(construct.operation.operands)
    old = op.operation.results[0]
    rank = len(shape_of(old.type))
    if not any(part in f.last for part in parts) or any(len(shape_of(p.type)) != rank for p in parts):
        return False
    turned = [f.of(part) for part in parts]
    list_type = construct.operation.results[0].type
    if "vtensor<[" in str(list_type):
        list_type = b.type(f"!torch.list<{str(turned[0].type).removeprefix('!torch.')}>")
    listed = b.create("torch.prim.ListConstruct", turned, [list_type])
    f.last[old] = b.create(op.operation.name, [listed, b.int(_dimension(dim, rank))], [_as_last(old.type, b)])
    return True


def _slice(f: _Function, op: Any, b: TorchBuilder, force: bool = False) -> bool:
    x, dim, *rest = op.operation.operands
    if not force and x not in f.last:
        return False
    old, rank = op.operation.results[0], len(shape_of(x.type))
    operands = [f.of(x), b.int(_dimension(dim, rank)), *rest]
    f.last[old] = _again(op, b, operands, _as_last(old.type, b))
    return True


def _slice_scatter(f: _Function, op: Any, b: TorchBuilder, force: bool = False) -> bool:
    whole, part, dim, *rest = op.operation.operands
    if not force and not (whole in f.last or part in f.last):
        return False
    old = op.operation.results[0]
    where = b.int(_dimension(dim, len(shape_of(old.type))))
    f.last[old] = _again(op, b, [f.of(whole), f.of(part), where, *rest], _as_last(old.type, b))
    return True


def _unpack(f: _Function, op: Any, b: TorchBuilder) -> bool:
    """The parts that a tensor is split into, which become slices."""
    split = defining_op(op.operation.operands[0])
    if split is None or split.operation.name not in _SPLITS or split.operation.operands[0] not in f.last:
        return False
    x, _, dim = split.operation.operands
    where, begin = _dimension(dim, len(shape_of(x.type))), 0
    for old in op.operation.results:
        type_ = _as_last(old.type, b)
        end = begin + shape_of(type_)[where]
        operands = [f.last[x], *(b.int(n) for n in (where, begin, end, 1))]
        f.last[old] = b.create("torch.aten.slice.Tensor", operands, [type_])
        begin = end
    return True


def _select_channels(f: _Function, op: Any, b: TorchBuilder, force: bool = False) -> bool:
    x = op.operation.operands[0]
    if not force and x not in f.last:
        return False
    old, given = op.operation.results[0], op.operation.attributes
    axis = _order(len(shape_of(x.type))).index(ir.IntegerAttr(given["axis"]).value)
    attributes = {
        "axis": b.i64(axis),
        "mask": given["mask"],
    }
    f.last[old] = b.create(op.operation.name, [f.of(x)], [_as_last(old.type, b)], attributes)
    return True


def _pad(f: _Function, op: Any, b: TorchBuilder, force: bool = False) -> bool:
    x, _, fill = op.operation.operands
    if not force and x not in f.last:
        return False
    old, rank = op.operation.results[0], len(shape_of(x.type))
    by_dimension = paddings(op)
    turned = [n for i in reversed(_order(rank)) for n in by_dimension[i]]
    f.last[old] = _again(op, b, [f.of(x), b.int_list(turned), fill], _as_last(old.type, b))
    return True


def _regroups_positions(op: Any) -> bool:
    """Whether a view leaves batch and channels alone."""
    before, after = (shape_of(v.type) for v in (op.operation.operands[0], op.operation.results[0]))
    return min(len(before), len(after)) > 2 and before[:2] == after[:2]


def _view(f: _Function, op: Any, b: TorchBuilder, force: bool = False) -> bool:
    """A view of one position, or one channel, is one of the same elements in the same order."""
    x, old = op.operation.operands[0], op.operation.results[0]
    if not force and x not in f.last:
        return False
    if _regroups_positions(op):
        f.last[old] = b.view(f.of(x), to_last(shape_of(old.type)))
        return True
    if not _is_order_kept(shape_of(x.type)):
        return False
    old.replace_all_uses_with(b.view(f.of(x), shape_of(old.type)))
    return True


def _permute(f: _Function, op: Any, b: TorchBuilder) -> bool:
    old = op.operation.results[0]
    x, order = permutation(old)
    if x not in f.last:
        return False
    old.replace_all_uses_with(_permuted(f.last[x], [_order(len(order)).index(d) for d in order], b))
    return True


_VIEWS = (
    "torch.aten._unsafe_view", "torch.aten.flatten.using_ints", "torch.aten.reshape", "torch.aten.squeeze",
    "torch.aten.squeeze.dim", "torch.aten.unflatten.int", "torch.aten.unsqueeze", "torch.aten.view",
    "torch.prims.squeeze",
)  # fmt: skip
_SPLITS = ("torch.aten.split.Tensor", "torch.aten.split_with_sizes")
_LISTS = ("torch.prim.ListConstruct", *_SPLITS)

_PULLED: dict[str, Callable[..., bool]] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(FILLS, _fill),
    **dict.fromkeys(_VIEWS, _view),
    "sparsebp.select_channels": _select_channels,
    "torch.aten.constant_pad_nd": _pad,
    "torch.aten.expand": _expand,
    "torch.aten.slice.Tensor": _slice,
    "torch.aten.slice_scatter": _slice_scatter,
}

_RULES: dict[str, Callable[..., bool]] = {
    name: _checked(rule)
    for name, rule in {
        **dict.fromkeys(OVER_SPACE, _spatial),
        **_PULLED,
        **dict.fromkeys(REDUCTIONS, _reduction),
        **dict.fromkeys(PERMUTATIONS, _permute),
        "sparsebp.all_reduce": _elementwise,
        "torch.aten.avg_pool1d": _avg_pool,
        "torch.aten.avg_pool2d": _avg_pool,
        "torch.aten.avg_pool3d": _avg_pool,
        "torch.aten.cat": _cat,
        "torch.aten.convolution": _convolution,
        "torch.aten.mean": _total,
        "torch.aten.sum": _total,
        "torch.prim.ListUnpack": _unpack,
    }.items()
}
