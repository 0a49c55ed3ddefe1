# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The peers' graph in another framework: each ATen operation by that framework's own, images channels-last.

XLA's convolutions are fastest, and TensorFlow's only available, with images ``[N, H, W, C]`` and filters
``[H, W, I, O]``: images are kept so from the input on, and filters are turned once, before training.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pock.benchmarks.errors import Unsupported
from pock.benchmarks.graph import Array, Graph, references, resolve

NHWC = (0, 2, 3, 1)
"""The permutation of an image's dimensions from PyTorch's."""

FILTER = (2, 3, 1, 0)
"""The permutation of a filter's dimensions from PyTorch's."""


@dataclass(frozen=True)
class Image:
    """A value whose dimensions are permuted by ``NHWC``."""

    value: Any


class Library(ABC):
    """A framework's operations on its tensors; images are channels-last."""

    elementwise: Mapping[str, Callable[..., Any]]
    """Operations that treat each element alike, by ATen's name without a trailing underscore."""

    @abstractmethod
    def constant(self, array: Array) -> Any:
        """An array as a tensor."""

    @abstractmethod
    def conv(
        self,
        x: Any,
        w: Any,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        groups: int,
    ) -> Any:
        """Convolution of an image with a filter ``[H, W, I / groups, O]``; ``padding`` is symmetric."""

    @abstractmethod
    def max_pool(self, x: Any, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> Any:
        """The maximum over windows; padding never wins."""

    @abstractmethod
    def pad(self, x: Any, padding: Sequence[tuple[int, int]]) -> Any:
        """Zeros before and after, a pair a dimension."""

    @abstractmethod
    def mean(self, x: Any, dimensions: Sequence[int], keep: bool) -> Any:
        """The mean over dimensions."""

    @abstractmethod
    def matmul(self, a: Any, b: Any, transpose_b: bool) -> Any:
        """Product over the last two dimensions."""

    @abstractmethod
    def reshape(self, x: Any, shape: Sequence[int]) -> Any:
        """Another shape for the same elements."""

    @abstractmethod
    def permute(self, x: Any, dimensions: Sequence[int]) -> Any:
        """Dimensions in another order."""

    @abstractmethod
    def take(self, table: Any, indices: Any) -> Any:
        """Rows of a table."""

    @abstractmethod
    def cat(self, tensors: Sequence[Any], dimension: int) -> Any:
        """Concatenation."""

    @abstractmethod
    def softmax(self, x: Any) -> Any:
        """Softmax over the last dimension."""

    @abstractmethod
    def cross_entropy(self, logits: Any, labels: Any) -> Any:
        """The mean cross-entropy of ``[N, C]`` logits and ``[N]`` labels."""


def translated(graph: Graph, library: Library) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Any]:
    """The loss as a function of arrays and inputs, both as ``arrays_of`` and ``inputs_of`` lay them out.

    Raises ``Unsupported`` for the first operation without a translation.
    """
    for node in graph.nodes:
        if _name(node.op) not in library.elementwise and node.op not in _OPERATIONS:
            raise Unsupported(f"there is no translation of aten.{node.op} for this peer")

    def loss(arrays: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
        values: dict[str, Any] = {**arrays, **inputs}
        for name, array in graph.inputs.items():
            if array.ndim == 4:
                values[name] = Image(inputs[name])
        for node in graph.nodes:
            arguments = {key: resolve(value, values) for key, value in node.arguments.items()}
            function = library.elementwise.get(_name(node.op))
            if function is not None:
                values[node.name] = _elementwise(function, arguments)
            else:
                values[node.name] = _OPERATIONS[node.op](library, **arguments)
        return values[graph.nodes[-1].name]

    return loss


def filters(graph: Graph) -> set[str]:
    """The names of the arrays that are convolutions' filters, or scale one."""
    found = {n for node in graph.nodes if node.op == "conv2d" for n in references(node.arguments["weight"])}
    for node in reversed(graph.nodes):
        if node.name in found:
            found |= {name for value in node.arguments.values() for name in references(value)}
    return found & set(graph.arrays)


def arrays_of(graph: Graph) -> dict[str, Array]:
    """The graph's arrays, filters as ``[H, W, I, O]``."""
    turned = filters(graph)
    return {
        name: np.ascontiguousarray(array.transpose(FILTER)) if name in turned else array
        for name, array in graph.arrays.items()
    }


def inputs_of(graph: Graph) -> dict[str, Array]:
    """The graph's batch, images channels-last and integers of 32 bits, which suits both frameworks."""
    batch = {}
    for name, array in graph.inputs.items():
        value = array.transpose(NHWC) if array.ndim == 4 else array
        batch[name] = np.ascontiguousarray(value.astype(np.int32) if value.dtype == np.int64 else value)
    return batch


# -- operations ---------------------------------------------------------------------------------


def _name(op: str) -> str:
    return op.removesuffix("_")


def _elementwise(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    plain = {k: v.value if isinstance(v, Image) else v for k, v in arguments.items()}
    result = function(**plain)
    return Image(result) if any(isinstance(v, Image) for v in arguments.values()) else result


def _pair(value: Any) -> Sequence[int]:
    value = [value] if isinstance(value, int) else list(value)
    return value * 2 if len(value) == 1 else value


def _conv2d(
    lib: Library, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Image:
    y = lib.conv(input.value, weight, _pair(stride), _pair(padding), _pair(dilation), groups)
    # The bias is along the last dimension, which is the channels.
    return Image(y if bias is None else y + bias)


def _batch_norm(
    lib: Library,
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    eps: float,
    **_: Any,
) -> Image:
    scale = weight * lib.elementwise["rsqrt"](self=running_var + eps)
    return Image(input.value * scale + (bias - running_mean * scale))


def _max_pool2d(
    lib: Library, self: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Image:
    if ceil_mode or _pair(dilation) != [1, 1]:
        raise Unsupported("max pooling with dilation or ceil_mode has no translation for this peer")
    return Image(lib.max_pool(self.value, _pair(kernel_size), _pair(stride or kernel_size), _pair(padding)))


def _pad(
    lib: Library, self: Any, pad: Sequence[int], value: float | None = None, mode: str = "constant"
) -> Image:
    if mode != "constant" or value or len(pad) != 4 or not isinstance(self, Image):
        raise Unsupported("only padding of images by zeros has a translation for this peer")
    left, right, top, bottom = pad
    return Image(lib.pad(self.value, [(0, 0), (top, bottom), (left, right), (0, 0)]))


def _mean(lib: Library, self: Any, dim: Any, keepdim: bool = False, dtype: Any = None) -> Any:
    if isinstance(self, Image):
        if sorted(d % 4 for d in dim) != [2, 3]:
            raise Unsupported("only means over an image's height and width have a translation for this peer")
        pooled = lib.mean(self.value, (1, 2), keepdim)
        return Image(pooled) if keepdim else pooled
    return lib.mean(self, [dim] if isinstance(dim, int) else dim, keepdim)


def _adaptive_avg_pool2d(lib: Library, self: Image, output_size: Any) -> Image:
    if _pair(output_size) != [1, 1]:
        raise Unsupported("adaptive pooling to more than one pixel has no translation for this peer")
    return Image(lib.mean(self.value, (1, 2), True))


def _plain(lib: Library, value: Any) -> Any:
    """A value in PyTorch's order of dimensions."""
    return lib.permute(value.value, (0, 3, 1, 2)) if isinstance(value, Image) else value


def _view(lib: Library, self: Any, size: Any = None, shape: Any = None) -> Any:
    return lib.reshape(_plain(lib, self), size if size is not None else shape)


def _flatten(lib: Library, self: Any, start_dim: int, end_dim: int) -> Any:
    x = _plain(lib, self)
    shape = list(x.shape)
    end = end_dim % len(shape)
    return lib.reshape(x, [*shape[:start_dim], int(np.prod(shape[start_dim : end + 1])), *shape[end + 1 :]])


def _transpose(lib: Library, self: Any, dim0: int, dim1: int) -> Any:
    order = list(range(len(self.shape)))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return lib.permute(self, order)


def _linear(lib: Library, input: Any, weight: Any, bias: Any) -> Any:
    shape = list(input.shape)
    # One product over all rows, as PyTorch's.
    rows = lib.reshape(input, [int(np.prod(shape[:-1])), shape[-1]])
    y = lib.reshape(lib.matmul(rows, weight, True), [*shape[:-1], int(weight.shape[0])])
    return y if bias is None else y + bias


def _layer_norm(
    lib: Library, input: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float, cudnn_enable: bool
) -> Any:
    dimensions = list(range(-len(normalized_shape), 0))
    centred = input - lib.mean(input, dimensions, True)
    variance = lib.mean(centred * centred, dimensions, True)
    return centred * lib.elementwise["rsqrt"](self=variance + eps) * weight + bias


def _attention(
    lib: Library,
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any,
    dropout_p: float,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
) -> Any:
    if attn_mask is not None or dropout_p or enable_gqa:
        raise Unsupported("attention with a mask, dropout or groups has no translation for this peer")
    length, width = int(query.shape[-2]), int(query.shape[-1])
    scores = lib.matmul(query, key, True) * (scale if scale is not None else width**-0.5)
    if is_causal:
        scores = scores + lib.constant(np.triu(np.full((length, length), -1e30, np.float32), 1))
    return lib.matmul(lib.softmax(scores), value, False)


def _embedding(lib: Library, weight: Any, indices: Any, **_: Any) -> Any:
    return lib.take(weight, indices)


def _select(lib: Library, self: Any, dim: int, index: int) -> Any:
    return self[(*(slice(None) for _ in range(dim)), index)]


def _split(lib: Library, self: Any, split_size: int, dim: int) -> list[Any]:
    size, dim = int(self.shape[dim]), dim % len(self.shape)
    before = tuple(slice(None) for _ in range(dim))
    return [self[(*before, slice(i, min(i + split_size, size)))] for i in range(0, size, split_size)]


def _chunk(lib: Library, self: Any, chunks: int, dim: int) -> list[Any]:
    return _split(lib, self, -(-int(self.shape[dim]) // chunks), dim)


def _getitem(lib: Library, self: Any, index: int) -> Any:
    return self[index]


def _cat(lib: Library, tensors: Sequence[Any], dim: int) -> Any:
    return lib.cat(tensors, dim)


def _cross_entropy(
    lib: Library,
    self: Any,
    target: Any,
    weight: Any,
    reduction: int,
    ignore_index: int,
    label_smoothing: float,
) -> Any:
    if weight is not None or reduction != 1 or label_smoothing:
        raise Unsupported("only the mean cross-entropy without weights has a translation for this peer")
    return lib.cross_entropy(self, target)


_OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "batch_norm": _batch_norm,
    "cat": _cat,
    "chunk": _chunk,
    "constant_pad_nd": _pad,
    "conv2d": _conv2d,
    "cross_entropy_loss": _cross_entropy,
    "embedding": _embedding,
    "flatten": _flatten,
    "getitem": _getitem,
    "layer_norm": _layer_norm,
    "linear": _linear,
    "max_pool2d": _max_pool2d,
    "mean": _mean,
    "pad": _pad,
    "reshape": _view,
    "scaled_dot_product_attention": _attention,
    "select": _select,
    "split": _split,
    "transpose": _transpose,
    "view": _view,
}
