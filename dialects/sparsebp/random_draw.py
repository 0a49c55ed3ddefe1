# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the random operations share: a generator's seed, step and stream."""

from typing import Any

from ..types import element_of, shape_of
from .operation import integer


def draw_problem(op: Any) -> str | None:
    """What is wrong with ``seed``, ``step`` and ``stream`` of ``op``, or None."""
    integer(op, "stream", least=0)
    for name, operand in zip(("seed", "step"), op.operation.operands, strict=True):
        if shape_of(operand.type) != () or element_of(operand.type) != "si64":
            return f"{name} must be !torch.vtensor<[],si64>, got {operand.type}"
    return None
