# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``#sparsebp.mask``: which part of a tensor a training step updates."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from torch_mlir import ir

from .dialect import SparseBP
from .operation import Malformed, shown, text


class MaskKind(StrEnum):
    """What part of a tensor is updated."""

    NONE = "none"
    FULL = "full"
    RANGE = "range"
    LIST = "list"


class MaskAttr(SparseBP.Attribute, name="mask"):  # type: ignore[name-defined, call-arg]
    """``#sparsebp.mask<"kind", "dimension", array<i64: …>>``.

    * ``none`` and ``full``: no dimension (``""``) and no indices;
    * ``range``: ``[begin, end)`` along the named dimension;
    * ``list``: strictly increasing indices along the named dimension.
    """

    kind: ir.StringAttr
    dimension: ir.StringAttr
    indices: Any


@dataclass(frozen=True)
class Mask:
    """The value of a ``MaskAttr``.

    ``dimension`` is one of the names that the parameter's declaration gives its dimensions.
    ``indices`` is ``(begin, end)`` for a range and the sorted channels for a list.
    """

    kind: MaskKind
    dimension: str = ""
    indices: tuple[int, ...] = ()

    @staticmethod
    def none() -> "Mask":
        return Mask(MaskKind.NONE)

    @staticmethod
    def full() -> "Mask":
        return Mask(MaskKind.FULL)

    @staticmethod
    def channels(dimension: str, indices: Sequence[int], size: int) -> "Mask":
        """The normal form of a set of channels: full, a range when contiguous, else a list."""
        chosen = tuple(sorted(set(indices)))
        if not chosen:
            return Mask.none()
        if len(chosen) == size:
            return Mask.full()
        if chosen[-1] - chosen[0] + 1 == len(chosen):
            return Mask(MaskKind.RANGE, dimension, (chosen[0], chosen[-1] + 1))
        return Mask(MaskKind.LIST, dimension, chosen)

    @staticmethod
    def from_attr(attr: ir.Attribute) -> "Mask":
        mask = MaskAttr(attr)
        kind, dimension, indices = mask.params
        return Mask(
            MaskKind(ir.StringAttr(kind).value),
            ir.StringAttr(dimension).value,
            tuple(ir.DenseI64ArrayAttr(indices)),
        )

    def to_attr(self) -> ir.Attribute:
        """The attribute, in the current context."""
        return MaskAttr.get(
            ir.StringAttr.get(self.kind.value),
            ir.StringAttr.get(self.dimension),
            ir.DenseI64ArrayAttr.get(list(self.indices)),
        )

    @property
    def is_sliced(self) -> bool:
        """Whether a part of the tensor, neither none nor all of it, is updated."""
        return self.kind in (MaskKind.RANGE, MaskKind.LIST)

    def positions(self) -> tuple[int, ...]:
        """The updated channels of a sliced mask, one by one."""
        if self.kind is MaskKind.RANGE:
            return tuple(range(*self.indices))
        return self.indices

    def count(self) -> int:
        """How many channels a sliced mask updates."""
        return self.indices[1] - self.indices[0] if self.kind is MaskKind.RANGE else len(self.indices)

    def axis(self, dimensions: Sequence[str]) -> int:
        """The position of the masked dimension among a parameter's ``dimensions``."""
        return list(dimensions).index(self.dimension)

    def shape(self, shape: Sequence[int], dimensions: Sequence[str]) -> tuple[int, ...]:
        """The shape of what is updated of a tensor of ``shape``."""
        if not self.is_sliced:
            return tuple(shape)
        axis = self.axis(dimensions)
        return (*shape[:axis], self.count(), *shape[axis + 1 :])

    def problem(self) -> str | None:
        """What is wrong with the mask by itself, or None."""
        if not self.is_sliced:
            if self.dimension or self.indices:
                return f"mask '{self.kind.value}' takes no dimension and no indices"
            return None
        if not self.dimension:
            return f"mask '{self.kind.value}' needs the name of a dimension"
        if self.kind is MaskKind.RANGE:
            if len(self.indices) != 2 or not 0 <= self.indices[0] < self.indices[1]:
                return f"mask range must be [begin, end) with 0 <= begin < end, got {list(self.indices)}"
            return None
        if not self.indices or self.indices[0] < 0:
            return "mask list needs at least one channel, and none below zero"
        if any(a >= b for a, b in zip(self.indices, self.indices[1:], strict=False)):
            return f"mask list must be strictly increasing, got {list(self.indices)}"
        return None

    def problem_for(self, shape: Sequence[int], dimensions: Sequence[str]) -> str | None:
        """What is wrong with the mask for a tensor of ``shape`` with named ``dimensions``, or None."""
        if (own := self.problem()) is not None or not self.is_sliced:
            return own
        if self.dimension not in dimensions:
            return f"mask names dimension '{self.dimension}', the tensor has {list(dimensions)}"
        size = shape[self.axis(dimensions)]
        last = self.indices[1] if self.kind is MaskKind.RANGE else self.indices[-1] + 1
        if last > size:
            return f"mask reaches channel {last - 1} of '{self.dimension}', which has {size}"
        return None


def mask_of(op: Any) -> Mask:
    """The mask of ``op``, for verifiers; raises ``Malformed`` if it is none or contradicts itself."""
    attribute = op.operation.attributes["mask"]
    if not isinstance(attribute, MaskAttr):
        raise Malformed(f"mask must be a #sparsebp.mask, got {shown(attribute)}")
    kind, dimension, indices = attribute.params
    try:
        ir.DenseI64ArrayAttr(indices)
    except ValueError:
        raise Malformed(f"mask indices must be array<i64: ...>, got {shown(indices)}") from None
    if text(ir.StringAttr(kind)) not in list(MaskKind):
        raise Malformed(f"mask kind must be one of {', '.join(MaskKind)}, got {kind}")
    text(ir.StringAttr(dimension))
    mask = Mask.from_attr(attribute)
    if (problem := mask.problem()) is not None:
        raise Malformed(problem)
    return mask
