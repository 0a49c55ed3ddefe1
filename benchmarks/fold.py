# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Folding frozen batch norms into the convolutions before them, for the peers.

pock does so in ``sparsebp-fold-batch-norm``; no peer does it by itself in training, and its user would before
training. So the peers get the folded graph: a comparison with unfolded ones would flatter pock.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .graph import Array, Graph, Node, Ref, used


def fold_batch_norms(graph: Graph) -> Graph:
    """The graph with each batch norm whose scale is frozen folded into the convolution before it.

    A batch norm ``(y - m) * k + b``, ``k = g / sqrt(v + e)``, behind ``y = conv(x, w)`` becomes
    ``conv(x, w * k) + (b - m * k)``. The bias takes the place of ``b``, of which it is a shift, so that
    training one is training the other. A frozen weight is multiplied once; a trained one in every step, so
    that its updates are those of ``w``. A batch norm with a trained scale stays.
    """
    counts = used(graph.nodes)
    by_name = {node.name: node for node in graph.nodes}
    arrays, nodes, folded = dict(graph.arrays), [], set()
    for node in graph.nodes:
        convolution = _folds(graph, node, by_name, counts)
        if convolution is None:
            nodes.append(node)
            continue
        folded.add(convolution.name)
        nodes += _folded(graph, convolution, node, arrays)
    kept = tuple(node for node in nodes if node.name not in folded)
    remaining = used(kept)
    return replace(graph, nodes=kept, arrays={k: v for k, v in arrays.items() if k in remaining})


def _folds(graph: Graph, node: Node, by_name: dict[str, Node], counts: dict[str, int]) -> Node | None:
    """The convolution that the batch norm ``node`` goes into."""
    if node.op != "batch_norm" or node.arguments["weight"].name in graph.trained:
        return None
    before = by_name.get(node.arguments["input"].name)
    if before is None or before.op != "conv2d" or before.arguments["bias"] is not None:
        return None
    return before if counts[before.name] == 1 else None


def _folded(graph: Graph, convolution: Node, norm: Node, arrays: dict[str, Array]) -> Sequence[Node]:
    """The nodes in place of ``norm``; changes ``arrays``."""
    weight, bias = (convolution.arguments["weight"].name, norm.arguments["bias"].name)
    scale, shift, mean, variance = (
        graph.arrays[norm.arguments[key].name].astype(np.float64)
        for key in ("weight", "bias", "running_mean", "running_var")
    )
    scale = scale / np.sqrt(variance + norm.arguments["eps"])
    arrays[bias] = (shift - mean * scale).astype(np.float32)
    column = scale[:, None, None, None].astype(np.float32)
    arguments = {**convolution.arguments, "bias": Ref(bias)}
    result = replace(convolution, name=norm.name, arguments=arguments)
    if weight not in graph.trained:
        arrays[weight] = graph.arrays[weight] * column
        return [result]
    scaled, scales = f"{norm.name}_weight", f"{norm.name}_scale"
    arrays[scales] = column
    product = Node(scaled, "mul", {"self": Ref(weight), "other": Ref(scales)}, (), graph.arrays[weight].shape)
    return [product, replace(result, arguments={**arguments, "weight": Ref(scaled)})]
