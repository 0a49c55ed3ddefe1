# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""PyTorch as the reference: the same steps with the same batches, masks and random bits."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pock.compiler.frontend.modes import training_mode
from pock.compiler.frontend.task import TrainingTask
from pock.dialects.sparsebp import Mask
from tests.philox import random_mask, random_uniform

Batch = tuple[Sequence[Tensor], Sequence[Tensor]]


@dataclass
class Trained:
    """What training leaves: a loss for each step, and every parameter and buffer by name."""

    losses: list[float]
    tensors: dict[str, np.ndarray]


class _Draws(TorchFunctionMode):
    """Dropout and ``torch.rand`` with what a compiled program draws in the step ``step``."""

    def __init__(self, seed: int, step: int) -> None:
        super().__init__()
        self.seed, self.step, self.stream = seed, step, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.nn.functional.dropout:
            return self._dropout(*args, **kwargs)
        if func is torch.rand:
            size = args[0] if isinstance(args[0], Sequence) else args
            return torch.from_numpy(random_uniform(self.seed, self.step, self._next(), tuple(size)))
        return func(*args, **kwargs)

    def _dropout(self, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or p == 0:
            return x
        bits = random_mask(self.seed, self.step, self._next(), 1 - p, tuple(x.shape))
        return x * torch.from_numpy(bits).to(x.dtype) / (1 - p)

    def _next(self) -> int:
        self.stream += 1
        return self.stream - 1


def train(
    task: TrainingTask,
    masks: Mapping[str, tuple[Mask, int]],
    optimizer: Callable[[list[Tensor]], torch.optim.Optimizer],
    batches: Sequence[Batch],
    clip: float | None = None,
    seed: int = 0,
) -> Trained:
    """Train a copy of the task's model. ``masks`` has a mask and its axis for each trained parameter."""
    model = copy.deepcopy(task.model)
    assert isinstance(model, torch.nn.Module)
    full = {name: p.detach().clone() for name, p in model.named_parameters()}
    leaves = {
        name: _part(full[name], *masks[name]).clone().requires_grad_() for name in full if name in masks
    }
    update = optimizer(list(leaves.values()))
    losses = []
    for step, (inputs, targets) in enumerate(batches):
        whole = {
            name: _whole(full[name], leaves[name], *masks[name]) if name in leaves else full[name]
            for name in full
        }
        with training_mode(model, task.batch_norm), _Draws(seed, step):
            outputs = torch.func.functional_call(model, whole, tuple(inputs))
            loss = task.loss(outputs, *targets)
        update.zero_grad()
        loss.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(list(leaves.values()), clip)
        update.step()
        losses.append(float(loss.detach()))
    tensors = {
        name: _whole(full[name], leaves[name], *masks[name]) if name in leaves else full[name]
        for name in full
    }
    tensors |= dict(model.named_buffers())
    return Trained(losses, {name: t.detach().numpy() for name, t in tensors.items()})


def evaluate(
    task: TrainingTask, tensors: Mapping[str, np.ndarray], batch: Batch, seed: int, step: int
) -> tuple[float, list[np.ndarray]]:
    """The loss and the outputs of the task's model with these ``tensors`` in place of its own."""
    model = copy.deepcopy(task.model).eval()
    inputs, targets = batch
    values = {name: torch.from_numpy(value) for name, value in tensors.items()}
    with torch.no_grad(), _Draws(seed, step):
        outputs = torch.func.functional_call(model, values, tuple(inputs), tie_weights=False)
        loss = task.loss(outputs, *targets)
    found = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    return float(loss), [output.numpy() for output in found]


def _part(tensor: Tensor, mask: Mask, axis: int) -> Tensor:
    return tensor.index_select(axis, torch.tensor(mask.positions())) if mask.is_sliced else tensor


def _whole(full: Tensor, part: Tensor, mask: Mask, axis: int) -> Tensor:
    return full.index_copy(axis, torch.tensor(mask.positions()), part) if mask.is_sliced else part
