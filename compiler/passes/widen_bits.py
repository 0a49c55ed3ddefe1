# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-widen-bits``: store narrow integers as wider ones."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.compiler.errors import UsageError
from pock.compiler.opt import run_mlir_passes
from pock.compiler.torch_ir import functions

from .base import Pass, fail_at

#: Widths that integers of memory may have.
_WIDTHS = (8, 16, 32, 64)


@dataclass(frozen=True)
class WidenBits(Pass):
    """Store integers of fewer than ``bits`` bits, truth values among them, as integers of that many.

    A target may be unable to load and store single bytes, which is what IREE keeps an ``i1`` in. Tensors
    of functions and globals change their type, arguments and results too; scalars do not: operations
    compute in the width that they had, between a truncation of what they load and an extension (with
    zeros from ``i1``, with the sign otherwise) of what they store. With ``bits=32`` ::

        %mask = linalg.generic {...} ins(%x : tensor<4xf32>) outs(%empty : tensor<4xi1>) {
        ^bb0(%in: f32, %out: i1):
          %positive = arith.cmpf ogt, %in, %zero : f32
          linalg.yield %positive : i1
        } -> tensor<4xi1>

    becomes::

        %mask = linalg.generic {...} ins(%x : tensor<4xf32>) outs(%empty : tensor<4xi32>) {
        ^bb0(%in: f32, %out: i32):
          %positive = arith.cmpf ogt, %in, %zero : f32
          %stored = arith.extui %positive : i1 to i32
          linalg.yield %stored : i32
        } -> tensor<4xi32>
    """

    name: ClassVar[str] = "sparsebp-widen-bits"

    bits: int = 32

    def apply(self, module: ir.Module) -> None:
        if self.bits not in _WIDTHS:
            widths = ", ".join(map(str, _WIDTHS))
            raise UsageError(f"option 'bits' of pass '{self.name}' takes one of {widths}, got {self.bits}")
        widening = _Widening(self.bits)
        _spell_out(module, widening)
        for function in functions(module).values():
            widening.function(function.operation)
        for op in module.body.operations:
            if op.operation.name == "util.global":
                widening.declaration(op.operation)


def _spell_out(module: ir.Module, widening: "_Widening") -> None:
    """Make generics of arithmetic on narrow tensors, and of operations of linalg that compute from them."""
    names = {op.name for function in functions(module).values() for op in widening.concerned(function)}
    unknown = names.difference(_RULES)
    if any(name.startswith(("arith.", "math.")) for name in unknown):
        run_mlir_passes(module, "builtin.module(func.func(convert-elementwise-to-linalg))")
    if any(name.startswith("linalg.") for name in unknown):
        run_mlir_passes(module, "builtin.module(func.func(linalg-generalize-named-ops))")


class _Widening:
    """Widens functions and globals to integers of ``bits`` bits."""

    def __init__(self, bits: int) -> None:
        self.wide = ir.IntegerType.get_signless(bits)
        self._loaded: dict[ir.Value, ir.Value] = {}
        """A scalar in the width to compute in -> as it was loaded."""

    def is_narrow(self, type_: ir.Type) -> bool:
        """Whether a scalar or element type is an integer to widen."""
        return isinstance(type_, ir.IntegerType) and type_.width < self.wide.width

    def stored(self, type_: ir.Type) -> ir.Type:
        """The type that a value of ``type_`` has afterwards."""
        if not isinstance(type_, ir.RankedTensorType) or not self.is_narrow(type_.element_type):
            return type_
        return ir.RankedTensorType.get(type_.shape, self.wide, type_.encoding)

    def concerned(self, function: Any) -> list[Any]:
        """The operations of a function, those in regions too, that take or make narrow tensors."""
        found: list[Any] = []

        def visit(op: Any) -> ir.WalkResult:
            operation = op.operation
            if any(self.stored(v.type) != v.type for v in (*operation.operands, *operation.results)):
                found.append(operation)
            return ir.WalkResult.ADVANCE

        function.operation.walk(visit)
        return found

    def function(self, function: Any) -> None:
        """Widen a function and all that is in it."""
        concerned = self.concerned(function)
        for op in concerned:
            if op.name not in _RULES:
                raise fail_at(op, f"cannot store what '{op.name}' takes or makes as {self.wide}")
        for op in concerned:
            _RULES[op.name](self, op)
            self._retype([*op.results, *_arguments(op)])
        self._retype(_arguments(function))
        type_ = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
        inputs, results = ([self.stored(t) for t in types] for types in (type_.inputs, type_.results))
        function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(inputs, results))

    def _retype(self, values: Iterable[ir.Value]) -> None:
        for value in values:
            value.set_type(self.stored(value.type))

    def declaration(self, op: Any) -> None:
        """Widen a global. What initialises it is a typed attribute."""
        old = ir.TypeAttr(op.attributes["type"]).value
        new = self.stored(old)
        if new != old:
            initial = str(op.attributes["initial_value"]).removesuffix(str(old))
            op.attributes["initial_value"] = ir.Attribute.parse(f"{initial}{new}")
            op.attributes["type"] = ir.TypeAttr.get(new)

    # Scalars.

    def load(self, value: ir.Value, ip: ir.InsertionPoint, location: ir.Location) -> None:
        """Make a wide scalar of ``value``, a narrow one, and truncate it for its uses."""
        narrow, uses = value.type, list(value.uses)
        value.set_type(self.wide)
        if not uses:
            return
        with ip, location:
            loaded = arith.trunci(narrow, value)
        self._loaded[loaded] = value
        for use in uses:
            use.owner.operation.operands[use.operand_number] = loaded

    def store(self, op: Any, operands: Iterable[int]) -> None:
        """Extend those of the given operands of ``op`` that are narrow scalars."""
        for i in operands:
            if self.is_narrow(op.operands[i].type):
                op.operands[i] = self._extended(op, op.operands[i])

    def _extended(self, op: Any, value: ir.Value) -> ir.Value:
        if value in self._loaded:
            return self._loaded[value]
        extend = arith.extui if value.type.width == 1 else arith.extsi
        with ir.InsertionPoint(op), op.location:
            return extend(self.wide, value)


def _blocks(op: Any) -> Iterator[ir.Block]:
    for region in op.regions:
        yield from region.blocks


def _arguments(op: Any) -> Iterator[ir.Value]:
    """The arguments of the blocks of ``op``."""
    for block in _blocks(op):
        yield from block.arguments


# -- rules --------------------------------------------------------------------------------------

_Rule = Callable[[_Widening, Any], None]
"""What to do to an operation besides changing the types of its results and of tensors in its regions."""


def _move(widening: _Widening, op: Any) -> None:
    """Moves elements from tensor to tensor. The region, if linalg gives it one, is not printed."""
    for argument in _arguments(op):
        if widening.is_narrow(argument.type):
            argument.set_type(widening.wide)


def _fill(widening: _Widening, op: Any) -> None:
    """Moves a scalar into a tensor, or everywhere."""
    _move(widening, op)
    widening.store(op, range(len(op.operands)))


def _extract(widening: _Widening, op: Any) -> None:
    """Loads a scalar."""
    widening.load(op.results[0], ir.InsertionPoint.after(op), op.location)


def _compute(widening: _Widening, op: Any) -> None:
    """Loads elements of the operands and stores what the region yields."""
    for block in _blocks(op):
        for argument, operand in zip(block.arguments, op.operands, strict=False):
            if isinstance(operand.type, ir.RankedTensorType) and widening.is_narrow(argument.type):
                widening.load(argument, ir.InsertionPoint.at_block_begin(block), op.location)
    _generate(widening, op)


def _generate(widening: _Widening, op: Any) -> None:
    """Stores what the region yields."""
    for block in _blocks(op):
        terminator = block.operations[len(block.operations) - 1].operation
        widening.store(terminator, range(len(terminator.operands)))


def _constant(widening: _Widening, op: Any) -> None:
    """Holds its elements in an attribute."""
    attribute = op.attributes["value"]
    if not isinstance(attribute, ir.DenseElementsAttr):
        raise fail_at(op, f"cannot store constants of this kind as {widening.wide}: {attribute}")
    values = np.array(attribute).astype(f"int{widening.wide.width}")
    type_ = widening.stored(op.results[0].type)
    op.attributes["value"] = (
        ir.DenseElementsAttr.get_splat(type_, ir.IntegerAttr.get(widening.wide, int(values.flat[0])))
        if attribute.is_splat
        else ir.DenseElementsAttr.get(values, type=widening.wide, shape=values.shape)
    )


_MOVES = (
    "func.call", "func.return", "cf.br", "cf.cond_br",
    "linalg.broadcast", "linalg.copy", "linalg.transpose",
    "scf.condition", "scf.for", "scf.if", "scf.while", "scf.yield",
    "tensor.cast", "tensor.collapse_shape", "tensor.concat", "tensor.dim", "tensor.empty",
    "tensor.expand_shape", "tensor.extract_slice", "tensor.gather", "tensor.insert_slice", "tensor.rank",
    "tensor.reshape", "tensor.scatter", "tensor.yield",
    "util.global.load", "util.optimization_barrier",
)  # fmt: skip

_RULES: dict[str, _Rule] = {
    **dict.fromkeys(_MOVES, _move),
    **dict.fromkeys(("linalg.fill", "tensor.from_elements", "tensor.insert", "tensor.splat"), _fill),
    **dict.fromkeys(("linalg.generic", "linalg.map", "linalg.reduce"), _compute),
    **dict.fromkeys(("tensor.generate", "tensor.pad"), _generate),
    "arith.constant": _constant,
    "tensor.extract": _extract,
}
