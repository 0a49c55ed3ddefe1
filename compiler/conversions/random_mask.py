# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.random_mask``: random words compared with the probability."""

import math
from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import arith

from .builder import LinalgBuilder
from .philox import draw, word


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """Bits that are 1 where the word is below ``probability · 2³²``."""
    threshold = math.ceil(ir.FloatAttr(op.operation.attributes["probability"]).value * 2**32)

    def bit(random: ir.Value) -> ir.Value:
        if threshold == 2**32:
            return arith.constant(b.i1, 1)
        return arith.cmpi(arith.CmpIPredicate.ult, random, word(b, threshold))

    return draw(op, b, b.i1, bit)
