# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-convert-to-linalg``."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.conversions import get_conversion
from pock.compiler.conversions.builder import LinalgBuilder
from pock.compiler.torch_ir import functions, operations

from .base import Pass, fail_at


@dataclass(frozen=True)
class ConvertToLinalg(Pass):
    """Lower the gradient ops, and what torch-mlir lowers wrongly or slowly, to linalg on tensors.

    Converted operations stand between ``torch_c`` casts; torch-mlir's own pipeline lowers what is
    around them::

        %w = "sparsebp.conv_weight_grad"(%g, %x) {channels_last, ...} : (...) -> !torch.vtensor<[8,3,3,3],f32>

    becomes::

        %0 = torch_c.to_builtin_tensor %g : ... -> tensor<2x16x16x8xf32>
        %1 = torch_c.to_builtin_tensor %x : ... -> tensor<2x16x16x3xf32>
        %2 = tensor.pad %1 low[0, 1, 1, 0] high[0, 2, 1, 0] ...
        %3 = linalg.generic ...
        %w = torch_c.from_builtin_tensor %3 : ... -> !torch.vtensor<[8,3,3,3],f32>

    Convolutions and pools are computed with channels last; those without ``channels_last`` are transposed
    around it. Sums of f16 and bf16 values accumulate in f32. No operation is lowered to atomics or to a
    scatter. Matrices of which products read copies are copied into panels of ``panel`` columns, unless
    that is 0. Convolutions with 3 x 3 taps, stride 1 and at least ``winograd`` tiles of 2 x 2 outputs, or a
    quarter of that if their filter never changes, take four ninths of the multiplications
    (``conversions/winograd.py``), unless that is 0.
    """

    name: ClassVar[str] = "sparsebp-convert-to-linalg"

    panel: int = 0
    winograd: int = 0

    def apply(self, module: ir.Module) -> None:
        for name, unit in (("panel", "columns"), ("winograd", "tiles")):
            if (value := getattr(self, name)) < 0:
                raise fail_at(module.operation, f"{name} = {value}: expected 0 or more {unit}")
        for function in functions(module).values():
            for op in operations(function):
                self._convert(op)

    def _convert(self, op: Any) -> None:
        conversion = get_conversion(op.operation.name)
        if conversion is None:
            return
        builder = LinalgBuilder(op, self.panel, self.winograd)
        value = conversion(op, builder)
        if value is not None:
            result = op.operation.results[0]
            result.replace_all_uses_with(builder.torch_value(value, result.type))
            op.operation.erase()
