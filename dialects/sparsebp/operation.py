# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the dialect's operations share: the form of their verifiers, and reading attributes in them.

MLIR runs a verifier written in Python before the one that it derives from the operation's definition, so
an operation may lack any operand, result or attribute here. ``Operation`` checks that they are there, and
the functions below it read attributes of any kind: what is amiss becomes a diagnostic, never an exception.
"""

from collections.abc import Sequence
from typing import Any

from torch_mlir import ir
from torch_mlir.dialects.ext import AttributeDef, OperandDef, ResultDef

from ..types import NotAStaticTensor, element_of
from .dialect import SparseBP, fail


class Malformed(ValueError):
    """An attribute is missing or not of the kind that the operation's definition says."""


class Operation(SparseBP.Operation):  # type: ignore[name-defined]
    """Base of the dialect's operations. Subclasses override ``problem``."""

    def __init_subclass__(cls, *, name: str, traits: Sequence[type] = ()) -> None:
        super().__init_subclass__(name=name, traits=list(traits))

    def verify_invariants(self) -> bool:
        """MLIR's hook; emits a diagnostic and returns False when the operation is not valid."""
        try:
            problem = self._missing() or self.problem()
        except (Malformed, NotAStaticTensor) as error:
            problem = str(error)
        return problem is None or fail(self, problem)

    def problem(self) -> str | None:
        """What is wrong with the operation, all of whose operands, results and attributes exist, or None.

        May raise ``Malformed`` and ``NotAStaticTensor``, whose messages say the same.
        """
        return None

    def _missing(self) -> str | None:
        operation = self.operation
        for kind, got, names in (
            ("operands", len(operation.operands), self._names(OperandDef)),
            ("results", len(operation.results), self._names(ResultDef)),
            ("regions", len(operation.regions), []),
            ("successors", len(operation.successors), []),
        ):
            if got != len(names):
                listed = f" ({', '.join(names)})" if names else ""
                return f"takes {len(names)} {kind}{listed}, got {got}"
        for name in self._names(AttributeDef):
            if name not in operation.attributes:
                return f"needs the attribute {name}"
        return None

    @classmethod
    def _names(cls, kind: Any) -> list[str]:
        fields: list[Any] = cls._fields
        return [field.name for field in fields if isinstance(field, kind)]


def _attribute(op: Any, name: str, kind: Any, description: str) -> Any:
    attribute = op.operation.attributes[name]
    if not isinstance(attribute, kind):
        raise Malformed(f"{name} must be {description}, got {shown(attribute)}")
    return attribute


def shown(attribute: ir.Attribute) -> str:
    """An attribute in a diagnostic: its beginning if it is long."""
    text = str(attribute)
    return text if len(text) <= 80 else text[:77] + "..."


def text(attribute: ir.StringAttr) -> str:
    """The value of a string attribute; raises ``Malformed`` for bytes that are no text."""
    try:
        return attribute.value_bytes.decode()
    except UnicodeDecodeError:
        raise Malformed(f"{shown(attribute)} is not UTF-8") from None


def string(op: Any, name: str) -> str:
    """A string attribute."""
    return text(_attribute(op, name, ir.StringAttr, "a string"))


def strings(op: Any, name: str) -> list[str]:
    """An attribute that is a list of strings."""
    array = _attribute(op, name, ir.ArrayAttr, "a list of strings")
    if not all(isinstance(element, ir.StringAttr) for element in array):
        raise Malformed(f"{name} must be a list of strings, got {shown(array)}")
    return [text(element) for element in array]


def integer(op: Any, name: str, least: int | None = None) -> int:
    """A 64-bit integer attribute, no less than ``least``."""
    attribute = _attribute(op, name, ir.IntegerAttr, "an i64")
    value: int = attribute.value
    if attribute.type != ir.IntegerType.get_signless(64, op.operation.context):
        raise Malformed(f"{name} must be an i64, got {attribute}")
    if least is not None and value < least:
        raise Malformed(f"{name} must be at least {least}, got {value}")
    return value


def integers(op: Any, name: str) -> tuple[int, ...]:
    """An attribute like ``array<i64: 1, 2>``."""
    return tuple(_attribute(op, name, ir.DenseI64ArrayAttr, "array<i64: ...>"))


def boolean(op: Any, name: str) -> bool:
    """An attribute ``true`` or ``false``."""
    return bool(_attribute(op, name, ir.BoolAttr, "true or false").value)


def number(op: Any, name: str) -> float:
    """A floating-point attribute."""
    return float(_attribute(op, name, ir.FloatAttr, "a floating-point number").value)


def symbol(op: Any, name: str) -> str:
    """A reference to a declaration, ``@name``."""
    reference = _attribute(op, name, ir.FlatSymbolRefAttr, "a reference @name")
    try:
        return str(reference.value)
    except RuntimeError:  # the bindings', for bytes that are no text
        raise Malformed(f"{name} {reference} is not UTF-8") from None


def tensor_type(op: Any, name: str) -> ir.RankedTensorType:
    """A type attribute that is a ranked tensor of static shape."""
    attribute = _attribute(op, name, ir.TypeAttr, "a static ranked tensor type")
    type_ = attribute.value
    if not isinstance(type_, ir.RankedTensorType) or not type_.has_static_shape:
        raise Malformed(f"{name} must be a static ranked tensor type, got {shown(attribute)}")
    return type_


def elements_differ(*types: ir.Type) -> str | None:
    """That tensor types have different element types, or None if they have one."""
    elements = [element_of(type_) for type_ in types]
    return f"mixes the element types {', '.join(elements)}" if len(set(elements)) > 1 else None
