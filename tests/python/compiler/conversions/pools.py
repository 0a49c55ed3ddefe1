# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Cases of pooling, forward and backward, and strategies that draw their shapes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st

from .harness import Case, i64s, last, vtensor


@dataclass(frozen=True)
class Pool:
    """A pooling window over ``size``, one entry a spatial dimension.

    With ``channels_last`` it is computed by the operations of the dialect, else by PyTorch's.
    """

    batch: int
    channels: int
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil: bool = False
    include_pad: bool = True
    divisor: int | None = None
    channels_last: bool = False

    def valid(self) -> bool:
        """Whether PyTorch computes it: padding is at most half a window, and a window fits.

        ``avg_pool3d`` wants it to fit without padding. Where all taps of a dilated window are in padding,
        PyTorch's max pooling gives an index outside the input.
        """
        if len(self.size) == 3 and any(n < k for n, k in zip(self.size, self.kernel, strict=True)):
            return False
        if any(
            d > 1 and p > 0 and n < d for n, p, d in zip(self.size, self.padding, self.dilation, strict=True)
        ):
            return False
        return all(
            2 * p <= k and n + 2 * p >= d * (k - 1) + 1
            for n, k, p, d in zip(self.size, self.kernel, self.padding, self.dilation, strict=True)
        )


@st.composite
def pools(draw: Any, dilated: bool) -> Pool:
    """Overlapping and separate windows, padded, dilated, with and without ceil_mode, in 2-3 dimensions."""
    rank = draw(st.sampled_from([2, 2, 2, 3]))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    return Pool(
        batch=draw(st.integers(1, 2)),
        channels=draw(st.integers(1, 5)),
        size=each(1, 12 if rank == 2 else 6),
        kernel=each(1, 4),
        stride=each(1, 3),
        padding=each(0, 2),
        dilation=each(1, 2) if dilated else (1,) * rank,
        ceil=draw(st.booleans()),
        include_pad=draw(st.booleans()),
        divisor=draw(st.sampled_from([None, None, 3])),
    )


def max_pool_case(
    pool: Pool, seed: int = 0, few_values: bool = False, dtype: torch.dtype = torch.float32
) -> Case:
    """Maximum and gradient; ``few_values`` makes many maxima equal."""
    generator = torch.Generator().manual_seed(seed)
    shape = (pool.batch, pool.channels, *pool.size)
    x = torch.randn(shape, generator=generator).to(dtype)
    if few_values:
        x = torch.randint(0, 2, shape, generator=generator).to(dtype)
    name = f"max_pool{len(pool.size)}d_with_indices"
    window = (pool.kernel, pool.stride, pool.padding, pool.dilation, pool.ceil)
    y, indices = getattr(torch.ops.aten, name)(x, *window)
    grad = torch.randn(y.shape, generator=generator).to(dtype)
    arguments = (grad.double(), x.double(), *window, indices)
    dx = getattr(torch.ops.aten, f"{name}_backward")(*arguments)
    bound = getattr(torch.ops.aten, f"{name}_backward")(arguments[0].abs(), *arguments[1:])
    if pool.channels_last:
        return _max_pool_channels_last(pool, *map(last, (x, y, grad, dx.to(dtype), bound)))
    built = Case([x, grad], note=f"max_pool {pool}")
    lists = ", ".join(built.ints(v) for v in window[:4]) + ", " + built.bool(pool.ceil)
    types = ", ".join(["!torch.list<int>"] * 4 + ["!torch.bool"])
    built.body.append(
        f"%p:2 = torch.aten.{name} %a0, {lists} : {vtensor(x)}, {types} -> {vtensor(y)}, {vtensor(indices)}"
    )
    backward = built.value(
        f"torch.aten.{name}_backward %a1, %a0, {lists}, %p#1 : {vtensor(grad)}, {vtensor(x)}, {types}, "
        f"{vtensor(indices)} -> {vtensor(x)}"
    )
    built.returns("%p#0", y)
    built.returns(backward, dx.to(dtype), bound)
    return built


def avg_pool_case(pool: Pool, seed: int = 0, dtype: torch.dtype = torch.float32) -> Case:
    """Average and gradient."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((pool.batch, pool.channels, *pool.size), generator=generator).to(dtype)
    name = f"avg_pool{len(pool.size)}d"
    window = (pool.kernel, pool.stride, pool.padding, pool.ceil, pool.include_pad, pool.divisor)
    forward, backward = getattr(torch.ops.aten, name), getattr(torch.ops.aten, f"{name}_backward")
    y = forward(x.double(), *window)
    grad = torch.randn(y.shape, generator=generator).to(dtype)
    y_bound = forward(x.double().abs(), *window)
    dx, bound = (backward(g, x.double(), *window) for g in (grad.double(), grad.double().abs()))
    if pool.channels_last:
        return _avg_pool_channels_last(pool, *map(last, (x, grad, y.to(dtype), y_bound, dx.to(dtype), bound)))
    built = Case([x, grad], note=f"avg_pool {pool}")
    lists = ", ".join(built.ints(v) for v in window[:3])
    lists += f", {built.bool(pool.ceil)}, {built.bool(pool.include_pad)}, "
    lists += built.none() if pool.divisor is None else built.int(pool.divisor)
    divisor = "!torch.none" if pool.divisor is None else "!torch.int"
    types = ", ".join(["!torch.list<int>"] * 3 + ["!torch.bool"] * 2 + [divisor])
    output = vtensor(y.to(dtype))
    average = built.value(f"torch.aten.{name} %a0, {lists} : {vtensor(x)}, {types} -> {output}")
    operator = built.value(
        f'torch.operator "torch.aten.{name}_backward"(%a1, %a0, {lists}) : ({output}, {vtensor(x)}, {types}) '
        f"-> {vtensor(x)}"
    )
    built.returns(average, y.to(dtype), y_bound)
    built.returns(operator, dx.to(dtype), bound)
    return built


def _window(pool: Pool) -> str:
    return f"kernel = {i64s(pool.kernel)}, stride = {i64s(pool.stride)}, padding = {i64s(pool.padding)}"


def _max_pool_channels_last(
    pool: Pool, x: torch.Tensor, y: torch.Tensor, grad: torch.Tensor, dx: torch.Tensor, bound: torch.Tensor
) -> Case:
    """Maximum and gradient. What uses the maximum permutes it, which iree-compile must not fuse: it is one of
    two results of a loop.
    """
    built = Case([x, grad], note=f"max_pool {pool}")
    attributes = f"{{channels_last, {_window(pool)}, dilation = {i64s(pool.dilation)}}}"
    at = vtensor(y.to(torch.int32))
    top = built.value(f'"sparsebp.max_pool"(%a0) {attributes} : ({vtensor(x)}) -> {vtensor(y)}')
    taps = built.value(f'"sparsebp.max_pool_argmax"(%a0) {attributes} : ({vtensor(x)}) -> {at}')
    back = built.value(
        f'"sparsebp.max_pool_grad"(%a1, {taps}) {attributes} : ({vtensor(grad)}, {at}) -> {vtensor(dx)}'
    )
    first = built.ints([0, y.dim() - 1, *range(1, y.dim() - 1)])
    permuted = y.movedim(-1, 1)
    put_first = built.value(
        f"torch.aten.permute {top}, {first} : {vtensor(y)}, !torch.list<int> -> {vtensor(permuted)}"
    )
    built.returns(put_first, permuted.contiguous())
    built.returns(back, dx, bound)
    return built


def _avg_pool_channels_last(
    pool: Pool,
    x: torch.Tensor,
    grad: torch.Tensor,
    y: torch.Tensor,
    y_bound: torch.Tensor,
    dx: torch.Tensor,
    bound: torch.Tensor,
) -> Case:
    built = Case([x, grad], note=f"avg_pool {pool}")
    attributes = (
        f"{{channels_last, {_window(pool)}, count_include_pad = {str(pool.include_pad).lower()}, "
        f"divisor_override = {pool.divisor or 0} : i64}}"
    )
    average = built.value(f'"sparsebp.avg_pool"(%a0) {attributes} : ({vtensor(x)}) -> {vtensor(y)}')
    back = built.value(f'"sparsebp.avg_pool_grad"(%a1) {attributes} : ({vtensor(grad)}) -> {vtensor(x)}')
    built.returns(average, y, y_bound)
    built.returns(back, dx, bound)
    return built


def adaptive_case(batch: int, size: Sequence[int], out: Sequence[int], seed: int = 0) -> Case:
    """Adaptive average pooling and its gradient; sizes need not divide."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((batch, 3, *size), generator=generator)
    grad = torch.randn((batch, 3, *out), generator=generator)
    name = f"_adaptive_avg_pool{len(size)}d"
    built = Case([x, grad], note=f"{name} {size} -> {out}")
    pooled = built.value(
        f"torch.aten.{name} %a0, {built.ints(out)} : {vtensor(x)}, !torch.list<int> -> {vtensor(grad)}"
    )
    back = built.value(f"torch.aten.{name}_backward %a1, %a0 : {vtensor(grad)}, {vtensor(x)} -> {vtensor(x)}")
    forward, backward = getattr(torch.ops.aten, name), getattr(torch.ops.aten, f"{name}_backward")
    built.returns(pooled, forward(x, out), forward(x.abs(), out))
    built.returns(back, backward(grad, x), backward(grad.abs(), x))
    return built
