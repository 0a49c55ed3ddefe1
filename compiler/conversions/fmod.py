# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``torch.aten.fmod`` of floats."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import arith

from .builder import LinalgBuilder
from .pointwise import is_float, operands, pointwise, result_type


def convert(op: Any, b: LinalgBuilder) -> ir.Value | None:
    """What is left of a division, exactly; torch-mlir multiplies the rounded quotient back."""
    given, element = operands(op, b, [0, 1]), result_type(op).element_type
    if given is None or not is_float(element):
        return None
    return pointwise(op, b, [v for v in given if v is not None], element, lambda x, y: arith.remf(x, y))
