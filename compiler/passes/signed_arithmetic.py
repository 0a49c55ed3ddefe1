# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-signed-arithmetic``: compute with unsigned bytes in signed integers."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.torch_ir import DTYPE_CODE, TorchBuilder, functions, operations
from pock.dialects.types import element_of, is_vtensor, shape_of, vtensor

from .base import Pass

#: Operations that do not compute, and those that torch-mlir lowers rightly for bytes.
_UNCHANGED = {
    f"torch.{name}"
    for name in (
        "aten._to_copy", "aten.clone", "aten.copy", "aten.expand", "aten.index_select", "aten.permute",
        "aten.select.int", "aten.slice.Tensor", "aten.slice_scatter", "aten.squeeze.dim",
        "aten.transpose.int", "aten.unsqueeze", "aten.view", "prims.convert_element_type", "prims.squeeze",
    )
}  # fmt: skip


@dataclass(frozen=True)
class SignedArithmetic(Pass):
    """Convert unsigned bytes to 32-bit integers where something is computed from them, and results back.

    torch-mlir promotes ``ui8`` as if it had a sign, so that pixels above 127 become negative, and
    crashes on its products with numbers. Every value of a byte is one of ``si32``, and the last eight bits
    of sums, products and the like depend on the last eight of the operands only. ::

        %y = torch.aten.div.Scalar %pixels, %int255 : !torch.vtensor<[4],ui8>, ... -> !torch.vtensor<[4],f32>

    becomes::

        %wide = torch.prims.convert_element_type %pixels, %int3 : ... -> !torch.vtensor<[4],si32>
        %y = torch.aten.div.Scalar %wide, %int255 : !torch.vtensor<[4],si32>, ... -> !torch.vtensor<[4],f32>
    """

    name: ClassVar[str] = "sparsebp-signed-arithmetic"

    def apply(self, module: ir.Module) -> None:
        for function in functions(module).values():
            for op, following in pairwise(operations(function)):
                operation = op.operation
                if (
                    operation.name.startswith("torch.")
                    and operation.name not in _UNCHANGED
                    and any(_is_unsigned(value) for value in operation.operands)
                ):
                    _widen_operands(operation)
                    _narrow_results(operation, following)


def _is_unsigned(value: ir.Value) -> bool:
    return is_vtensor(value.type) and element_of(value.type) == "ui8"


def _widen_operands(op: Any) -> None:
    builder = TorchBuilder(op)
    for i, value in enumerate(op.operands):
        if _is_unsigned(value):
            op.operands[i] = _converted(builder, value, "si32")


def _narrow_results(op: Any, following: Any) -> None:
    """Let ``op`` make wide results, and convert them in front of the operation that follows it."""
    builder = TorchBuilder(following, op.location)
    for result in op.results:
        if _is_unsigned(result):
            uses = list(result.uses)
            result.set_type(vtensor(shape_of(result.type), "si32"))
            narrow = _converted(builder, result, "ui8")
            for use in uses:
                use.owner.operation.operands[use.operand_number] = narrow


def _converted(builder: TorchBuilder, value: ir.Value, element: str) -> ir.Value:
    code = builder.int(DTYPE_CODE[element])
    type_ = vtensor(shape_of(value.type), element)
    converted: ir.Value = builder.create("torch.prims.convert_element_type", [value, code], [type_])
    return converted
