# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""TensorFlow: the step as one ``tf.function``, run by its graph executor or compiled by XLA."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pock.benchmarks.errors import Unsupported
from pock.benchmarks.graph import Array, Graph

from .base import Peer, Step, Work, momentum_of
from .translation import Library, arrays_of, inputs_of, translated


class _TensorFlow(Library):
    elementwise = {
        "add": lambda self, other, alpha=1: self + other if alpha == 1 else self + alpha * other,
        "gelu": lambda self, approximate: tf.nn.gelu(self, approximate=approximate == "tanh"),
        "hardtanh": lambda self, min_val, max_val: _clip(self, min_val, max_val),
        "mul": lambda self, other: self * other,
        "neg": lambda self: -self,
        "pow": lambda self, exponent: self * self if exponent == 2 else self**exponent,
        "relu": lambda self: tf.nn.relu(self),
        "relu6": lambda self: tf.nn.relu6(self),
        "rsqrt": lambda self: tf.math.rsqrt(self),
        "silu": lambda self: tf.nn.silu(self),
        "tanh": lambda self: tf.tanh(self),
    }

    def constant(self, array: Array) -> Any:
        return tf.constant(array)

    def conv(
        self,
        x: Any,
        w: Any,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        groups: int,
    ) -> Any:
        strides = [1, *stride, 1]
        if groups == 1:
            pads: Any = [[0, 0], *([p, p] for p in padding), [0, 0]]
            return tf.nn.conv2d(x, w, strides, pads if any(padding) else "VALID", dilations=dilation)
        channels = int(x.shape[-1])
        if groups != channels or int(w.shape[-1]) % channels:
            raise Unsupported("TensorFlow has grouped convolutions on CPU for a channel a group only")
        # One or several outputs a channel; those of one are neighbours.
        multiplier = int(w.shape[-1]) // channels
        w = tf.reshape(w, [*w.shape[:2], channels, multiplier])
        same = all(s == 1 and d == 1 for s, d in zip(stride, dilation, strict=True)) and all(
            2 * p + 1 == int(k) for p, k in zip(padding, w.shape, strict=False)
        )
        if not same and any(padding):
            x = tf.pad(x, [[0, 0], *([p, p] for p in padding), [0, 0]])
        return tf.nn.depthwise_conv2d(x, w, strides, "SAME" if same else "VALID", dilations=dilation)

    def max_pool(self, x: Any, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> Any:
        if any(padding):
            pads = [[0, 0], *([p, p] for p in padding), [0, 0]]
            x = tf.pad(x, pads, constant_values=np.float32(-np.inf))
        return tf.nn.max_pool2d(x, kernel, stride, "VALID")

    def pad(self, x: Any, padding: Sequence[tuple[int, int]]) -> Any:
        return tf.pad(x, padding)

    def mean(self, x: Any, dimensions: Sequence[int], keep: bool) -> Any:
        return tf.reduce_mean(x, list(dimensions), keepdims=keep)

    def matmul(self, a: Any, b: Any, transpose_b: bool) -> Any:
        return tf.matmul(a, b, transpose_b=transpose_b)

    def reshape(self, x: Any, shape: Sequence[int]) -> Any:
        return tf.reshape(x, shape)

    def permute(self, x: Any, dimensions: Sequence[int]) -> Any:
        return tf.transpose(x, dimensions)

    def take(self, table: Any, indices: Any) -> Any:
        return tf.gather(table, indices)

    def cat(self, tensors: Sequence[Any], dimension: int) -> Any:
        return tf.concat(tensors, dimension)

    def softmax(self, x: Any) -> Any:
        return tf.nn.softmax(x)

    def cross_entropy(self, logits: Any, labels: Any) -> Any:
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def _clip(x: Any, low: float, high: float) -> Any:
    return tf.nn.relu6(x) if (low, high) == (0, 6) else tf.clip_by_value(x, low, high)


class TensorFlowGraph(Peer):
    """``tf.function`` over ``tf.GradientTape``; frozen arrays are the graph's constants."""

    def __init__(self, xla: bool, threads: int) -> None:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        self._xla = xla

    def build(self, work: Work) -> Step:
        graph = Graph.load(work.folder)
        loss = translated(graph, _TensorFlow())
        arrays = {
            name: tf.Variable(array) if name in graph.trained else tf.constant(array)
            for name, array in arrays_of(graph).items()
        }
        batch = {name: tf.constant(array) for name, array in inputs_of(graph).items()}
        trained = [arrays[name] for name in graph.trained]
        momentum = momentum_of(work.optimizer)
        velocities = [tf.Variable(tf.zeros_like(v)) for v in trained] if momentum else []

        @tf.function(jit_compile=self._xla)  # type: ignore[untyped-decorator]
        def update(inputs: Any, rate: Any) -> Any:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(trained)
                value = loss(arrays, inputs)
            gradients = [tf.convert_to_tensor(g) for g in tape.gradient(value, trained)]
            if momentum:
                gradients = [v.assign(momentum * v + g) for v, g in zip(velocities, gradients, strict=True)]
            for variable, gradient in zip(trained, gradients, strict=True):
                variable.assign_sub(rate * gradient)
            return value

        return lambda rate: float(update(batch, tf.constant(rate, tf.float32)))

    def version(self) -> str:
        return str(tf.__version__)


def contestant(name: str, threads: int) -> Peer:
    """With the suffix ``-xla``, compiled."""
    return TensorFlowGraph(name.endswith("-xla"), threads)
