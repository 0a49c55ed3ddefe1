# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How ATen operations are expressed before they are imported into MLIR.

The table starts from torch-mlir's and replaces what it would lower wrongly or slowly: norms
(``var_mean`` accumulates in f64 there), the negative log-likelihood loss (gather and scatter) and
everything random (see ``draws``).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_mlir.extras.fx_decomp_util import get_decomposition_table

from .draws import Draws

aten = torch.ops.aten

#: Decomposed by PyTorch into scatters; the compiler has a gradient operation for it.
_KEPT = ("aten::embedding_dense_backward",)


def decompositions() -> dict[Any, Callable[..., Any]]:
    """Operator overload -> its decomposition, for one trace: random streams are numbered as it meets them."""
    table = {op: f for op, f in get_decomposition_table().items() if op.name().split(".")[0] not in _KEPT}
    table.update(
        {
            aten.var_mean.correction: _var_mean,
            aten.var.correction: lambda *a, **k: _var_mean(*a, **k)[0],
            aten.native_layer_norm.default: _layer_norm,
            aten.native_group_norm.default: _group_norm,
            aten._native_batch_norm_legit.default: _batch_norm,
            aten._native_batch_norm_legit.no_stats: _batch_norm_no_stats,
            aten._native_batch_norm_legit_functional.default: _batch_norm_functional,
            aten._native_batch_norm_legit_no_training.default: _batch_norm_frozen,
            aten.nll_loss_forward.default: _nll_loss,
            aten.nll_loss2d_forward.default: _nll_loss,
            aten.nll_loss_backward.default: _nll_loss_backward,
            aten.nll_loss2d_backward.default: _nll_loss_backward,
            aten.addmm.default: _addmm,
            aten._efficientzerotensor.default: torch.zeros,
            aten.acosh.default: _widened(_acosh),
            aten.asinh.default: _widened(_asinh),
            aten.atanh.default: _widened(_atanh),
            aten.sigmoid.default: _sigmoid,
            aten.sinh.default: _widened(_sinh),
            aten.log10.default: _widened(lambda x: torch.log(x) * _LOG10_E),
            aten.elu.default: _elu,
            aten.elu_backward.default: _elu_backward,
            aten.gelu.default: _gelu,
            aten.hardsigmoid.default: lambda x: (x + 3).clamp(0, 6) / 6,
            aten.hardswish_backward.default: _hardswish_backward,
            aten.logaddexp.default: _logaddexp,
            aten.floor_divide.default: _floor_divide,
            aten.div.Tensor_mode: _divide,
        }
    )
    table.update({op: _comparison(op) for op in _COMPARISONS})
    table.update({aten.eq.Tensor: _equal, aten.ne.Tensor: _different})
    table.update(Draws().table())
    return table


def _accumulation(dtype: torch.dtype) -> torch.dtype:
    """Statistics of 16-bit floats are computed in f32, as PyTorch's kernels do."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _moments(x: Tensor, dims: Sequence[int], correction: float = 0) -> tuple[Tensor, Tensor]:
    """Variance and mean over ``dims``, kept as dimensions of size 1, by two passes in x's precision."""
    count = 1
    for d in dims:
        count *= x.shape[d]
    mean = x.sum(list(dims), keepdim=True) / count
    centred = x - mean
    # PyTorch gives nan or inf where the correction leaves no degrees of freedom; so does 0/0 here.
    return (centred * centred).sum(list(dims), keepdim=True) / max(count - correction, 0), mean


def _var_mean(
    x: Tensor, dim: Sequence[int] | None = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    dims = [d % max(x.ndim, 1) for d in dim] if dim else list(range(x.ndim))
    # The mean's rounding error, squared, may be more than the variance: computed about a first mean.
    first = _moments(x, dims)[1]
    var, mean = _moments(x - first, dims, 1 if correction is None else correction)
    mean = mean + first
    if not keepdim:
        shape = [n for i, n in enumerate(x.shape) if i not in dims]
        var, mean = var.view(shape), mean.view(shape)
    return var, mean


def _layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    wide = x.to(_accumulation(x.dtype))
    var, mean = _moments(wide, list(range(x.ndim - len(shape), x.ndim)))
    rstd = torch.rsqrt(var + eps)
    out = (wide - mean) * rstd
    out = out if weight is None else out * weight
    out = out if bias is None else out + bias
    return out.to(x.dtype), mean, rstd


def _group_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, n: int, c: int, hw: int, groups: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    wide = x.to(_accumulation(x.dtype)).reshape(n, groups, -1)
    var, mean = _moments(wide, [2])
    rstd = torch.rsqrt(var + eps)
    out = ((wide - mean) * rstd).view(x.shape)
    per_channel = [1, c, *(1 for _ in x.shape[2:])]
    out = out if weight is None else out * weight.view(per_channel)
    out = out if bias is None else out + bias.view(per_channel)
    return out.to(x.dtype), mean.view(n, groups), rstd.view(n, groups)


def _channels(statistic: Tensor, x: Tensor) -> Tensor:
    """A per-channel vector shaped to broadcast over ``x [N, C, *spatial]``."""
    return statistic.view([1, -1, *(1 for _ in x.shape[2:])])


def _batch_norm_frozen(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    scale = torch.rsqrt(var + eps)
    scale = scale if weight is None else scale * weight
    out = (x - _channels(mean, x)) * _channels(scale, x)
    out = out if bias is None else out + _channels(bias, x)
    return out.to(x.dtype), x.new_empty((0,)), x.new_empty((0,))


def _batch_norm_functional(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, ...]:
    if not training:
        assert running_mean is not None and running_var is not None
        frozen = _batch_norm_frozen(x, weight, bias, running_mean, running_var, momentum, eps)
        return (*frozen, running_mean, running_var)
    wide = x.to(_accumulation(x.dtype))
    var, mean = _moments(wide, [0, *range(2, x.ndim)])
    rstd = torch.rsqrt(var + eps)
    out = (wide - mean) * rstd
    out = out if weight is None else out * _channels(weight, x)
    out = out if bias is None else out + _channels(bias, x)
    mean, rstd = mean.view(-1), rstd.view(-1)
    if running_mean is None or running_var is None:
        return out.to(x.dtype), mean, rstd
    count = x.numel() / x.shape[1]
    unbiased = var.view(-1) * (count / (count - 1))
    new_mean = (1 - momentum) * running_mean + momentum * mean
    new_var = (1 - momentum) * running_var + momentum * unbiased
    return out.to(x.dtype), mean, rstd, new_mean, new_var


def _batch_norm_no_stats(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, training: bool, momentum: float, eps: float
) -> tuple[Tensor, ...]:
    return _batch_norm_functional(x, weight, bias, None, None, True, momentum, eps)


def _batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, ...]:
    out, mean, rstd, *statistics = _batch_norm_functional(
        x, weight, bias, running_mean, running_var, training, momentum, eps
    )
    if training:
        running_mean.copy_(statistics[0])
        running_var.copy_(statistics[1])
    return out, mean, rstd


_NONE, _MEAN = 0, 1  # c10's Reduction; 2 is the sum


def _chosen(like: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, int]:
    """``[N, C, …]`` bits that mark each sample's class, none for ignored ones; and C's dimension."""
    axis = 1 if like.ndim > 1 else 0
    shape = [1] * like.ndim
    shape[axis] = like.shape[axis]
    classes = torch.arange(like.shape[axis], dtype=target.dtype, device=target.device).view(shape)
    wanted = target.unsqueeze(axis)
    return (wanted == classes) & (wanted != ignore_index), axis


def _weighted(x: Tensor, weight: Tensor | None, axis: int) -> Tensor:
    """``x`` times the weight of each class, along dimension ``axis``."""
    if weight is None:
        return x
    shape = [1] * x.ndim
    shape[axis] = x.shape[axis]
    return x * weight.view(shape)


def _nll_loss(
    x: Tensor, target: Tensor, weight: Tensor | None, reduction: int, ignore_index: int
) -> tuple[Tensor, Tensor]:
    chosen, axis = _chosen(x, target, ignore_index)
    losses = -torch.where(chosen, _weighted(x, weight, axis), 0.0).sum(axis)
    if reduction == _NONE:
        return losses, x.new_zeros(())
    if weight is None:
        counted = (target != ignore_index) & (target >= 0) & (target < x.shape[axis])
        total = counted.to(x.dtype).sum()
    else:
        # Class by class, then over samples: of a product summed at once IREE makes a contraction to nothing.
        others = [d for d in range(x.ndim) if d != axis]
        counts = chosen.to(x.dtype).sum(others, keepdim=True) if others else chosen.to(x.dtype)
        total = _weighted(counts, weight, axis).sum()
    return (losses.sum() / total if reduction == _MEAN else losses.sum()), total


def _nll_loss_backward(
    grad: Tensor,
    x: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: int,
    ignore_index: int,
    total_weight: Tensor,
) -> Tensor:
    chosen, axis = _chosen(x, target, ignore_index)
    scale = -grad.unsqueeze(axis) if reduction == _NONE else -grad
    if reduction == _MEAN:
        scale = scale / total_weight
    # Not a product: where every sample is ignored, the scale is NaN and the gradient zero.
    return _weighted(torch.where(chosen, scale, 0.0), weight, axis)


def _addmm(bias: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    product = torch.mm(a, b)
    product = product if alpha == 1 else alpha * product
    if beta == 0:
        return product  # whatever the bias is
    return product + (bias if beta == 1 else beta * bias)


# -- elementwise --------------------------------------------------------------------------------
#
# torch-mlir's and PyTorch's own expansions of these lose all digits near zero, overflow, or hide NaN.

_LOG10_E = math.log10(math.e)
_LN_2 = math.log(2)


def _widened(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """``function``, computed in f32 for 16-bit floats, and for integers."""

    def widened(x: Tensor) -> Tensor:
        dtype = x.dtype if x.dtype.is_floating_point else torch.get_default_dtype()
        return function(x.to(_accumulation(dtype))).to(dtype)

    return widened


def _atanh(x: Tensor) -> Tensor:
    return 0.5 * torch.log1p(2 * x / (1 - x))


def _sinh(x: Tensor) -> Tensor:
    half = torch.where(x.abs() > 1, 0.0, torch.expm1(x))
    near = 0.5 * (half + half / (half + 1))
    # exp(x) overflows before its half does.
    root = torch.exp(0.5 * x.abs())
    return torch.where(x.abs() > 1, torch.sign(x) * (0.5 * root * root - 0.5 / root / root), near)


def _asinh(x: Tensor) -> Tensor:
    size = x.abs()
    # Beyond it, 1 is nothing beside the square, which may overflow.
    large = size > 1e4
    small = torch.where(large, 0.0, size)
    square = small * small
    near = torch.log1p(small + square / (1 + torch.sqrt(square + 1)))
    far = torch.log(size) + _LN_2
    value = torch.where(large, far, near)
    return torch.where(x < 0, -value, torch.where(x == 0, x, value))


def _acosh(x: Tensor) -> Tensor:
    large = x > 1e4
    over = torch.where(large, 0.0, x - 1)
    near = torch.log1p(over + torch.sqrt(over * (over + 2)))
    near = torch.where(x < 1, float("nan"), near)
    return torch.where(large, torch.log(x) + _LN_2, near)


def _sigmoid(x: Tensor) -> Any:
    """In f32 for 16-bit floats: its derivative takes it from 1, which leaves a few bits of a rounded one."""
    known = _accumulation(x.dtype) is x.dtype
    return NotImplemented if known else torch.sigmoid(x.to(torch.float32)).to(x.dtype)


def _elu(x: Tensor, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Tensor:
    return torch.where(x > 0, x * scale, torch.expm1(x * input_scale) * (alpha * scale))


def _elu_backward(
    grad: Tensor, alpha: float, scale: float, input_scale: float, is_result: bool, x: Tensor
) -> Tensor:
    if is_result:
        below = grad * input_scale * (x + alpha * scale)
    else:
        below = grad * (input_scale * alpha * scale) * torch.exp(x * input_scale)
    return torch.where(x > 0, grad * scale, below)


def _gelu(x: Tensor, approximate: str = "none") -> Tensor:
    wide = x.to(_accumulation(x.dtype))
    if approximate == "none":
        return (0.5 * wide * (1 + torch.erf(wide * math.sqrt(0.5)))).to(x.dtype)
    inner = math.sqrt(2 / math.pi) * (wide + 0.044715 * wide * wide * wide)
    return (0.5 * wide * (1 + torch.tanh(inner))).to(x.dtype)


def _hardswish_backward(grad: Tensor, x: Tensor) -> Tensor:
    middle = grad * (x / 3 + 0.5)
    return torch.where(x <= -3, 0.0, torch.where(x >= 3, grad, middle))


def _logaddexp(a: Tensor, b: Tensor) -> Tensor:
    apart = torch.maximum(a, b) + torch.log1p(torch.exp(-(a - b).abs()))
    return torch.where(a == b, a + _LN_2, apart)


def _floor_divide(a: Tensor, b: Any) -> Tensor:
    return _divide(a, b, rounding_mode="floor")


def _divide(a: Tensor, b: Any, *, rounding_mode: str | None = None) -> Tensor:
    """The quotient; its floor is that of the exact one, as in Python, which a rounded one may not have."""
    dtype = torch.result_type(a, b)
    if rounding_mode is None:
        return torch.true_divide(a, b)
    if not dtype.is_floating_point:
        return NotImplemented
    if rounding_mode == "trunc":
        return torch.trunc(a / b)
    a = a.to(dtype)
    left = torch.fmod(a, b)
    if isinstance(b, Tensor):
        differ, zero = torch.logical_xor(b < 0, left < 0), b == 0
        rounded = torch.round((a - left) / b - torch.where(differ & (left != 0), 1.0, 0.0).to(dtype))
        return torch.where(zero, a / b, rounded)
    if b == 0:
        return a / b
    below = left < 0 if b > 0 else left > 0
    return torch.round((a - left) / b - torch.where(below, 1.0, 0.0).to(dtype))


# -- comparisons --------------------------------------------------------------------------------
#
# torch-mlir folds comparisons of constants to the wrong truth value where a tensor of floats, bytes or
# truth values meets an integer, crashes where one of integers meets a float, and takes every value to be
# equal to itself, NaN too.

_COMPARISONS = tuple(getattr(aten, name).Scalar for name in ("eq", "ge", "gt", "le", "lt", "ne"))


def _comparison(op: Any) -> Callable[..., Any]:
    """``op`` of a tensor and a number, after what PyTorch's promotion does to them is made explicit."""

    def compared(x: Tensor, number: float) -> Any:
        dtype = torch.result_type(x, number)
        if dtype.is_floating_point:
            known = isinstance(number, float) and x.dtype is dtype
            return NotImplemented if known else op(x.to(dtype), float(number))
        wide = torch.int64 if dtype in (torch.bool, torch.uint8) else dtype
        known = isinstance(number, int) and not isinstance(number, bool) and x.dtype is wide
        whole = int(number) % 256 if dtype is torch.uint8 else int(number)
        return NotImplemented if known else op(x.to(wide), whole)

    return compared


def _equal(a: Tensor, b: Tensor) -> Any:
    return a.abs() <= float("inf") if _is_same_float(a, b) else NotImplemented


def _different(a: Tensor, b: Tensor) -> Any:
    return torch.logical_not(a.abs() <= float("inf")) if _is_same_float(a, b) else NotImplemented


def _is_same_float(a: Tensor, b: Any) -> bool:
    return a is b and a.dtype.is_floating_point
