# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reading and building ``!torch.vtensor`` types.

torch-mlir registers no Python class for its types, so their textual form, which is stable and
canonical, is the interface.
"""

import re
from collections.abc import Sequence
from math import prod

from torch_mlir import ir

#: element types of the tensors that programs may hold
ELEMENTS = ("i1", "si8", "si16", "si32", "si64", "ui8", "f16", "bf16", "f32", "f64")

_VTENSOR = re.compile(rf"!torch\.vtensor<\[([0-9,?]*)\],({'|'.join(ELEMENTS)})>")

#: element type of a torch tensor -> the signless builtin element type of its value in linalg
BUILTIN_ELEMENT = {"si64": "i64", "si32": "i32", "si16": "i16", "si8": "i8", "ui8": "i8"}


class NotAStaticTensor(TypeError):
    """The value is no ``!torch.vtensor`` with a static shape and an element type."""


_known: dict[ir.Type, tuple[tuple[int, ...], str] | None] = {}
"""Shape and element type of what types have been read, None of what is no static tensor."""


def forget() -> None:
    """Let go of the contexts of types that have been read."""
    _known.clear()


def _read(type_: ir.Type) -> tuple[tuple[int, ...], str] | None:
    try:
        return _known[type_]
    except KeyError:
        # Printing a type takes twenty times as long as finding it.
        match = _VTENSOR.fullmatch(str(type_))
    read = None
    if match is not None and "?" not in match[1]:
        read = tuple(int(d) for d in match[1].split(",") if d), match[2]
    _known[type_] = read
    return read


def _tensor(type_: ir.Type) -> tuple[tuple[int, ...], str]:
    read = _read(type_)
    if read is None:
        raise NotAStaticTensor(f"expected a static !torch.vtensor, got {type_}")
    return read


def is_vtensor(type_: ir.Type) -> bool:
    """Whether ``type_`` is a ``!torch.vtensor`` with static shape and known element type."""
    return _read(type_) is not None


def shape_of(type_: ir.Type) -> tuple[int, ...]:
    """The shape of a static ``!torch.vtensor``; raises ``NotAStaticTensor`` for anything else."""
    return _tensor(type_)[0]


def element_of(type_: ir.Type) -> str:
    """The element type of a ``!torch.vtensor`` as torch spells it: ``f32``, ``si64``, ``i1``, …"""
    return _tensor(type_)[1]


def vtensor(shape: Sequence[int], element: str, context: ir.Context | None = None) -> ir.Type:
    """``!torch.vtensor<[shape],element>``."""
    dims = ",".join(str(d) for d in shape)
    return ir.Type.parse(f"!torch.vtensor<[{dims}],{element}>", context=context)


def bytes_of(type_: ir.Type) -> int:
    """The bytes that a ``!torch.vtensor`` takes; a bit takes one."""
    return prod(shape_of(type_)) * max(builtin_tensor(type_).element_type.width // 8, 1)


def builtin_tensor(type_: ir.Type) -> ir.RankedTensorType:
    """The ranked tensor that holds a ``!torch.vtensor``'s value (integers become signless)."""
    shape, element = _tensor(type_)
    dims = "".join(f"{d}x" for d in shape)
    text = f"tensor<{dims}{BUILTIN_ELEMENT.get(element, element)}>"
    return ir.RankedTensorType(ir.Type.parse(text, context=type_.context))
