# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-split-batch``: a step becomes gradients of a part of the batch, and an update from all."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.analysis.declared import WRITES, symbol_of
from pock.compiler.analysis.shares import SUMMAND, WHOLE, Kind, Share, Shares, part
from pock.compiler.torch_ir import (
    PERMUTATIONS,
    NotConstant,
    TorchBuilder,
    body,
    constant,
    defining_op,
    operations,
    set_function_type,
    step_of,
)
from pock.dialects.types import element_of, is_vtensor, shape_of

from .base import Pass, fail_at
from .dividing import PartBuilder, Parts

SHARDS = "sparsebp.shards"
"""The attribute of ``@gradients`` that says how the batch is divided."""


@dataclass(frozen=True)
class SplitBatch(Pass):
    """Split ``@step`` into ``@gradients``, of one of ``count`` equal parts of the batch, and ``@update``.

    Parts do not wait for each other: each core has its own, in its own cache, where otherwise cores share
    every operation and meet after it. What sums over the batch (gradients of weights, the loss) becomes a
    sum over the part, a result of ``@gradients``; ``@update`` takes these of all parts, adds them up and
    goes on as the step would have. ::

        func.func @step(%x: !torch.vtensor<[8,4],f32>, %y: ...) -> (!torch.vtensor<[],f32>, ...) {
          ...
          %dw = torch.aten.mm %gt, %x : !torch.vtensor<[3,8],f32>, !torch.vtensor<[8,4],f32> -> ...
          "sparsebp.update"(%dw) {symbol = @w, ...}
          return %loss, %output

    becomes with ``count=2``::

        func.func @gradients(%x: !torch.vtensor<[4,4],f32>, %y: ...) -> (..., !torch.vtensor<[3,4],f32>) {
          ...
          %dw = torch.aten.mm %gt, %x : !torch.vtensor<[3,4],f32>, !torch.vtensor<[4,4],f32> -> ...
          return %output, %loss, %dw
        }
        func.func @update(%loss0: ..., %dw0: ..., %loss1: ..., %dw1: ...) -> !torch.vtensor<[],f32> {
          %dw = torch.aten.add.Tensor %dw0, %dw1, %int1
          "sparsebp.update"(%dw) {symbol = @w, ...}

    A product that is larger than its operands, as a classifier's weight gradient is, is no such sum:
    ``@gradients`` returns its part of the operands, and ``@update`` puts these together and multiplies.

    Small values of the whole batch, such as how many labels count, are computed by each part. The attribute
    ``sparsebp.shards`` of ``@gradients`` says how many parts there are and, for each input and target of the
    step, whether ``@gradients`` takes a part of it; those in ``whole`` follow once more, whole.

    A step that is not the sum of such parts is an error: one that normalises over the batch or draws random
    numbers, or whose batch ``count`` does not divide. With ``count=1`` nothing changes.
    """

    name: ClassVar[str] = "sparsebp-split-batch"

    count: int = 1

    def apply(self, module: ir.Module) -> None:
        if self.count == 1:
            return
        step = step_of(module)
        # Most programs that are not divided have a batch of 1: that is seen before much else is looked at.
        if not any(_is_divided(argument, self.count) for argument in body(step).arguments):
            raise fail_at(step, f"no input has a batch that {self.count} parts can be made of")
        for name in _MEANS:
            for op in operations(step, name):
                _as_quotient(op)
        _Split(step, self.count).run()


def _is_divided(value: ir.Value, count: int) -> bool:
    shape = shape_of(value.type) if is_vtensor(value.type) else ()
    return len(shape) > 0 and shape[0] > 0 and shape[0] % count == 0


_MEANS = ("torch.aten.mean", "torch.aten.mean.dim")

_PRODUCTS = ("torch.aten.mm",)
"""Operations that may be larger than what they are made of."""


def _as_quotient(mean: Any) -> None:
    """Make a mean over the batch a sum, which is made of sums over parts, and divide that.

    Not in half precision, which sums of a batch may not fit.
    """
    operation = mean.operation
    x, result = operation.operands[0], operation.results[0]
    if not (is_vtensor(x.type) and is_vtensor(result.type)) or element_of(x.type) not in ("f32", "f64"):
        return
    shape = shape_of(x.type)
    try:
        *options, dtype = (constant(value) for value in list(operation.operands)[1:])
    except NotConstant:
        return
    listed, keepdim = options or ([], False)
    dims = sorted({d % len(shape) for d in listed}) if listed else list(range(len(shape)))
    if dtype is not None or 0 not in dims:
        return
    builder = TorchBuilder(mean)
    count = prod(shape[d] for d in dims)
    result.replace_all_uses_with(builder.div(builder.sum(x, dims, keepdim), count))
    operation.erase()


class _Split:
    """Splits one function."""

    def __init__(self, step: Any, count: int) -> None:
        self.step, self.count = step, count
        self.arguments = list(body(step).arguments)
        self.shares = Shares(step, count)
        self.parts = Parts(count)
        self.totals: dict[ir.Value, bool] = {}
        """The values that can be had in ``@update`` -> whether as a sum of summands."""
        self.joined: dict[ir.Value, Share] = {}
        """The values that ``@update`` puts together from these parts."""
        self.wishes: dict[ir.Value, dict[Share | None, None]] = {}
        """For each value the shares that ``@gradients`` needs; None for all of it in ``@update``."""

    def run(self) -> None:
        """Build the two functions; the step goes. Nothing has changed if that is not possible."""
        for op in operations(self.step):
            self._see(op.operation)
        returned = list(operations(self.step)[-1].operation.operands)
        self._wish(returned)
        wished = [v for v in self.wishes if None in self.wishes[v]]
        partials = [(v, self.joined.get(v, SUMMAND)) for v in wished if v in self.joined or self.totals[v]]
        self._gradients(returned[1:], partials)
        self._update(returned[0], partials)
        self.step.operation.erase()

    # -- what is possible -----------------------------------------------------------------------

    def _see(self, op: Any) -> None:
        """Whether ``@update`` can have an operation's results, and a sum of them or what they are made of."""
        from_others = all(value in self.totals for value in op.operands)
        for result in op.results:
            if from_others and result not in self.shares.given:
                self.totals[result] = False
            elif is_vtensor(result.type) and self.shares.has(result, SUMMAND):
                self.totals[result] = True
            elif from_others:
                self.totals[result] = False

    # -- what is needed -------------------------------------------------------------------------

    def _wish(self, returned: Sequence[ir.Value]) -> None:
        """Note what each value is needed as, from what is returned and written back to the arguments."""
        *rest, terminator = operations(self.step)
        self._ask(terminator, "the loss", returned[0], None)
        for i, output in enumerate(returned[1:]):
            self._ask(terminator, f"output {i}", output, part(0))
        for op in reversed(rest):
            operation = op.operation
            if operation.name in WRITES:
                self._ask(op, f"the new value of '{symbol_of(op)}'", operation.operands[0], None)
            for result in operation.results:
                for share in list(self.wishes.get(result, ())):
                    self._pass_on(operation, result, share)

    def _ask(self, op: Any, what: str, value: ir.Value, share: Share | None) -> None:
        if not (value in self.totals if share is None else self.shares.has(value, share)):
            raise fail_at(op, f"{what} is not made of {self.count} equal parts of the batch")
        self.wishes.setdefault(value, {})[share] = None

    def _pass_on(self, op: Any, result: ir.Value, share: Share | None) -> None:
        """What is needed of an operation's operands for ``share`` of its result."""
        if share is None and result in self.joined:
            return
        if share is None and self._multiplies_later(op, result):
            self.totals[result] = False
        if share is None and not self.totals[result]:
            for value in op.operands:
                self.wishes.setdefault(value, {})[None] = None
            return
        needed = self.shares.needed[result][share or SUMMAND]
        if share is None:
            self.wishes[result][SUMMAND] = None
        for value, kind in zip(op.operands, needed, strict=True):
            if kind is not None:
                self.wishes.setdefault(value, {})[kind] = None

    def _multiplies_later(self, op: Any, result: ir.Value) -> bool:
        """Whether ``@update`` is to compute a sum of summands from operands put together; they are wished."""
        if op.name not in _PRODUCTS or not self.totals[result]:
            return False
        parts: dict[ir.Value, Share] = {}
        permuted: list[ir.Value] = []
        for operand, needed in zip(op.operands, self.shares.needed[result][SUMMAND], strict=True):
            if operand in self.totals:
                continue
            value, share = operand, needed
            # Not the other way round: that is a copy, which can be made of the whole.
            while share and (maker := defining_op(value)) and maker.operation.name in PERMUTATIONS:
                permuted.append(value)
                share = self.shares.needed[value][share][0]
                value = maker.operation.operands[0]
            if share is None or share.kind is not Kind.PART or share.blocks > 1:
                return False
            if self.joined.get(value, share) != share:
                return False
            parts[value] = share
        # Summands are written and read; parts besides, when they are put together.
        given = sum(prod(shape_of(value.type)) for value in parts.keys() - self.joined.keys())
        if 2 * given > self.count * prod(shape_of(result.type)):
            return False
        self.joined |= parts
        self.totals |= dict.fromkeys(permuted, False)
        for value, share in parts.items():
            self.wishes.setdefault(value, {}).update({share: None, None: None})
        return True

    # -- functions ------------------------------------------------------------------------------

    def _gradients(self, outputs: Sequence[ir.Value], partials: Sequence[tuple[ir.Value, Share]]) -> None:
        """``@gradients``, in front of the step."""
        asked = [self.wishes.get(argument, {}) for argument in self.arguments]
        # Of what is not needed, a part is less to take.
        divided = [
            self.shares.has(argument, part(0)) and (part(0) in shares or not shares)
            for argument, shares in zip(self.arguments, asked, strict=True)
        ]
        again = [i for i, shares in enumerate(asked) if divided[i] and WHOLE in shares]
        shares = [part(0) if cut else WHOLE for cut in divided]
        places = [*zip(self.arguments, shares, strict=True), *((self.arguments[i], WHOLE) for i in again)]
        function, block = self._function("gradients", [self.parts.type(v, share) for v, share in places])
        made = {(v, share): block.arguments[i] for i, (v, share) in enumerate(places)}
        builder = self._at_end(block)
        for op in operations(self.step):
            operation = op.operation
            asked_of = {s for r in operation.results for s in self.wishes.get(r, ()) if s is not None}
            for share in sorted(asked_of, key=lambda s: (s.kind.value, s.axis, s.blocks)):
                needed = self._needed(operation, share)
                operands = [
                    made[v, s] if s is not None else None
                    for v, s in zip(operation.operands, needed, strict=True)
                ]
                results = self.parts.again(builder, operation, operands, share)
                made |= {(r, share): v for r, v in zip(operation.results, results, strict=True)}
        values = [*(made[v, part(0)] for v in outputs), *(made[partial] for partial in partials)]
        self._end(function, builder, values)
        function.attributes[SHARDS] = ir.DictAttr.get(
            {
                "count": builder.i64(self.count),
                "divided": ir.DenseBoolArrayAttr.get(divided),
                "whole": ir.DenseI64ArrayAttr.get(again),
                "partials": builder.i64(len(partials)),
            }
        )

    def _needed(self, op: Any, share: Share) -> Sequence[Share | None]:
        """What an operation needs of its operands; its results that are needed so need the same."""
        return next(
            self.shares.needed[r][share]
            for r in op.results
            if share in self.wishes.get(r, ()) and share in self.shares.needed[r]
        )

    def _update(self, loss: ir.Value, partials: Sequence[tuple[ir.Value, Share]]) -> None:
        """``@update``, in front of the step."""
        types = [self.parts.type(value, share) for value, share in partials]
        function, block = self._function("update", types * self.count)
        given = list(block.arguments)
        builder = self._at_end(block)
        totals: dict[ir.Value, ir.Value] = {}
        for i, (value, share) in enumerate(partials):
            each = given[i :: len(partials)]
            put = reduce(builder.add, each) if share == SUMMAND else builder.concatenated(each, share.axis)
            totals[value] = put
        for op in operations(self.step):
            operation = op.operation
            wanted = any(None in self.wishes.get(r, ()) for r in operation.results)
            if operation.name in WRITES or (wanted and not any(r in totals for r in operation.results)):
                operands = [totals.get(v) for v in operation.operands]
                results = self.parts.again(builder, operation, operands, None)
                totals |= dict(zip(operation.results, results, strict=True))
        self._end(function, builder, [totals[loss]])

    # -- building -------------------------------------------------------------------------------

    def _function(self, name: str, types: Sequence[ir.Type]) -> tuple[Any, ir.Block]:
        with ir.InsertionPoint(self.step):
            function = ir.Operation.create(
                "func.func",
                regions=1,
                attributes={
                    "sym_name": ir.StringAttr.get(name),
                    "function_type": ir.TypeAttr.get(ir.FunctionType.get(types, [])),
                },
                loc=self.step.operation.location,
            )
        block = ir.Block.create_at_start(function.regions[0], types, [ir.Location.unknown()] * len(types))
        return function, block

    def _at_end(self, block: ir.Block) -> PartBuilder:
        with ir.InsertionPoint(block):
            end = ir.Operation.create("func.return", operands=[], loc=ir.Location.unknown())
        return PartBuilder(end)

    def _end(self, function: Any, builder: PartBuilder, values: Sequence[ir.Value]) -> None:
        """Return ``values``."""
        end = operations(function)[-1]
        TorchBuilder(end).create("func.return", values, [])
        end.operation.erase()
        set_function_type(function)


def partials_of(gradients: Any) -> int:
    """How many of the last results of ``@gradients`` are for ``@update``."""
    return ir.IntegerAttr(ir.DictAttr(gradients.operation.attributes[SHARDS])["partials"]).value


def outputs_of(function: Any) -> int:
    """How many of the first results of a step, or of ``@gradients``, are results of the forward pass."""
    results = len(operations(function)[-1].operation.operands)
    return results - partials_of(function) if SHARDS in function.operation.attributes else results


def division_of(gradients: Any) -> tuple[list[bool], list[int]]:
    """Of which inputs and targets ``@gradients`` takes a part, and which it takes whole besides."""
    attributes = ir.DictAttr(gradients.operation.attributes[SHARDS])
    return list(ir.DenseBoolArrayAttr(attributes["divided"])), list(ir.DenseI64ArrayAttr(attributes["whole"]))
