# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-fold-constants``: what depends on constants alone is computed while a program is compiled."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from math import prod
from typing import Any, ClassVar

import numpy as np
from torch_mlir import ir

from pock.compiler.analysis.constant_values import (
    ARITHMETIC,
    Array,
    ConstantValues,
    NotEvaluated,
    attribute_value,
    dtype_of,
    is_evaluated,
)
from pock.compiler.conversions.builder import element, shape
from pock.compiler.torch_ir import TorchBuilder, functions, operations, reads

from .base import Pass
from .materialize_state import declare_global, in_archive

SMALL = 1 << 12
"""Bytes of a constant up to which its size does not matter."""

GROWTH = 2
"""Bytes of larger constants, by those of the globals that go for them, up to which they are computed.

A weight is often read in two layouts, forward and backward. What a device computes as it loads a program
takes memory of its own, beside the program's file, of which the device keeps in memory what it reads.
"""

_LOAD = "util.global.load"

_RESHAPES = ("tensor.collapse_shape", "tensor.expand_shape")
"""What costs nothing on a device either."""


@dataclass(frozen=True)
class FoldConstants(Pass):
    """Computes what depends on nothing but globals that are never written.

    Frozen weights are transposed, scaled by batch norms that are frozen too, and gathered for the gradients
    of strided convolutions; variances become factors. IREE would do it on the device when a program is
    loaded, by kernels that are compiled and shipped for it, and keep what they make beside what they read. ::

        util.global private @variance = dense<[0.25, 4.0]> : tensor<2xf32>
        func.func @step(%x: tensor<2xf32>) -> tensor<2xf32> {
          %variance = util.global.load @variance : tensor<2xf32>
          %factor = linalg.generic {...} ins(%variance : tensor<2xf32>) ... {
            ... math.rsqrt ...
          } -> tensor<2xf32>
          %y = linalg.generic {...} ins(%x, %factor : tensor<2xf32>, tensor<2xf32>) ...

    becomes::

        util.global private @"variance:0" = dense<[2.0, 0.5]> : tensor<2xf32>
        func.func @step(%x: tensor<2xf32>) -> tensor<2xf32> {
          %factor = util.global.load @"variance:0" : tensor<2xf32>
          %y = linalg.generic {...} ins(%x, %factor : tensor<2xf32>, tensor<2xf32>) ...

    Equal values are one global; a single number is a constant of the program. What is larger than 4 KiB is
    computed only where globals of at least half its bytes go for it; what takes more is left for the device,
    and so is what a library approximates, as exponentials. ``pock-opt`` knows globals whose value is in the
    program; ``pock-compile`` those of the parameter archive, in which it puts what it computes.
    """

    name: ClassVar[str] = "sparsebp-fold-constants"

    def apply(self, module: ir.Module) -> None:
        fold_constants(module, {})


def fold_constants(module: ir.Module, archived: Mapping[str, Array]) -> dict[str, Array]:
    """Run the pass on a module whose globals of these names have these values, in a parameter archive.

    Gives the values of those that are left, and of new ones.
    """
    with module.context, ir.Location.unknown():
        folding = _Folding(module, archived)
        folding.run()
        return folding.archived


class _Folding:
    """Constants of a module, and which of them become globals."""

    def __init__(self, module: ir.Module, archived: Mapping[str, Array]) -> None:
        self.archived = dict(archived)
        self._globals = {
            ir.StringAttr(op.operation.attributes["sym_name"]).value: op.operation
            for op in module.body.operations
            if op.operation.name == "util.global"
        }
        self._known: dict[ir.Value, Array] = {}
        self._depends: dict[ir.Value, frozenset[str]] = {}
        """The result of each constant operation, in order -> the globals that it is computed from."""
        self._loads: dict[str, list[ir.Value]] = {}
        """Those of globals whose values are known."""
        for function in functions(module).values():
            for op in operations(function):
                self._visit(op.operation)
        self._values = ConstantValues(self._known)
        constant = {value.owner for value in self._depends}
        self._needed = {v for v in self._depends if any(_outermost(u.owner) not in constant for u in v.uses)}
        """The constants that anything else reads."""
        self._keys: dict[ir.Value, tuple[str, str]] = {}

    def run(self) -> None:
        """Put globals for what is worth it, and drop what nothing reads then."""
        kept: set[str] = set()
        while True:
            chosen, needed = self._choice(kept)
            growing = self._growing(chosen, needed)
            if not growing:
                break
            kept |= growing
        self._replace(chosen)
        self._clear()

    # -- what is constant --

    def _visit(self, op: Any) -> None:
        if op.name == _LOAD:
            name = ir.FlatSymbolRefAttr(op.attributes["global"]).value
            value = self._initial(name, op.results[0].type)
            if value is not None:
                self._known[op.results[0]] = value
                self._depends[op.results[0]] = frozenset([name])
                self._loads.setdefault(name, []).append(op.results[0])
        elif len(op.results) == 1 and (op.name == "tensor.empty" or is_evaluated(op)):
            read = reads(op)
            if all(value in self._depends for value in read):
                depends: frozenset[str] = frozenset().union(*(self._depends[value] for value in read))
                self._depends[op.results[0]] = depends

    def _initial(self, name: str, type_: ir.Type) -> Array | None:
        """The value of a global that is never written, if it is known."""
        if name not in self._globals or "is_mutable" in self._globals[name].attributes:
            return None
        try:
            dtype = np.dtype(dtype_of(type_))
            if name not in self.archived:
                return attribute_value(self._globals[name].attributes["initial_value"], type_)
        except (KeyError, NotEvaluated):
            return None
        value = self.archived[name]
        # Integers have signs in archives, and none in programs.
        return value.view(dtype) if value.dtype.itemsize == dtype.itemsize else None

    # -- which of it becomes a global --

    def _choice(self, kept: set[str]) -> tuple[dict[ir.Value, Array], set[ir.Value]]:
        """What is computed here, in order, and which constants are read then.

        Nothing large is computed of the globals ``kept``.
        """
        needed = set(self._needed)
        chosen: dict[ir.Value, Array] = {}
        for value in reversed(self._depends):
            if value not in needed or value.owner.name == _LOAD:
                continue
            found = None if value.owner.name in _RESHAPES else self._computed(value, kept)
            if found is None:
                needed |= reads(value.owner)
            else:
                chosen[value] = found
        return dict(reversed(chosen.items())), needed

    def _computed(self, value: ir.Value, kept: set[str]) -> Array | None:
        """What ``value`` is, if it depends on globals and is not too large for them."""
        depends = self._depends[value]
        # IREE imports no truth values.
        if dtype_of(value.type) is np.bool_ or (not depends and not _is_single_number(value)):
            return None
        if _bytes(value) > SMALL:
            most = GROWTH * sum(map(self._bytes, depends))
            if _bytes(value) > most or not kept.isdisjoint(depends):
                return None
        try:
            return self._values[value]
        except NotEvaluated:
            return None

    def _bytes(self, name: str) -> int:
        return _bytes(self._loads[name][0])

    def _growing(self, chosen: Mapping[ir.Value, Array], needed: set[ir.Value]) -> set[str]:
        """The globals of which too much would be computed that is large."""
        large = {value: array for value, array in chosen.items() if array.nbytes > SMALL}
        growing: set[str] = set()
        for values in _sharing({value: self._depends[value] for value in large}):
            made = {self._key(value, large[value]): large[value].nbytes for value in values}
            read = {name for value in values for name in self._depends[value]}
            gone = [name for name in read if needed.isdisjoint(self._loads[name])]
            if sum(made.values()) > SMALL + GROWTH * sum(map(self._bytes, gone)):
                growing |= read
        return growing

    def _key(self, value: ir.Value, array: Array) -> tuple[str, str]:
        """The same for values of one type that are equal to the last bit."""
        if value not in self._keys:
            digest = blake2b(np.asarray(array, order="C").tobytes()).hexdigest()
            self._keys[value] = (str(value.type), digest)
        return self._keys[value]

    # -- replacing --

    def _replace(self, chosen: Mapping[ir.Value, Array]) -> None:
        made: dict[tuple[str, str], str] = {}
        for value, array in chosen.items():
            builder = TorchBuilder(value.owner)
            if array.size == 1 and array.dtype in ARITHMETIC:
                constant = builder.create("arith.constant", [], [value.type], {"value": _dense(value, array)})
            else:
                key = self._key(value, array)
                if key not in made:
                    made[key] = self._add_global(value, array)
                symbol = {"global": ir.FlatSymbolRefAttr.get(made[key])}
                constant = builder.create(_LOAD, [], [value.type], symbol)
            value.replace_all_uses_with(constant)

    def _add_global(self, value: ir.Value, array: Array) -> str:
        """A global of this value, named after the largest one that it depends on."""
        source = max(sorted(self._depends[value]), key=self._bytes)
        name = next(name for i in count() if (name := f"{source}:{i}") not in self._globals)
        if source in self.archived:
            self.archived[name] = np.asarray(array, order="C")
            initial = in_archive(name, value.type)
        else:
            initial = _dense(value, array)
        declare_global(self._globals[source], name, value.type, initial)
        self._globals[name] = self._globals[source]
        return name

    def _clear(self) -> None:
        """Erase the constants that nothing reads any more, and the globals that nothing loads then."""
        left = {name: len(loads) for name, loads in self._loads.items()}
        for value in reversed(self._depends):
            if any(True for _ in value.uses):
                continue
            if value.owner.name == _LOAD:
                (name,) = self._depends[value]
                left[name] -= 1
            value.owner.erase()
        for name in [name for name, loads in left.items() if not loads]:
            self._globals.pop(name).erase()
            self.archived.pop(name, None)


def _outermost(op: Any) -> Any:
    """The operation of the function's own block that an operation is in, or is."""
    while op.parent is not None and op.parent.name != "func.func":
        op = op.parent
    return op


def _sharing(depends: Mapping[ir.Value, frozenset[str]]) -> Iterable[list[ir.Value]]:
    """Values in groups that have no global in common."""
    groups: list[tuple[set[str], list[ir.Value]]] = []
    for value, names in depends.items():
        shared = [group for group in groups if not group[0].isdisjoint(names)]
        groups = [group for group in groups if group[0].isdisjoint(names)]
        groups.append(
            (set(names).union(*(g[0] for g in shared)), [*(v for g in shared for v in g[1]), value])
        )
    return [values for _, values in groups]


def _is_single_number(value: ir.Value) -> bool:
    """Whether ``value`` is a tensor with a single element, computed from others of that type."""
    types = [value.type, *(operand.type for operand in value.owner.operands)]
    return value.owner.name == "linalg.generic" and all(
        isinstance(type_, ir.RankedTensorType) and prod(type_.shape) == 1 and str(type_.element_type) == "f32"
        for type_ in types
    )


def _dense(value: ir.Value, array: Array) -> ir.Attribute:
    return ir.DenseElementsAttr.get(np.asarray(array, order="C"), type=element(value), shape=shape(value))


def _bytes(value: ir.Value) -> int:
    return prod(shape(value)) * np.dtype(dtype_of(value.type)).itemsize
