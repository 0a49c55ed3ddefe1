# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.select_channels``."""

from typing import Any

import numpy as np
from torch_mlir import ir
from torch_mlir.dialects import tensor

from pock.dialects.sparsebp.mask import Mask, MaskKind
from pock.dialects.types import shape_of

from .builder import LinalgBuilder, element, loop_index, to_index


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """A slice for a range of channels, a gather for a list."""
    mask = Mask.from_attr(op.operation.attributes["mask"])
    axis = ir.IntegerAttr(op.operation.attributes["axis"]).value
    result, x = shape_of(op.operation.results[0].type), b.operand(op, 0)
    if mask.kind is MaskKind.RANGE:
        offsets = [mask.indices[0] if i == axis else 0 for i in range(len(result))]
        return b.slice(x, offsets, result)

    def gather(channel: ir.Value, _: ir.Value) -> ir.Value:
        at = [loop_index(i) for i in range(len(result))]
        at[axis] = to_index(channel)
        return tensor.extract(x, at)

    names = [f"d{i}" for i in range(len(result))]
    channels = b.dense(np.array(mask.indices, np.int32))
    spec = f"{names[axis]} -> {' '.join(names)}"
    return b.generic(spec, [channels], [b.empty(result, element(x))], gather)
