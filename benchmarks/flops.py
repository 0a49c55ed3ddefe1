# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How many floating-point operations a training step needs."""

from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from .graph import Graph
from .peers.torch_function import function_of


def count(graph: Graph) -> int:
    """Operations of the convolutions and products of forward and backward.

    A multiplication and an addition are two. What autograd does not need for the trained parameters is
    not counted, and neither is what is computed element by element.
    """
    tensors = [
        torch.from_numpy(array).requires_grad_(name in graph.trained)
        for name, array in [*graph.arrays.items(), *graph.inputs.items()]
    ]
    counter = FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.convolution_backward: _convolution_backward}
    )
    with counter, sdpa_kernel(SDPBackend.MATH):
        function_of(graph)(*tensors).backward()
    return int(counter.get_total_flops())


def _convolution_backward(
    gradient: Any, x: Any, weight: Any, *arguments: Any, out_shape: Any = None, **_: Any
) -> int:
    """Each gradient costs what the forward convolution does; PyTorch's own count forgets the groups."""
    wanted = arguments[-1]
    forward = 2 * gradient[0] * _product(gradient[2:]) * _product(weight)
    return forward * (bool(wanted[0]) + bool(wanted[1]))


def _product(shape: Any) -> int:
    result = 1
    for size in shape:
        result *= int(size)
    return result
