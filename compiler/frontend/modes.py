# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Training and evaluation mode, of modules and of exported graphs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.export import ExportedProgram
from torch.nn.modules.batchnorm import _BatchNorm

from .task import BatchNorm

aten = torch.ops.aten

EXPORTED = "_pock_exported"
"""The submodule that holds an exported program; it is no part of its parameters' names."""

#: operator -> position of its training flag
_FLAGS = {
    aten.batch_norm.default: 5,
    aten.dropout.default: 2,
    aten.feature_dropout.default: 2,
    aten.alpha_dropout.default: 2,
    aten.feature_alpha_dropout.default: 2,
}


@contextmanager
def _mode(model: torch.nn.Module) -> Iterator[None]:
    """Restores each submodule's mode."""
    before = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


@contextmanager
def training_mode(model: torch.nn.Module, batch_norm: BatchNorm) -> Iterator[None]:
    """``model`` in training mode; with ``"frozen"``, batch norm uses its running statistics."""
    with _mode(model):
        model.train()
        if batch_norm == "frozen":
            for module in model.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        yield


@contextmanager
def evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    """``model`` in evaluation mode."""
    with _mode(model):
        model.eval()
        yield


class _GraphModule(torch.nn.Module):
    """An exported program as a module that runs its graph node by node, keeping source lines."""

    def __init__(self, exported: ExportedProgram, train: bool, batch_norm: BatchNorm) -> None:
        super().__init__()
        graph = exported.module(check_guards=False)
        for node in graph.graph.nodes:
            if node.target in _FLAGS:
                flag = train and not (node.target is aten.batch_norm.default and batch_norm == "frozen")
                node.update_arg(_FLAGS[node.target], flag)
        graph.recompile()
        self.add_module(EXPORTED, graph)

    def forward(self, *inputs: torch.Tensor) -> object:
        graph = self.get_submodule(EXPORTED)
        assert isinstance(graph, torch.fx.GraphModule)
        return torch.fx.Interpreter(graph).run(*inputs)


def training_graph(exported: ExportedProgram, batch_norm: BatchNorm) -> torch.nn.Module:
    """An exported program with its batch norms and dropouts in training mode."""
    return _GraphModule(exported, train=True, batch_norm=batch_norm)


def evaluation_graph(exported: ExportedProgram) -> torch.nn.Module:
    """An exported program with its batch norms and dropouts in evaluation mode."""
    return _GraphModule(exported, train=False, batch_norm="frozen")
