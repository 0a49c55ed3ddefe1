# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Learning rates over a training run."""

import math
from dataclasses import dataclass

KINDS = ("constant", "cosine", "linear")


@dataclass(frozen=True)
class Schedule:
    """The learning rate of each step.

    It rises linearly over ``warmup`` steps to ``base`` and then stays (``constant``), or falls to zero at
    step ``total`` along a line (``linear``) or half a cosine (``cosine``; Loshchilov and Hutter, "SGDR",
    2017). ``total`` matters to the last two only.
    """

    base: float
    kind: str = "constant"
    warmup: int = 0
    total: int = 0

    def rate(self, step: int) -> float:
        """The rate of step ``step``, counted from 0."""
        if step < self.warmup:
            return self.base * (step + 1) / self.warmup
        if self.kind == "constant":
            return self.base
        done = min(1.0, (step - self.warmup) / max(1, self.total - self.warmup))
        return self.base * (1.0 - done if self.kind == "linear" else 0.5 * (1.0 + math.cos(math.pi * done)))
