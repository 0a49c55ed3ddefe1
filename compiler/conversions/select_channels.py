# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.select_channels``."""

from typing import Any

import numpy as np
from torch_mlir import ir
from torch_mlir.dialects import tensor

from pock.compiler.analysis.positions import Positions
from pock.dialects.sparsebp.mask import Mask
from pock.dialects.types import shape_of

from .builder import LinalgBuilder, element, loop_index, shape, to_index


def convert(op: Any, b: LinalgBuilder) -> ir.Value:
    """A slice for channels that are adjacent, once or in every so many; else a gather."""
    mask = Mask.from_attr(op.operation.attributes["mask"])
    axis = ir.IntegerAttr(op.operation.attributes["axis"]).value
    result, x = shape_of(op.operation.results[0].type), b.operand(op, 0)
    at = Positions.of([shape(x)[axis]], 0, mask.positions())
    first, count = at.chosen[0], len(at.chosen)
    if at.chosen[-1] - first + 1 == count:
        periods = [at.outer] if at.outer > 1 else []
        split = [[*periods, at.size * at.inner] if i == axis else [n] for i, n in enumerate(shape(x))]
        whole = b.reshape(x, split)
        offsets, along = [0] * len(shape(whole)), axis + len(periods)
        offsets[along] = first * at.inner
        sizes = [*result[:axis], *periods, count * at.inner, *result[axis + 1 :]]
        counts = [1 + len(periods) if i == axis else 1 for i in range(len(result))]
        return b.merge(b.slice(whole, offsets, sizes), counts)

    def gather(channel: ir.Value, _: ir.Value) -> ir.Value:
        at = [loop_index(i) for i in range(len(result))]
        at[axis] = to_index(channel)
        return tensor.extract(x, at)

    names = [f"d{i}" for i in range(len(result))]
    channels = b.dense(np.array(mask.positions(), np.int32))
    spec = f"{names[axis]} -> {' '.join(names)}"
    return b.generic(spec, [channels], [b.empty(result, element(x))], gather)
