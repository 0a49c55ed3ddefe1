# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""From a workload in PyTorch to the graph that the peers are made from."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from .errors import Unsupported
from .graph import Array, Graph, Node, Ref
from .workload import Built


class _Loss(nn.Module):
    """A model and its loss as one module."""

    def __init__(self, built: Built) -> None:
        super().__init__()
        self.model = built.model
        self.loss = built.loss

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.loss(self.model(x), y)


def export(built: Built, trained: Sequence[str]) -> Graph:
    """The graph of a workload's loss, of which ``trained`` are the names of the parameters that are updated.

    In-place operations stay: they save PyTorch memory. Raises ``Unsupported``.
    """
    exported = torch.export.export(_Loss(built).eval(), (built.inputs, built.targets))
    signature = exported.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    names |= signature.inputs_to_lifted_tensor_constants
    tensors = {**exported.state_dict, **exported.constants}
    aliases: dict[str, Any] = {}
    nodes = []
    for node in exported.graph.nodes:
        if node.op == "placeholder":
            # The names that users know: those within the model.
            aliases[node.name] = Ref(names.get(node.name, node.name).removeprefix("model."))
        elif node.op == "call_function" and _is_identity(node):
            aliases[node.name] = _argument(node.args[0], aliases)
        elif node.op == "call_function":
            aliases[node.name] = Ref(node.name)
            nodes.append(_node(node, aliases))
    arrays = {aliases[p].name: tensors[n].detach().numpy() for p, n in names.items()}
    return Graph(tuple(nodes), arrays, tuple(trained), batch_of(built))


def batch_of(built: Built) -> dict[str, Array]:
    """A workload's batch under the names of a graph's inputs."""
    return {"x": built.inputs.numpy(), "y": built.targets.numpy()}


def _is_identity(node: fx.Node) -> bool:
    """Whether an operation gives its first argument, at least in evaluation mode."""
    return str(node.target) in ("aten.dropout.default", "aten.alias.default", "aten.detach.default")


def _node(node: fx.Node, aliases: dict[str, Any]) -> Node:
    value = node.meta.get("val")
    shape = tuple(value.shape) if isinstance(value, Tensor) else None
    if node.target.__class__.__name__ == "builtin_function_or_method":
        arguments = dict(zip(("self", "index"), node.args, strict=True))
        return Node(node.name, "getitem", {k: _argument(v, aliases) for k, v in arguments.items()}, (), shape)
    target: Any = node.target
    schema = target._schema.arguments
    given = dict(zip((argument.name for argument in schema), node.args, strict=False)) | node.kwargs
    arguments = {a.name: _argument(given.get(a.name, a.default_value), aliases) for a in schema}
    keywords = tuple(argument.name for argument in schema if argument.kwarg_only)
    return Node(node.name, target._schema.name.removeprefix("aten::"), arguments, keywords, shape)


def _argument(value: Any, aliases: dict[str, Any]) -> Any:
    if isinstance(value, fx.Node):
        return aliases[value.name]
    if isinstance(value, list | tuple):
        return [_argument(item, aliases) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.dtype | torch.device | torch.layout | torch.memory_format):
        raise Unsupported(f"the peers' graph has no arguments of type {type(value).__name__}")
    raise Unsupported(f"the peers' graph has no argument {value!r}")
