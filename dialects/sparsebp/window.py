# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The sliding-window attributes that convolution and pooling operations share, and their checks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch_mlir import ir

NAMES = ("kernel", "stride", "padding", "dilation")


@dataclass(frozen=True)
class Window:
    """A window over the spatial dimensions of an ``[N, C, *spatial]`` tensor, one entry a dimension.

    ``padding`` is symmetric, as PyTorch's is.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @staticmethod
    def of(op: Any, kernel: Sequence[int] | None = None) -> "Window":
        """The window in ``op``'s attributes; ``kernel`` where the operation has it in a shape."""
        attributes = op.operation.attributes

        def ints(name: str) -> tuple[int, ...]:
            return tuple(ir.DenseI64ArrayAttr(attributes[name]))

        return Window(
            tuple(kernel) if kernel is not None else ints("kernel"),
            ints("stride"),
            ints("padding"),
            ints("dilation"),
        )

    def output_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """Output positions over an input of spatial ``size``, rounded down as a convolution's."""
        return tuple(
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        )

    def problem(self, rank: int) -> str | None:
        """What is wrong with the window over ``rank`` spatial dimensions, or None."""
        for name in NAMES:
            values, least = getattr(self, name), 0 if name == "padding" else 1
            if len(values) != rank or any(v < least for v in values):
                return f"{name} must be {rank} integers of at least {least}, got {list(values)}"
        return None


def convolution_problem(
    window: Window, groups: int, source: Sequence[int], weight: Sequence[int], result: Sequence[int]
) -> str | None:
    """What is wrong with ``result = convolution(source, weight)``'s shapes, or None.

    Shapes are ``source [N, C, *in]``, ``weight [F, C / groups, *kernel]``, ``result [N, F, *out]``.
    """
    rank = len(weight) - 2
    if rank < 1 or len(source) != rank + 2 or len(result) != rank + 2:
        return f"ranks differ: input {list(source)}, weight {list(weight)}, output {list(result)}"
    if (problem := window.problem(rank)) is not None:
        return problem
    if groups < 1 or source[1] != weight[1] * groups or weight[0] % groups:
        return f"{groups} groups do not fit input {list(source)} and weight {list(weight)}"
    expected = (source[0], weight[0], *window.output_size(source[2:]))
    if tuple(result) != expected:
        return f"output of the forward convolution must be {list(expected)}, got {list(result)}"
    return None
