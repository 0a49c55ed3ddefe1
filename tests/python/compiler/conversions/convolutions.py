# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Cases of convolution, forward and backward, and a strategy that draws their shapes."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from hypothesis import strategies as st

from .harness import Case, i64s, last, vtensor


@dataclass(frozen=True)
class Shape:
    """A convolution: ``size``, ``kernel``, … have one entry a spatial dimension.

    With ``channels_last`` it is computed by the operations of the dialect, else by PyTorch's.
    """

    batch: int
    channels: int
    filters: int
    groups: int
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool = False
    output_padding: tuple[int, ...] = (0,)
    bias: bool = True
    channels_last: bool = False

    def valid(self) -> bool:
        """Whether PyTorch computes it: every window fits."""
        if self.transposed:
            extra = all(
                p < max(s, d) for p, s, d in zip(self.output_padding, self.stride, self.dilation, strict=True)
            )
            return extra and all(
                (n - 1) * s - 2 * p + d * (k - 1) + e + 1 >= 1
                for n, k, s, p, d, e in zip(
                    self.size, self.kernel, self.stride, self.padding, self.dilation, self.output_padding,
                    strict=True,
                )
            )  # fmt: skip
        return all(
            n + 2 * p >= d * (k - 1) + 1
            for n, k, p, d in zip(self.size, self.kernel, self.padding, self.dilation, strict=True)
        )


@st.composite
def shapes(draw: Any, transposed: bool = False) -> Shape:
    """Convolutions of every kind: 1-3 dimensions, grouped, depthwise with a multiplier, dilated, strided."""
    rank = draw(st.sampled_from([1, 2, 2, 2, 2, 3]))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    groups = draw(st.sampled_from([1, 1, 2, 3, 6]))
    depthwise = draw(st.booleans())
    return Shape(
        batch=draw(st.integers(1, 3)),
        channels=groups * (1 if depthwise else draw(st.integers(1, 4))),
        filters=groups * draw(st.integers(1, 4)),
        groups=groups,
        size=each(1, 9 if rank < 3 else 5),
        kernel=each(1, 5 if rank < 3 else 3),
        stride=each(1, 3),
        padding=each(0, 3 if rank < 3 else 1),
        dilation=each(1, 3 if rank < 3 else 2),
        transposed=transposed,
        output_padding=each(0, 2) if transposed else (0,),
        bias=draw(st.booleans()),
    )


def with_channels_last(shape: Shape) -> Shape:
    """The same by operations of the dialect, which have no outputs that no window reads."""
    if not shape.transposed:
        return replace(shape, channels_last=True)
    padding = tuple(min(p, s - 1) for p, s in zip(shape.output_padding, shape.stride, strict=True))
    return replace(shape, channels_last=True, output_padding=padding)


def case(shape: Shape, seed: int = 0, dtype: torch.dtype = torch.float32) -> Case:
    """Output, input gradient, weight gradient and bias gradient of one convolution."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=generator).to(dtype)

    if shape.transposed:
        weight = draw(shape.channels, shape.filters // shape.groups, *shape.kernel)
    else:
        weight = draw(shape.filters, shape.channels // shape.groups, *shape.kernel)
    x, bias = draw(shape.batch, shape.channels, *shape.size), draw(shape.filters)
    if shape.channels_last:
        bias = torch.zeros_like(bias)
    y = _forward(shape, x, weight, bias)
    grad = draw(*y.shape)
    inputs = [last(x), weight, bias, last(grad)] if shape.channels_last else [x, weight, bias, grad]
    built = Case(inputs, note=str(shape))
    exact = _gradients(shape, *(t.double() for t in (x, weight, bias, grad)))
    scale = _gradients(shape, *(t.double().abs() for t in (x, weight, bias, grad)))
    if shape.channels_last:
        values = _channels_last(built, shape, last(y))
        exact, scale = (_three_last(results) for results in (exact, scale))
    else:
        values = _body(built, shape, y)
    for name, expected, bound in zip(values, exact, scale, strict=True):
        built.returns(name, expected.to(dtype), bound)
    return built


def _forward(shape: Shape, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return torch.ops.aten.convolution(
        x, weight, bias if shape.bias else None, shape.stride, shape.padding, shape.dilation,
        shape.transposed, shape.output_padding, shape.groups,
    )  # fmt: skip


def _gradients(
    shape: Shape, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, grad: torch.Tensor
) -> list[torch.Tensor]:
    """The output, and its gradients with respect to input, weight and bias."""
    x, weight, bias = (t.clone().requires_grad_() for t in (x, weight, bias))
    y = _forward(shape, x, weight, bias)
    gradients = torch.autograd.grad(y, [x, weight], grad)
    dims = [0, *range(2, grad.dim())]
    return [y.detach(), *gradients, grad.sum(dims)]


def _three_last(results: list[torch.Tensor]) -> list[torch.Tensor]:
    """Of ``_gradients``, what the operations with ``channels_last`` compute."""
    y, dx, dw, _ = results
    return [last(y), last(dx), dw]


def _channels_last(built: Case, shape: Shape, y: torch.Tensor) -> list[str]:
    """Output, input gradient and weight gradient; a transposed convolution is an input gradient itself."""
    x, weight, _, grad = built.inputs
    attributes = (
        f"{{channels_last, dilation = {i64s(shape.dilation)}, groups = {shape.groups} : i64, "
        f"padding = {i64s(shape.padding)}, stride = {i64s(shape.stride)}}}"
    )

    def operation(name: str, operands: str, a: torch.Tensor, b: torch.Tensor, result: torch.Tensor) -> str:
        types = f"({vtensor(a)}, {vtensor(b)}) -> {vtensor(result)}"
        return built.value(f'"sparsebp.{name}"({operands}) {attributes} : {types}')

    forward, backward = "convolution", "conv_input_grad"
    if shape.transposed:
        forward, backward = backward, forward
    images, of = ((x, grad), "%a0, %a3") if shape.transposed else ((grad, x), "%a3, %a0")
    return [
        operation(forward, "%a0, %a1", x, weight, y),
        operation(backward, "%a3, %a1", grad, weight, x),
        operation("conv_weight_grad", of, *images, weight),
    ]


def _body(built: Case, shape: Shape, y: torch.Tensor) -> list[str]:
    x, weight, bias, grad = built.inputs
    window = [built.ints(v) for v in (shape.stride, shape.padding, shape.dilation)]
    tail = [built.bool(shape.transposed), built.ints(shape.output_padding), built.int(shape.groups)]
    lists = "!torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int"
    third, third_type = ("%a2", vtensor(bias)) if shape.bias else (built.none(), "!torch.none")
    forward = built.value(
        f"torch.aten.convolution %a0, %a1, {third}, {', '.join(window + tail)} : "
        f"{vtensor(x)}, {vtensor(weight)}, {third_type}, {lists} -> {vtensor(y)}"
    )
    sizes, mask = built.ints([shape.filters]), built.bools([True, True, True])
    operands = ", ".join(["%a3, %a0, %a1", sizes, *window, *tail, mask])
    built.body.append(
        f"%g:3 = torch.aten.convolution_backward {operands} : "
        f"{vtensor(grad)}, {vtensor(x)}, {vtensor(weight)}, !torch.list<int>, {lists}, !torch.list<bool> -> "
        f"{vtensor(x)}, {vtensor(weight)}, {vtensor(bias)}"
    )
    return [forward, "%g#0", "%g#1", "%g#2"]
