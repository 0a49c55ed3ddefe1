# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which layer each operation of a traced graph comes from, as PyTorch has recorded it."""

import re

import torch

from pock.compiler.source import LOSS, MODEL, Part, Source

from .modes import EXPORTED

SOURCE = "pock_source"
"""The key of a node's source in its ``meta``."""

#: The calls of a module after the first are numbered.
_CALL = re.compile(r"@\d+$")


def sources(graph: torch.fx.Graph) -> dict[torch.fx.Node, Source]:
    """The source of every operation of a joint graph, or of a forward graph.

    Where gradients are added up, which no layer does, it is that of the last of them.
    """
    found: dict[torch.fx.Node, Source] = {}
    for node in graph.nodes:
        forward, backward = node.meta.get("nn_module_stack"), node.meta.get("fwd_nn_module_stack")
        if forward:
            found[node] = Source(Part.FORWARD, _layer(forward))
        elif backward:
            found[node] = Source(Part.BACKWARD, _layer(backward))
        elif operands := [found[n] for n in node.all_input_nodes if n in found]:
            is_backward = node.meta.get("partitioner_tag") == "is_backward"
            found[node] = Source(Part.BACKWARD if is_backward else Part.FORWARD, operands[-1].layer)
    return found


def _layer(stack: dict[str, tuple[str, object]]) -> str:
    """The innermost module's path within the model."""
    path = _CALL.sub("", list(stack.values())[-1][0])
    first, _, rest = path.partition(".")
    if first != "model":
        return path or LOSS
    return rest.removeprefix(EXPORTED).removeprefix(".") or MODEL


def layer_of_parameter(name: str) -> str:
    """The path of the module that has the parameter ``name``."""
    return name.rpartition(".")[0] or MODEL
