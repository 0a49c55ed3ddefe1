# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The learning rate at which contestants are compared."""

import torch

from .graph import Graph
from .peers.torch_function import function_of

FALL = 0.01
"""The part of the loss by which a step of gradient descent is to lower it.

So much that a wrong gradient shows after a few steps, so little that rounding errors do not grow into
differences: deep networks of random weights do that at higher rates.
"""


def checked_rate(graph: Graph) -> float:
    """The rate at which the first step lowers the loss by ``FALL`` of it, as far as its gradient tells.

    A small step along the gradient ``g`` lowers the loss by the rate times ``|g|^2``.
    """
    tensors = [
        torch.from_numpy(array).requires_grad_(name in graph.trained)
        for name, array in [*graph.arrays.items(), *graph.inputs.items()]
    ]
    trained = [tensor for tensor in tensors if tensor.requires_grad]
    loss = function_of(graph)(*tensors)
    squares = sum(float(g.double().square().sum()) for g in torch.autograd.grad(loss, trained))
    return FALL * loss.item() / squares
