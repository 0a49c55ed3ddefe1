# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""JAX: the step as one function compiled by XLA, with the trained arrays donated."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pock.benchmarks.graph import Array, Graph

from .base import Peer, Step, Work, momentum_of
from .translation import Library, arrays_of, inputs_of, translated


class _Jax(Library):
    elementwise = {
        "add": lambda self, other, alpha=1: self + other if alpha == 1 else self + alpha * other,
        "gelu": lambda self, approximate: jax.nn.gelu(self, approximate=approximate == "tanh"),
        "hardtanh": lambda self, min_val, max_val: jnp.clip(self, min_val, max_val),
        "mul": lambda self, other: self * other,
        "neg": lambda self: -self,
        "pow": lambda self, exponent: self**exponent,
        "relu": lambda self: jax.nn.relu(self),
        "relu6": lambda self: jnp.clip(self, 0, 6),
        "rsqrt": lambda self: lax.rsqrt(self),
        "silu": lambda self: jax.nn.silu(self),
        "tanh": lambda self: jnp.tanh(self),
    }

    def constant(self, array: Array) -> Any:
        return jnp.asarray(array)

    def conv(
        self,
        x: Any,
        w: Any,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        groups: int,
    ) -> Any:
        return lax.conv_general_dilated(
            x,
            w,
            stride,
            [(p, p) for p in padding],
            rhs_dilation=dilation,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    def max_pool(self, x: Any, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> Any:
        pads = [(0, 0), *((p, p) for p in padding), (0, 0)]
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, *kernel, 1), (1, *stride, 1), pads)

    def pad(self, x: Any, padding: Sequence[tuple[int, int]]) -> Any:
        return jnp.pad(x, padding)

    def mean(self, x: Any, dimensions: Sequence[int], keep: bool) -> Any:
        return jnp.mean(x, tuple(dimensions), keepdims=keep)

    def matmul(self, a: Any, b: Any, transpose_b: bool) -> Any:
        return jnp.matmul(a, jnp.swapaxes(b, -1, -2) if transpose_b else b)

    def reshape(self, x: Any, shape: Sequence[int]) -> Any:
        return jnp.reshape(x, shape)

    def permute(self, x: Any, dimensions: Sequence[int]) -> Any:
        return jnp.transpose(x, dimensions)

    def take(self, table: Any, indices: Any) -> Any:
        return jnp.take(table, indices, axis=0)

    def cat(self, tensors: Sequence[Any], dimension: int) -> Any:
        return jnp.concatenate(tensors, dimension)

    def softmax(self, x: Any) -> Any:
        return jax.nn.softmax(x)

    def cross_entropy(self, logits: Any, labels: Any) -> Any:
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)
        return -jnp.mean(chosen)


class JaxJit(Peer):
    """``jax.jit`` over ``jax.value_and_grad``."""

    def build(self, work: Work) -> Step:
        graph = Graph.load(work.folder)
        loss = translated(graph, _Jax())
        arrays = {name: jnp.asarray(array) for name, array in arrays_of(graph).items()}
        batch = {name: jnp.asarray(array) for name, array in inputs_of(graph).items()}
        trained = {name: arrays.pop(name) for name in graph.trained}
        momentum = momentum_of(work.optimizer)
        velocities = {name: jnp.zeros_like(v) for name, v in trained.items()} if momentum else {}

        def update(state: Any, frozen: Mapping[str, Any], inputs: Mapping[str, Any], rate: Any) -> Any:
            parameters, velocities = state
            value, gradients = jax.value_and_grad(lambda p: loss({**frozen, **p}, inputs))(parameters)
            if momentum:
                velocities = {n: momentum * velocities[n] + g for n, g in gradients.items()}
                gradients = velocities
            return value, ({n: p - rate * gradients[n] for n, p in parameters.items()}, velocities)

        compiled = jax.jit(update, donate_argnums=0)
        state: Any = (trained, velocities)

        def step(rate: float) -> float:
            nonlocal state
            value, state = compiled(state, arrays, batch, np.float32(rate))
            jax.block_until_ready(state)
            return float(value)

        return step

    def version(self) -> str:
        return str(jax.__version__)


def contestant(_: str, __: int) -> Peer:
    """XLA's thread pools are as large as the processors that the process may run on."""
    return JaxJit()
