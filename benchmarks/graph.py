# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``Graph``: a model and its loss as a list of ATen operations, without PyTorch.

Every peer is made from the same graph, so that all of them do the same work: PyTorch's from the operations as
they are, JAX's and TensorFlow's from a translation of each operation. It is a folder: the operations as JSON,
the arrays as safetensors.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

Array = NDArray[Any]

_OPERATIONS, _ARRAYS, _BATCH = "graph.json", "arrays.safetensors", "batch.safetensors"


@dataclass(frozen=True)
class Ref:
    """The value of a node, as another's argument."""

    name: str


@dataclass(frozen=True)
class Node:
    """One operation: ``op`` is ATen's name without overload, ``arguments`` are all of its schema's, by name.

    Arguments are plain values, ``Ref``, or lists of either. ``keywords`` are those that PyTorch takes by
    keyword only. ``shape`` is the result's, None if it is no tensor.
    """

    name: str
    op: str
    arguments: Mapping[str, Any]
    keywords: tuple[str, ...]
    shape: tuple[int, ...] | None


@dataclass(frozen=True)
class Graph:
    """Operations in order; the last one's result is the loss.

    ``arrays`` are the values of parameters and constants by the names that nodes refer to them;
    ``trained`` are those that a step updates. ``inputs`` are the batch: ``x``, the model's input, and ``y``.
    """

    nodes: tuple[Node, ...]
    arrays: Mapping[str, Array]
    trained: tuple[str, ...]
    inputs: Mapping[str, Array]

    def save(self, folder: Path) -> None:
        """Write the graph into ``folder``, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        _save(self.arrays, folder / _ARRAYS)
        save_batch(self.inputs, folder)
        document = {
            "trained": self.trained,
            "nodes": [
                {**asdict(node), "arguments": {k: _encoded(v) for k, v in node.arguments.items()}}
                for node in self.nodes
            ],
        }
        (folder / _OPERATIONS).write_text(json.dumps(document))

    @staticmethod
    def load(folder: Path) -> "Graph":
        """Read what ``save`` wrote."""
        document = json.loads((folder / _OPERATIONS).read_text())
        nodes = tuple(
            Node(
                node["name"],
                node["op"],
                {k: _decoded(v) for k, v in node["arguments"].items()},
                tuple(node["keywords"]),
                None if node["shape"] is None else tuple(node["shape"]),
            )
            for node in document["nodes"]
        )
        return Graph(
            nodes,
            safetensors.numpy.load_file(folder / _ARRAYS),
            tuple(document["trained"]),
            load_batch(folder),
        )


def save_batch(inputs: Mapping[str, Array], folder: Path) -> None:
    """Write the batch, input and target, of a graph's folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    _save(inputs, folder / _BATCH)


def load_batch(folder: Path) -> dict[str, Array]:
    """Read what ``save_batch`` wrote."""
    arrays: dict[str, Array] = safetensors.numpy.load_file(folder / _BATCH)
    return dict(sorted(arrays.items()))


def _save(arrays: Mapping[str, Array], path: Path) -> None:
    safetensors.numpy.save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, path)


def references(value: Any) -> list[str]:
    """The names of the nodes that an argument refers to."""
    if isinstance(value, Ref):
        return [value.name]
    if isinstance(value, list | tuple):
        return [name for item in value for name in references(item)]
    return []


def used(nodes: Sequence[Node]) -> dict[str, int]:
    """How often each value is an argument."""
    counts: dict[str, int] = {}
    for node in nodes:
        for argument in node.arguments.values():
            for name in references(argument):
                counts[name] = counts.get(name, 0) + 1
    return counts


def resolve(value: Any, values: Mapping[str, Any]) -> Any:
    """An argument with each ``Ref`` replaced by its value."""
    if isinstance(value, Ref):
        return values[value.name]
    if isinstance(value, list):
        return [resolve(item, values) for item in value]
    return value


def _encoded(value: Any) -> Any:
    if isinstance(value, Ref):
        return {"ref": value.name}
    return [_encoded(item) for item in value] if isinstance(value, list) else value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        return Ref(value["ref"])
    return [_decoded(item) for item in value] if isinstance(value, list) else value
