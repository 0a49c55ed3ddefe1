# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The peers' graph as a PyTorch function, and its training step; what PyTorch's contestants share."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx

from pock.benchmarks.graph import Graph, Ref

from .base import Step, Work, momentum_of

Function = Callable[..., Tensor]


def function_of(graph: Graph) -> fx.GraphModule:
    """The loss as straight-line Python over PyTorch's functions.

    Its arguments are those of ``graph.arrays`` and then ``graph.inputs``, in order. That is
    faster than the module it comes from, by the calls of its submodules.
    """
    traced = fx.Graph()
    names = [*graph.arrays, *graph.inputs]
    values: dict[str, fx.Node] = {name: traced.placeholder(f"v{i}") for i, name in enumerate(names)}
    for node in graph.nodes:
        arguments = {key: _of(value, values) for key, value in node.arguments.items()}
        keywords = {key: arguments.pop(key) for key in node.keywords}
        values[node.name] = traced.call_function(_torch(node.op), tuple(arguments.values()), keywords)
    traced.output(values[graph.nodes[-1].name])
    return fx.GraphModule(torch.nn.Module(), traced)


def _of(value: Any, values: Mapping[str, fx.Node]) -> Any:
    if isinstance(value, Ref):
        return values[value.name]
    return [_of(item, values) for item in value] if isinstance(value, list) else value


def _torch(op: str) -> Callable[..., Any]:
    """The function of an ATen operation that costs least to call."""
    if op == "getitem":
        return operator.getitem
    for owner in (torch._C._nn, torch, torch.Tensor):
        function: Callable[..., Any] | None = getattr(owner, op, None)
        if function is not None:
            return function
    return getattr(torch.ops.aten, op)


def step_of(
    graph: Graph, work: Work, layout: torch.memory_format, compile_: Callable[[Function], Function] | None
) -> Step:
    """A training step whose images and filters are laid out as ``layout`` says."""

    def tensor(name: str, array: Any) -> Tensor:
        value = torch.from_numpy(array)
        value = value.contiguous(memory_format=layout) if value.dim() == 4 else value
        return value.clone().requires_grad_(name in graph.trained)

    arrays = {name: tensor(name, array) for name, array in graph.arrays.items()}
    arguments = [*arrays.values(), *(tensor(name, array) for name, array in graph.inputs.items())]
    trained = [arrays[name] for name in graph.trained]
    module: Function = function_of(graph).forward
    function = module if compile_ is None else compile_(module)
    momentum = momentum_of(work.optimizer)
    velocities: list[Tensor] = []

    def step(rate: float) -> float:
        loss = function(*arguments)
        gradients = torch.autograd.grad(loss, trained)
        with torch.no_grad():
            if momentum:
                if not velocities:
                    velocities.extend(torch.clone(g) for g in gradients)
                else:
                    torch._foreach_mul_(velocities, momentum)
                    torch._foreach_add_(velocities, gradients)
            torch._foreach_add_(trained, velocities if momentum else gradients, alpha=-rate)
        return loss.item()

    return step
