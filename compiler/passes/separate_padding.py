# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-separate-padding``: keep what is padded out of the kernels that pad it."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.conversions.builder import BARRIER, LinalgBuilder
from pock.compiler.torch_ir import defining_op, functions

from .base import Pass


@dataclass(frozen=True)
class SeparatePadding(Pass):
    """Put a barrier in front of each ``tensor.pad`` that puts elements before others.

    IREE copies conversions from narrower types, choices by truth values among them, into the kernels that
    use their results. Of a kernel that computes and then pads, its CPU compiler stores the results as if
    nothing were put before them: one row too high, where the padding then overwrites them. ::

        %y = linalg.generic {...} ins(%pixels : tensor<2x8x8x3xi8>) ... -> tensor<2x8x8x3xf32>
        %padded = tensor.pad %y low[0, 1, 1, 0] high[0, 1, 1, 0] ...

    becomes::

        %y = linalg.generic {...} ins(%pixels : tensor<2x8x8x3xi8>) ... -> tensor<2x8x8x3xf32>
        %apart = "iree_tensor_ext.compute_barrier.start"(%y) : (tensor<2x8x8x3xf32>) -> tensor<2x8x8x3xf32>
        %padded = tensor.pad %apart low[0, 1, 1, 0] high[0, 1, 1, 0] ...

    A kernel may still pad and then compute.
    """

    name: ClassVar[str] = "sparsebp-separate-padding"

    def apply(self, module: ir.Module) -> None:
        found: list[Any] = []

        def visit(op: Any) -> ir.WalkResult:
            if op.operation.name == "tensor.pad" and _shifts(op.operation):
                found.append(op.operation)
            return ir.WalkResult.ADVANCE

        for function in functions(module).values():
            function.operation.walk(visit)
        for pad in found:
            source = pad.operands[0]
            maker = defining_op(source)
            if maker is not None and maker.operation.name != BARRIER:
                pad.operands[0] = LinalgBuilder(pad).barrier(source)


def _shifts(pad: Any) -> bool:
    """Whether elements are elsewhere in the result than in the source, or may be."""
    return any(ir.DenseI64ArrayAttr(pad.attributes["static_low"]))
