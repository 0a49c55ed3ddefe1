# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Finding every operation that cannot be compiled before anything is: without a gradient, or random."""

import re
import traceback
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils import _pytree as pytree

from .draws import COMPILED
from .task import TaskError

_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_OWN = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))


def user_frames(stack_trace: str | None) -> list[tuple[str, int, str]]:
    """``(file, line, function)`` of the user's frames in a stack trace, outermost first.

    Frames inside PyTorch and inside pock's compiler are left out, unless nothing else is left.
    """
    frames = [(m[1], int(m[2]), m[3]) for m in _FRAME.finditer(stack_trace or "")]
    return [f for f in frames if is_users(f[0])] or frames


def is_users(filename: str) -> bool:
    """Whether a file is neither PyTorch's nor pock's compiler's."""
    return not filename.startswith(_OWN)


def raised_at(error: BaseException) -> str:
    """``file:line: `` of the user's code that raised ``error``, empty if none of it did."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith((*_OWN, "<")) and "/lib/python" not in f.filename]
    return f"{own[-1].filename}:{own[-1].lineno}: " if own else ""


def source_line(node: torch.fx.Node) -> str:
    """``file:line`` of the user's code that made ``node``."""
    frames = user_frames(node.meta.get("stack_trace"))
    return f"{frames[-1][0]}:{frames[-1][1]}" if frames else "unknown source"


class _Finder(torch.fx.Interpreter):
    """Runs a graph and notes each operation whose result has no derivative."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self.missing: list[torch.fx.Node] = []

    def run_node(self, n: torch.fx.Node) -> Any:
        result = super().run_node(n)
        if n.op != "call_function":
            return result
        for value in pytree.tree_leaves(result):
            if isinstance(value, torch.Tensor) and _is_missing(value.grad_fn):
                self.missing.append(n)
                # Later operations are judged as if this one had a gradient.
                return pytree.tree_map_only(torch.Tensor, _differentiable, result)
        return result


def _is_missing(grad_fn: Any) -> bool:
    return grad_fn is not None and grad_fn.name().endswith("NotImplemented")


def _differentiable(tensor: torch.Tensor) -> torch.Tensor:
    detached = tensor.detach()
    return detached.requires_grad_() if detached.is_floating_point() else detached


def check_differentiable(exported: ExportedProgram) -> None:
    """Raise ``TaskError`` naming every operation without a gradient and its source line."""
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        arguments = []
        placeholders = exported.graph.find_nodes(op="placeholder")
        for spec, node in zip(exported.graph_signature.input_specs, placeholders, strict=True):
            value = node.meta["val"]
            tensor = fake.from_tensor(torch.empty_like(value, device="cpu"))
            if spec.kind is InputKind.PARAMETER and tensor.is_floating_point():
                tensor.requires_grad_()
            arguments.append(tensor)
        finder = _Finder(exported.graph_module)
        with torch.enable_grad():
            finder.run(*arguments)
    if finder.missing:
        listed = "; ".join(f"{node.target} at {source_line(node)}" for node in finder.missing)
        count = len(finder.missing)
        noun = "operation has" if count == 1 else "operations have"
        raise TaskError(f"{count} {noun} no gradient in PyTorch: {listed}")


def check_deterministic(graph: torch.fx.Graph) -> None:
    """Raise ``TaskError`` naming every random operation that is not drawn from the program's own state."""
    drawn = [
        node
        for node in graph.nodes
        if isinstance(node.target, torch._ops.OpOverload)
        and torch.Tag.nondeterministic_seeded in node.target.tags
    ]
    if drawn:
        listed = "; ".join(f"{node.target} at {source_line(node)}" for node in drawn)
        noun = "operation draws" if len(drawn) == 1 else "operations draw"
        raise TaskError(
            f"{len(drawn)} {noun} random numbers in a way that a step cannot repeat; "
            f"{COMPILED} can be compiled: {listed}"
        )
