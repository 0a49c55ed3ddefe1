# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which part of each layer a core computes, where cores share a step by its channels.

Each of as many *ranks* computes one of the equal parts of the channels of a layer, from its own part of the
weight. What the next layer adds up over these is a summand, of which the ranks need the sum: one exchange for
each pair of layers. What may be had in which way, from what, is ``analysis/shares.py``'s to say; here is
chosen what takes the least time, an operation at a time.
"""

from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

from torch_mlir import ir

from pock.compiler.torch_ir import body, defining_op
from pock.dialects.types import element_of, is_vtensor, shape_of

from .shares import HEAVY, SUMMAND, WHOLE, Kind, Share, Shares, Ways

_EXCHANGE = 2e-6
"""Seconds that an exchange takes at least."""
_EXCHANGED = 3e9
"""Bytes a second that cores exchange."""
_COMPUTED = 1e11
"""Operations a second of a core, multiplications and additions."""
_PASSED = 1e10
"""Bytes a second of what a core reads and writes."""

BY_RANK = "sparsebp.by_rank"
"""The attribute of a concatenation of which each rank computes one operand: see ``sparsebp-share-rows``."""

_LIST = "torch.prim.ListConstruct"
_CONVERSION = "torch.prims.convert_element_type"
_FLOATS = ("f16", "bf16", "f32", "f64")


class Ranks(Shares):
    """What of each value of a function a rank of ``count`` computes, and from what.

    Values that depend on no argument of the function, as weights do, can be had in any share of them that
    their parameters have; of the others a rank has ``chosen``, and anything else is made of that. What cannot
    be exchanged is computed once more where it is needed whole.
    """

    def __init__(self, function: Any, count: int) -> None:
        self.chosen: dict[ir.Value, Share] = {}
        self._summed: set[ir.Value] = set()
        self._alone: set[ir.Value] = set()
        """What a rank computes that the others do not."""
        super().__init__(function, count)

    def _start(self, function: Any) -> None:
        for argument in body(function).arguments:
            self.given.add(argument)
            self.chosen[argument] = WHOLE
            self.needed[argument] = {WHOLE: ()}
        for op in reversed(body(function).operations):
            operation = op.operation
            if self.is_by_rank(operation) or any(r in self._alone for r in operation.results):
                self._alone.update(operation.operands)

    def _too_much(self, op: Any) -> bool:
        """Everything may be computed by each rank."""
        return False

    def is_by_rank(self, op: Any) -> bool:
        """Whether an operation puts together what the ranks compute, one operand each."""
        return BY_RANK in op.attributes and len(elements(op.operands[0])) == self.count

    @property
    def shares_rows(self) -> bool:
        """Whether there are operations that one rank alone is to compute."""
        return bool(self._alone)

    def seconds(self, op: Any) -> float:
        """What an operation with one result takes a rank, with the exchange that it leads to."""
        (result,) = op.results
        chosen = self.chosen.get(result, WHOLE)
        time = self._work(op, result, chosen, self.needed[result][chosen])
        return time + (exchange_seconds(result) if chosen == SUMMAND else 0.0)

    def whole_seconds(self, op: Any) -> float:
        """What an operation with one result takes if it is not divided."""
        return self._work(op, op.results[0], WHOLE, _whole(op))

    # -- what does not depend on an argument ----------------------------------------------------

    def ways(self, value: ir.Value, share: Share) -> Ways | None:
        """What the operation that ``value`` is from needs of its operands for ``share``, if it can."""
        known = self.needed.setdefault(value, {})
        if value in self.chosen:
            return known.get(share)
        if share not in known:
            found = self._found(value, share)
            if found is None:
                return None
            known[share] = found
        return known[share]

    def _found(self, value: ir.Value, share: Share) -> Ways | None:
        op = value.owner.operation
        if op.name == "sparsebp.read":
            divided = share.kind is Kind.PART and self.divides(value, share.axis, share.blocks)
            return () if share is WHOLE or share == WHOLE or divided else None
        for offered, ways in self._shares(op, value):
            if offered != share:
                continue
            for needed in ways:
                if all(
                    s is None or self.ways(v, s) is not None for v, s in zip(op.operands, needed, strict=True)
                ):
                    return needed
        return None

    # -- the rest -------------------------------------------------------------------------------

    def _add(self, op: Any) -> None:
        if not any(value in self.given for value in op.operands):
            return
        self.given.update(op.results)
        if op.name == _LIST:
            return
        if self.is_by_rank(op):
            self.chosen[op.results[0]] = SUMMAND
            self.needed[op.results[0]] = {WHOLE: _whole(op), SUMMAND: _whole(op)}
            return
        for result in op.results:
            if result in self._alone:
                self.chosen[result], self.needed[result] = WHOLE, {WHOLE: _whole(op)}
                continue
            best = min(self._offers(op, result), key=lambda offer: offer[0], default=None)
            _, share, needed = best or (0.0, WHOLE, _whole(op))
            self.chosen[result] = share
            self.needed[result] = {WHOLE: _whole(op), share: needed}
            self._summed.update(v for v, s in zip(op.operands, needed, strict=True) if self._sums(v, s))

    def _offers(self, op: Any, result: ir.Value) -> Iterator[tuple[float, Share, Ways]]:
        """The ways to compute an operation, each with the time that it takes about."""
        # What takes little is divided only where an operand is.
        heavy = op.name in HEAVY
        for share, ways in self._shares(op, result):
            for needed in ways:
                pairs = list(zip(op.operands, needed, strict=True))
                if share == SUMMAND and op.name == _CONVERSION:
                    continue  # Sums are rounded, not summands.
                if not heavy and share != WHOLE and not any(self._is_divided(v, s) for v, s in pairs):
                    continue
                time = sum(self._conversion(v, s) for v, s in pairs if s is not None)
                time += self._work(op, result, share, needed)
                if share == SUMMAND:
                    time += exchange_seconds(result)
                if share == WHOLE or time < float("inf"):
                    yield time, share, needed

    def _work(self, op: Any, result: ir.Value, share: Share, needed: Ways) -> float:
        """Seconds that an operation takes a rank that reads and writes these shares."""
        shares = [*zip(op.operands, needed, strict=True), (result, share)]
        moved = sum(
            _bytes(v) / (self.count if s is not None and s.kind is Kind.PART else 1) for v, s in shares
        )
        divided = any(s is not None and s.kind is Kind.PART for _, s in shares)
        products = 2 * _multiplications(op) / (self.count if divided else 1)
        return max(moved / _PASSED, products / _COMPUTED)

    def _is_divided(self, value: ir.Value, share: Share | None) -> bool:
        if share is None or share == WHOLE:
            return False
        return any(self.chosen.get(v) == share for v in elements(value))

    def _sums(self, value: ir.Value, share: Share | None) -> bool:
        return self.chosen.get(value, share) not in (WHOLE, share) and share is not None

    def _conversion(self, value: ir.Value, share: Share) -> float:
        """Seconds that it takes to have ``share`` of ``value``."""
        if (listed := elements(value)) != [value]:
            return sum(self._conversion(v, share) for v in listed)
        if value not in self.given:
            return 0.0 if share == WHOLE or self.ways(value, share) is not None else float("inf")
        chosen = self.chosen[value]
        if chosen == share:
            return 0.0
        if share == SUMMAND or not is_vtensor(value.type):
            return float("inf")
        if share.kind is Kind.PART and not self.divides(value, share.axis, share.blocks):
            return float("inf")
        sliced = _bytes(value) / _PASSED if share.kind is Kind.PART else 0.0
        if chosen == WHOLE or value in self._summed:
            return sliced
        if not is_exchanged(value):
            return float("inf")
        return sliced + exchange_seconds(value) * (1 if chosen == SUMMAND else 2)


class Estimate(NamedTuple):
    """What a function of a core, or of a rank, does."""

    products: float
    """Seconds of matrix products and convolutions."""
    exchanges: int
    exchanged: int
    """Bytes."""
    waited: float
    """Seconds of exchanges."""


def estimate(function: Any) -> Estimate:
    """What a function does, in the torch dialect."""
    ops = [op.operation for op in body(function).operations]
    sums = [op.results[0] for op in ops if op.name == "sparsebp.all_reduce"]
    return Estimate(
        sum(2 * _multiplications(op) / _COMPUTED for op in ops),
        len(sums),
        sum(map(_bytes, sums)),
        sum(map(exchange_seconds, sums)),
    )


def is_exchanged(value: ir.Value) -> bool:
    """Whether ranks can tell each other what they have of a value."""
    return is_vtensor(value.type) and element_of(value.type) in _FLOATS


def elements(value: ir.Value) -> list[ir.Value]:
    """The tensors that a list is made of; any other value itself."""
    op = defining_op(value)
    return list(op.operation.operands) if op is not None and op.operation.name == _LIST else [value]


def _whole(op: Any) -> Ways:
    return tuple(
        WHOLE if is_vtensor(v.type) or str(v.type) == "!torch.list<vtensor>" else None for v in op.operands
    )


def _bytes(value: ir.Value) -> int:
    return 4 * prod(shape_of(value.type)) if is_vtensor(value.type) else 0


def exchange_seconds(value: ir.Value) -> float:
    """What it takes the ranks to tell each other their summands of a value."""
    return _EXCHANGE + _bytes(value) / _EXCHANGED


def _multiplications(op: Any) -> int:
    result = shape_of(op.results[0].type) if op.results and is_vtensor(op.results[0].type) else ()
    shapes = [shape_of(v.type) if is_vtensor(v.type) else () for v in op.operands]
    if op.name in ("torch.aten.mm", "torch.aten.bmm"):
        return prod(result) * shapes[0][-1]
    if op.name == "torch.aten.convolution":
        return prod(result) * prod(shapes[1][1:])
    if op.name == "sparsebp.conv_input_grad":
        return prod(shapes[0]) * prod(shapes[1][1:])
    if op.name == "sparsebp.conv_weight_grad":
        return prod(shapes[0]) * prod(result[1:])
    return 0
