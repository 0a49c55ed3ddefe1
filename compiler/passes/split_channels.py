# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-split-channels``: the program of one of the cores that share a step by its channels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.analysis.declared import WRITES, mask_of, symbol_of
from pock.compiler.analysis.ranks import Ranks, elements, is_exchanged
from pock.compiler.analysis.shares import SUMMAND, WHOLE, Kind, Share, Ways, part
from pock.compiler.torch_ir import (
    NotConstant,
    TorchBuilder,
    attributes_of,
    body,
    constant,
    functions,
    operations,
    set_function_type,
)
from pock.dialects import sparsebp
from pock.dialects.types import element_of, is_vtensor, shape_of

from .base import Pass, fail_at
from .dividing import PartBuilder, Parts
from .simplify import erase_unused
from .strips import TORCH_CONVOLUTION

PART = "sparsebp.part"
"""The attribute of a declaration of which a rank has a part: the axis, the blocks of that, the ranks."""


@dataclass(frozen=True)
class SplitChannels(Pass):
    """Leave of each layer what ``rank`` of ``count`` computes: a part of its channels.

    A layer of which each rank computes a part of the output channels, with its part of the weight, is
    followed by one that adds up over these. Its sum is the sum of all ranks' (``sparsebp.all_reduce``): the
    only thing that they tell each other. Weights, their gradients and their updates stay where they are. ::

        %h = torch.aten.mm %x, %up : !torch.vtensor<[4,8],f32>, !torch.vtensor<[8,32],f32> -> ...
        %r = torch.aten.relu %h : !torch.vtensor<[4,32],f32> -> !torch.vtensor<[4,32],f32>
        %y = torch.aten.mm %r, %down : !torch.vtensor<[4,32],f32>, !torch.vtensor<[32,8],f32> -> ...

    becomes with ``count=2``::

        %h = torch.aten.mm %x, %up : !torch.vtensor<[4,8],f32>, !torch.vtensor<[8,16],f32> -> ...
        %r = torch.aten.relu %h : !torch.vtensor<[4,16],f32> -> !torch.vtensor<[4,16],f32>
        %0 = torch.aten.mm %r, %down : !torch.vtensor<[4,16],f32>, !torch.vtensor<[16,8],f32> -> ...
        %y = "sparsebp.all_reduce"(%0) {rank = 0, ranks = 2} : (!torch.vtensor<[4,8],f32>) -> ...

    Of a concatenation of one part from each rank (``sparsebp-share-rows``) a rank computes its own part.

    Arguments and results of functions are whole, and the same for all ranks. Declarations whose every use
    is of one part become that part; ``sparsebp.part`` says which. With ``count=1`` nothing changes.
    """

    name: ClassVar[str] = "sparsebp-split-channels"

    count: int = 1
    rank: int = 0

    def apply(self, module: ir.Module) -> None:
        if not 0 <= self.rank < self.count:
            raise fail_at(module.operation, f"rank = {self.rank}: expected 0 to {self.count - 1}")
        if self.count > 1:
            _split(module, self.count, [self.rank])


def of_all_ranks(module: ir.Module, count: int) -> list[ir.Module]:
    """What ``SplitChannels`` makes of a module for each of ``count`` ranks; of rank 0 in place.

    Each has a module of its own. What they are to compute is found out once.
    """
    return _split(module, count, range(count)) if count > 1 else [module]


def _split(module: ir.Module, count: int, ranks: Iterable[int]) -> list[ir.Module]:
    """Make of a module that of the first of ``ranks``, and new ones of the others."""
    part_biases(module)
    split = [_Split(f, count) for f in functions(module).values()]
    declared = sparsebp.declarations(module)
    parts = _parts_of(split, declared)
    for each in split:
        each.wish(parts)
    made = [[each.build(parts, rank) for each in split] for rank in ranks]
    for each in split:
        each.function.operation.erase()
    for name, share in parts.items():
        _divide(declared[name], share, count)
    others = made[1:]
    for function in chain.from_iterable(others):
        function.operation.detach_from_parent()
    return [module, *(_with_functions(module, built) for built in others)]


def _with_functions(module: ir.Module, built: Sequence[Any]) -> ir.Module:
    """A module like ``module`` with other functions in place of its own."""
    with module.context, module.operation.location:
        made = ir.Module.create()
    for name, attribute in attributes_of(module).items():
        made.operation.attributes[name] = attribute
    others = iter(built)
    for op in module.body.operations:
        made.body.append(next(others) if op.operation.name == "func.func" else op.operation.clone())
    return made


def part_biases(module: ir.Module) -> None:
    """Add the biases of convolutions behind them: they must not be in each rank's summand."""
    for function in functions(module).values():
        for op in operations(function, TORCH_CONVOLUTION):
            _part_bias(op)


def _part_bias(op: Any) -> None:
    x, weight, bias, *rest = op.operation.operands
    try:
        if str(bias.type) == "!torch.none" or constant(rest[-1]) != 1:
            return
    except NotConstant:
        return
    old = op.operation.results[0]
    builder = TorchBuilder(op)
    plain = builder.create(TORCH_CONVOLUTION, [x, weight, builder.none(), *rest], [old.type])
    rank = len(shape_of(old.type))
    wide = builder.view(bias, [1, *shape_of(bias.type), *[1] * (rank - 2)])
    old.replace_all_uses_with(builder.add(plain, wide))
    op.operation.erase()


# -- declarations -------------------------------------------------------------------------------


def _parts_of(split: Sequence["_Split"], declared: Mapping[str, Any]) -> dict[str, Share]:
    """The declarations of which each rank is to have a part, and which."""
    wanted: dict[str, set[Share]] = {}
    for each in split:
        for name, share in each.wanted():
            wanted.setdefault(name, set()).add(share)
    return {
        name: next(iter(shares))
        for name, shares in wanted.items()
        if len(shares) == 1
        and next(iter(shares)).kind is Kind.PART
        and declared[name].operation.name == "sparsebp.parameter"
        and not mask_of(declared[name]).is_sliced
    }


def _divide(declaration: Any, share: Share, count: int) -> None:
    attributes = declaration.operation.attributes
    type_ = ir.RankedTensorType(ir.TypeAttr(attributes["type"]).value)
    shape = list(type_.shape)
    shape[share.axis] //= count
    attributes["type"] = ir.TypeAttr.get(ir.RankedTensorType.get(shape, type_.element_type))
    attributes[PART] = ir.DenseI64ArrayAttr.get([share.axis, share.blocks, count])


def part_of(declaration: Any) -> tuple[int, int, int] | None:
    """Axis, blocks and count of the part that a declaration is, None if it is whole."""
    attributes = declaration.operation.attributes
    if PART not in attributes:
        return None
    axis, blocks, count = ir.DenseI64ArrayAttr(attributes[PART])
    return axis, blocks, count


# -- functions ----------------------------------------------------------------------------------


class _Split:
    """What ranks do of one function."""

    def __init__(self, function: Any, count: int) -> None:
        self.function, self.count = function, count
        self.rank = 0
        """That of which a function is being built."""
        self.ranks = Ranks(function, count)
        self.parts = Parts(count)
        self.wishes: dict[ir.Value, dict[Share, None]] = {}
        """For each value the shares of it that are needed."""
        self.made: dict[tuple[ir.Value, Share], ir.Value] = {}

    def wanted(self) -> list[tuple[str, Share]]:
        """The declarations that are read and written, in which shares."""
        self.wish(None)
        found = []
        for op in operations(self.function):
            operation = op.operation
            if operation.name == "sparsebp.read":
                found += [(symbol_of(op), share) for share in self.wishes.get(operation.results[0], ())]
            elif operation.name in WRITES:
                found.append((symbol_of(op), self._native(operation.operands[0])))
        return found

    def _native(self, value: ir.Value) -> Share:
        """The share of a value that is to be had without a sum over the ranks."""
        share = self.ranks.chosen.get(value, WHOLE)
        return WHOLE if share == SUMMAND else share

    # -- what is needed -------------------------------------------------------------------------

    def wish(self, parts: Mapping[str, Share] | None) -> None:
        """Note what each value is needed as; ``parts`` are the declarations that are no longer whole."""
        self.wishes = {}
        *rest, terminator = operations(self.function)
        for value in terminator.operation.operands:
            self._ask(value, WHOLE)
        for op in reversed(rest):
            operation = op.operation
            if operation.name in WRITES:
                value = operation.operands[0]
                share = self._native(value) if parts is None else parts.get(symbol_of(op), WHOLE)
                self._ask(value, share)
            for result in operation.results:
                for share in list(self.wishes.get(result, ())):
                    for value, needed in zip(operation.operands, self._needs(result, share), strict=True):
                        if needed is not None:
                            self._ask(value, needed)

    def _ask(self, value: ir.Value, share: Share) -> None:
        for element in elements(value):
            if is_vtensor(element.type) or element is not value or element in self.ranks.chosen:
                self.wishes.setdefault(element, {})[share] = None
        if elements(value) != [value]:
            self.wishes.setdefault(value, {})[share] = None

    def _needs(self, result: ir.Value, share: Share) -> Ways:
        """What the operation of ``result`` needs, for the share that ``share`` is made of."""
        op = result.owner.operation
        if elements(result) != [result]:
            return [None] * len(op.operands)
        found = self.ranks.ways(result, self._source(result, share))
        return found or [None] * len(op.operands)

    def _source(self, value: ir.Value, share: Share) -> Share:
        """The share of ``value`` that is computed, to make ``share`` of it."""
        chosen = self.ranks.chosen.get(value)
        if chosen is None:
            return share if self.ranks.ways(value, share) is not None else WHOLE
        return chosen if share == chosen or is_exchanged(value) else WHOLE

    # -- building -------------------------------------------------------------------------------

    def build(self, parts: Mapping[str, Share], rank: int) -> Any:
        """The function of a rank, before the whole one and of the same name."""
        self.rank = rank
        old = body(self.function)
        function, block = self._emptied()
        with ir.InsertionPoint(block):
            end = ir.Operation.create("func.return", operands=[], loc=ir.Location.unknown())
        builder = PartBuilder(end)
        self.made = {(a, WHOLE): new for a, new in zip(old.arguments, block.arguments, strict=True)}
        *rest, terminator = list(old.operations)
        for op in rest:
            self._make(builder, op.operation, parts)
        values = [self._have(builder, v, WHOLE) for v in terminator.operation.operands]
        builder.location = terminator.operation.location
        TorchBuilder(end, terminator.operation.location).create("func.return", values, [])
        end.erase()
        if self.ranks.shares_rows:
            erase_unused(function)  # What the others compute.
        set_function_type(function)
        return function

    def _emptied(self) -> tuple[Any, ir.Block]:
        """A function of the same name and arguments, with nothing in it."""
        operation = self.function.operation
        with ir.InsertionPoint(self.function):
            made = ir.Operation.create(
                operation.name, regions=1, attributes=attributes_of(self.function), loc=operation.location
            )
        arguments = list(body(self.function).arguments)
        types, locations = [a.type for a in arguments], [a.location for a in arguments]
        return made, ir.Block.create_at_start(made.regions[0], types, locations)

    def _make(self, builder: PartBuilder, op: Any, parts: Mapping[str, Share]) -> None:
        if op.name in WRITES:
            value = self._have(builder, op.operands[0], parts.get(symbol_of(op), WHOLE))
            self.parts.again(builder, op, [value], None)
            return
        if self.ranks.is_by_rank(op):
            self._make_own(builder, op)
            return
        sources: dict[Share, None] = {}
        for result in op.results:
            if elements(result) == [result]:
                sources |= {self._source(result, s): None for s in self.wishes.get(result, ())}
        if op.name == "sparsebp.read" and sources:
            sources = {parts.get(symbol_of(op), WHOLE): None}
        for share in sources:
            needed = next(w for r in op.results if (w := self.ranks.ways(r, share)) is not None)
            operands = (
                [
                    None if s is None else self._have(builder, v, s)
                    for v, s in zip(op.operands, needed, strict=True)
                ]
                if needed
                else []
            )
            results = self.parts.again(builder, op, operands, share)
            self.made |= {(r, share): v for r, v in zip(op.results, results, strict=True)}

    def _make_own(self, builder: PartBuilder, op: Any) -> None:
        """The rank's operand of a concatenation of one from each, with zeros for the others'."""
        builder.location = op.location
        (result,), own = op.results, elements(op.operands[0])[self.rank]
        if result in self.wishes:
            axis = part(constant(op.operands[1]))
            self.made[result, SUMMAND] = self._padded(builder, self._have(builder, own, WHOLE), axis)

    def _have(self, builder: PartBuilder, value: ir.Value, share: Share) -> ir.Value:
        """``share`` of a value, made of what there is of it if it is not there."""
        if (value, share) in self.made:
            return self.made[value, share]
        if elements(value) != [value]:
            made = self._listed(builder, value, share)
        elif (value, WHOLE) in self.made:
            made = self._slice(builder, self.made[value, WHOLE], share)
        elif share == WHOLE:
            chosen = self.ranks.chosen[value]
            own = self.made[value, chosen]
            made = self._summed(builder, own if chosen == SUMMAND else self._padded(builder, own, chosen))
        else:
            made = self._slice(builder, self._have(builder, value, WHOLE), share)
        self.made[value, share] = made
        return made

    def _listed(self, builder: PartBuilder, value: ir.Value, share: Share) -> ir.Value:
        made = [self._have(builder, v, share) for v in elements(value)]
        listed: ir.Value = builder.create("torch.prim.ListConstruct", made, [value.type])
        return listed

    def _summed(self, builder: PartBuilder, value: ir.Value) -> ir.Value:
        attributes = {"rank": builder.i64(self.rank), "ranks": builder.i64(self.count)}
        summed: ir.Value = builder.create("sparsebp.all_reduce", [value], [value.type], attributes)
        return summed

    def _slice(self, builder: PartBuilder, value: ir.Value, share: Share) -> ir.Value:
        """The rank's part of a value."""
        shape, axis = shape_of(value.type), share.axis
        own = shape[axis] // (share.blocks * self.count)
        blocked = [*shape[:axis], share.blocks, shape[axis] // share.blocks, *shape[axis + 1 :]]
        at = axis + 1 if share.blocks > 1 else axis
        source = builder.view(value, blocked) if share.blocks > 1 else value
        sizes = list(shape_of(source.type))
        sizes[at] = own
        taken = builder.aten(
            "slice.Tensor", source, at, self.rank * own, (self.rank + 1) * own, 1,
            shape=sizes, element=element_of(value.type),
        )  # fmt: skip
        result = [*shape[:axis], share.blocks * own, *shape[axis + 1 :]]
        return builder.view(taken, result) if share.blocks > 1 else taken

    def _padded(self, builder: PartBuilder, value: ir.Value, share: Share) -> ir.Value:
        """The whole of a value with zeros for the others' parts."""
        shape, axis = shape_of(value.type), share.axis
        own = shape[axis] // share.blocks
        blocked = [*shape[:axis], share.blocks, own, *shape[axis + 1 :]]
        at = axis + 1 if share.blocks > 1 else axis
        source = builder.view(value, blocked) if share.blocks > 1 else value
        sizes = list(shape_of(source.type))
        sizes[at] = own * self.count
        pads = [0, 0] * (len(sizes) - 1 - at) + [self.rank * own, (self.count - 1 - self.rank) * own]
        whole = builder.aten(
            "constant_pad_nd", source, pads, 0.0, shape=sizes, element=element_of(value.type)
        )
        result = [*shape[:axis], shape[axis] * self.count, *shape[axis + 1 :]]
        return builder.view(whole, result) if share.blocks > 1 else whole
