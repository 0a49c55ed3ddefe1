# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How ATen operations are expressed before they are imported into MLIR.

The table starts from torch-mlir's and replaces what it would lower wrongly or slowly: norms
(``var_mean`` accumulates in f64 there), the negative log-likelihood loss (gather and scatter) and
everything random (see ``draws``).
"""

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
        }
    )
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
    var, mean = _moments(x, dims, 1 if correction is None else correction)
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
    total = _weighted(chosen.to(x.dtype), weight, axis).sum()
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
    return _weighted(chosen.to(x.dtype) * scale, weight, axis)


def _addmm(bias: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    product = torch.mm(a, b)
    product = product if alpha == 1 else alpha * product
    return product + (bias if beta == 1 else beta * bias)
