# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The sliding-window attributes that convolution and pooling operations share, and their checks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .operation import integers

NAMES = ("kernel", "stride", "padding", "dilation")

PADDING_HIGH = "padding_high"
"""The attribute with the padding behind the input of a convolution, where it is not that before it."""


@dataclass(frozen=True)
class Window:
    """A window over the spatial dimensions of an ``[N, C, *spatial]`` tensor, one entry a dimension.

    ``padding`` is that before the input, and without ``padding_high`` that behind it too, as PyTorch's is.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    padding_high: tuple[int, ...] | None = None

    @staticmethod
    def of(op: Any, kernel: Sequence[int] | None = None) -> "Window":
        """The window in ``op``'s attributes; ``kernel`` where the operation has it in a shape."""
        return Window(
            tuple(kernel) if kernel is not None else integers(op, "kernel"),
            integers(op, "stride"),
            integers(op, "padding"),
            integers(op, "dilation"),
            integers(op, PADDING_HIGH) if PADDING_HIGH in op.operation.attributes else None,
        )

    @property
    def high(self) -> tuple[int, ...]:
        """The padding behind the input."""
        return self.padding if self.padding_high is None else self.padding_high

    def output_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """Output positions over an input of spatial ``size``, rounded down as a convolution's."""
        return tuple(room // s + 1 for room, s in zip(self._room(size), self.stride, strict=True))

    def ceil_output_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """Output positions as PyTorch's pooling with ``ceil_mode`` has them.

        Rounded up, but the last window begins inside the input or its padding before it.
        """
        shapes = zip(size, self._room(size), self.stride, self.padding, strict=True)
        return tuple(
            least + 1 if room % s and least * s < n + p else least
            for least, (n, room, s, p) in zip(self.output_size(size), shapes, strict=True)
        )

    def _room(self, size: Sequence[int]) -> list[int]:
        """Positions behind the first at which a window begins, at a stride of 1."""
        return [
            low + n + high - d * (k - 1) - 1
            for n, k, low, high, d in zip(
                size, self.kernel, self.padding, self.high, self.dilation, strict=True
            )
        ]

    def problem(self, rank: int) -> str | None:
        """What is wrong with the window over ``rank`` spatial dimensions, or None."""
        for name in (*NAMES, *([PADDING_HIGH] if self.padding_high is not None else [])):
            values, least = getattr(self, name), 0 if name.startswith("padding") else 1
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


def pooling_problem(window: Window, source: Sequence[int], result: Sequence[int]) -> str | None:
    """What is wrong with the shapes of pooling ``source [N, C, *in]`` to ``result [N, C, *out]``, or None."""
    if len(source) < 3 or len(result) != len(source) or source[:2] != result[:2]:
        return f"pools the spatial dimensions of [N, C, ...], not {list(source)} to {list(result)}"
    if window.padding_high is not None:
        return f"pooling pads both ends alike: it has no {PADDING_HIGH}"
    if (problem := window.problem(len(source) - 2)) is not None:
        return problem
    floor, ceil = window.output_size(source[2:]), window.ceil_output_size(source[2:])
    for got, sizes in zip(result[2:], zip(floor, ceil, strict=True), strict=True):
        if got not in sizes:
            possible = f"{list(floor)}{f' to {list(ceil)}' if ceil != floor else ''}"
            return f"pools {list(source[2:])} to {possible}, not to {list(result[2:])}"
    return None
