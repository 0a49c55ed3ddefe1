# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How random operations are expressed before they are imported into MLIR.

Everything random becomes ``sparsebp::random_mask`` or ``sparsebp::random_uniform`` and arithmetic: draws
of a counter-based generator whose seed and step are state of the program. Each draw has a stream of its
own, numbered in the order in which the model runs. PyTorch's own generators, also those that a model
passes explicitly, have no part in it: the distributions are PyTorch's, the numbers are not.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten

_library = torch.library.Library("sparsebp", "DEF")
_library.define("random_mask(Tensor like, float probability, int stream) -> Tensor")
_library.define("random_uniform(int[] shape, int stream) -> Tensor")

COMPILED = "dropout, bernoulli, rand, uniform, randn, normal, and randint of at most 2**24 values"
"""The random operations that ``Draws`` decomposes, for errors about others."""

_RESOLUTION = 24  # bits of a uniform number

#: Bits of the significand, so that a number below 1 is not rounded to 1.
_SIGNIFICAND = {torch.float16: 11, torch.bfloat16: 8}


@torch.library.register_fake("sparsebp::random_mask", lib=_library)  # type: ignore[untyped-decorator]
def _random_mask_shape(like: Tensor, probability: float, stream: int) -> Tensor:
    return torch.empty(like.shape, dtype=torch.bool, device=like.device)


@torch.library.register_fake("sparsebp::random_uniform", lib=_library)  # type: ignore[untyped-decorator]
def _random_uniform_shape(shape: Sequence[int], stream: int) -> Tensor:
    return torch.empty(shape, dtype=torch.float32)


class Draws:
    """Decompositions of one trace, whose random streams it numbers."""

    def __init__(self) -> None:
        self._streams = 0

    def table(self) -> dict[Any, Callable[..., Any]]:
        """Operator overload -> its decomposition."""
        return {
            aten.native_dropout.default: self._dropout,
            aten.bernoulli.p: self._bernoulli,
            aten.bernoulli.default: lambda p, **_: self._bernoulli_of(p, p),
            aten.bernoulli.Tensor: lambda x, p, **_: self._bernoulli_of(x, p),
            aten.rand.default: lambda size, *, dtype=None, **_: self._uniform(size, dtype),
            aten.rand_like.default: lambda x, *, dtype=None, **_: self._uniform(x.shape, dtype or x.dtype),
            aten.uniform.default: self._uniform_between,
            aten.randn.default: lambda size, *, dtype=None, **_: self._normal(size, dtype),
            aten.randn_like.default: lambda x, *, dtype=None, **_: self._normal(x.shape, dtype or x.dtype),
            aten.normal_functional.default: self._normal_like,
            aten.normal.float_float: lambda mean, std, size, *, dtype=None, **_: (
                self._normal(size, dtype) * std + mean
            ),
            aten.normal.float_Tensor: self._normal_around,
            aten.normal.Tensor_float: self._normal_around,
            aten.normal.Tensor_Tensor: self._normal_around,
            aten.randint.default: lambda high, size, **k: self._integers(0, high, size, **k),
            aten.randint.low: self._integers,
            aten.randint_like.default: lambda x, high, **k: self._integers_like(x, 0, high, **k),
            aten.randint_like.low_dtype: self._integers_like,
        }

    def _stream(self) -> int:
        self._streams += 1
        return self._streams - 1

    # Bits.

    def _mask(self, like: Tensor, probability: float) -> Tensor:
        mask: Tensor = torch.ops.sparsebp.random_mask(like, probability, self._stream())
        return mask

    def _dropout(self, x: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
        if train is False or p == 0:
            return x, torch.ones_like(x, dtype=torch.bool)
        if p == 1:
            return torch.zeros_like(x), torch.zeros_like(x, dtype=torch.bool)
        mask = self._mask(x, 1.0 - p)
        return x * mask.to(x.dtype) * (1.0 / (1.0 - p)), mask

    def _bernoulli(self, x: Tensor, p: float = 0.5, generator: Any = None) -> Tensor:
        return self._mask(x, p).to(x.dtype)

    def _bernoulli_of(self, like: Tensor, p: Tensor) -> Tensor:
        return (self._unit(like.shape) < p).to(like.dtype)

    # Numbers.

    def _unit(self, shape: Sequence[int]) -> Tensor:
        """f32 in [0, 1)."""
        numbers: Tensor = torch.ops.sparsebp.random_uniform(list(shape), self._stream())
        return numbers

    def _uniform(self, shape: Sequence[int], dtype: torch.dtype | None) -> Tensor:
        dtype, numbers = dtype or torch.get_default_dtype(), self._unit(shape)
        if dtype in _SIGNIFICAND:
            steps = 2.0 ** _SIGNIFICAND[dtype]
            numbers = torch.floor(numbers * steps) * (1 / steps)
        return numbers.to(dtype)

    def _uniform_between(
        self, x: Tensor, low: float = 0.0, high: float = 1.0, generator: Any = None
    ) -> Tensor:
        return self._uniform(x.shape, x.dtype) * (high - low) + low

    def _normal(self, shape: Sequence[int], dtype: torch.dtype | None) -> Tensor:
        """The transform of Box and Muller (1958) of two uniform draws."""
        radius = torch.sqrt(torch.log(1 - self._unit(shape)) * -2)
        return (radius * torch.cos(self._unit(shape) * (2 * math.pi))).to(dtype or torch.get_default_dtype())

    def _normal_like(self, x: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
        return self._normal(x.shape, x.dtype) * std + mean

    def _normal_around(
        self, mean: Tensor | float, std: Tensor | float = 1.0, generator: Any = None
    ) -> Tensor:
        tensors = [t for t in (mean, std) if isinstance(t, Tensor)]
        shape = torch.broadcast_shapes(*(t.shape for t in tensors))
        return self._normal(shape, tensors[0].dtype) * std + mean

    def _integers(
        self, low: int, high: int, size: Sequence[int], *, dtype: torch.dtype | None = None, **_: Any
    ) -> Any:
        count = high - low
        if count > 2**_RESOLUTION:
            return NotImplemented  # some would never be drawn; the tracer keeps the operation
        # Exact: below 2²⁴ a multiple of 2⁻²⁴ times an integer is never rounded up to that integer.
        return torch.floor(self._unit(size) * count).to(dtype or torch.int64) + low

    def _integers_like(
        self, x: Tensor, low: int, high: int, *, dtype: torch.dtype | None = None, **_: Any
    ) -> Any:
        return self._integers(low, high, x.shape, dtype=dtype or x.dtype)
