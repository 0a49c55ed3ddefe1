# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Conversions of torch and sparsebp operations to linalg on tensors, one a file, and their registry.

A conversion is a function of an operation and a ``LinalgBuilder`` in front of it. It returns the
operation's result as a builtin tensor (of the result's element type, or f32 to be cast to it), or
None where it leaves the operation to torch-mlir.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch_mlir import ir

from .builder import LinalgBuilder

Conversion = Callable[[Any, LinalgBuilder], ir.Value | None]

#: operation -> "module:function" below this package
_REGISTRY = {
    "sparsebp.all_reduce": "all_reduce:convert",
    "sparsebp.avg_pool": "avg_pool:convert",
    "sparsebp.avg_pool_grad": "avg_pool_grad:convert",
    "sparsebp.conv_input_grad": "conv_input_grad:convert",
    "sparsebp.conv_weight_grad": "conv_weight_grad:convert",
    "sparsebp.convolution": "convolution:convert",
    "sparsebp.embedding_grad": "embedding_grad:convert",
    "sparsebp.max_pool": "max_pool:convert",
    "sparsebp.max_pool_argmax": "max_pool_argmax:convert",
    "sparsebp.max_pool_grad": "max_pool_grad:convert",
    "sparsebp.random_mask": "random_mask:convert",
    "sparsebp.random_uniform": "random_uniform:convert",
    "sparsebp.save": "save:convert",
    "sparsebp.select_channels": "select_channels:convert",
    "torch.aten._softmax": "softmax:convert",
    "torch.aten.add.Tensor": "bias:convert",
    "torch.aten.atan2": "arc_tangent:convert",
    "torch.aten.avg_pool1d": "avg_pool:convert_aten",
    "torch.aten.avg_pool2d": "avg_pool:convert_aten",
    "torch.aten.avg_pool3d": "avg_pool:convert_aten",
    "torch.aten.clamp": "clamp:convert",
    "torch.aten.clamp.Tensor": "clamp:convert",
    "torch.aten.clamp_max": "clamp:convert_max",
    "torch.aten.clamp_max.Tensor": "clamp:convert_max",
    "torch.aten.clamp_min": "clamp:convert",
    "torch.aten.clamp_min.Tensor": "clamp:convert",
    "torch.aten.constant_pad_nd": "constant_pad:convert",
    "torch.aten.convolution": "convolution:convert_aten",
    "torch.aten.cos": "sine:cosine",
    "torch.aten.embedding": "embedding:convert",
    "torch.aten.exp2": "power:convert",
    "torch.aten.fmod.Scalar": "fmod:convert",
    "torch.aten.fmod.Tensor": "fmod:convert",
    "torch.aten.hardtanh": "clamp:convert",
    "torch.aten.maximum": "clamp:convert",
    "torch.aten.minimum": "clamp:convert_max",
    "torch.aten.mm": "matmul:convert",
    "torch.aten.permute": "permute:convert",
    "torch.aten.pow.Scalar": "power:convert",
    "torch.aten.pow.Tensor_Scalar": "power:convert",
    "torch.aten.pow.Tensor_Tensor": "power:convert",
    "torch.aten.sin": "sine:sine",
    "torch.aten.t": "permute:convert",
    "torch.aten.tan": "sine:tangent",
    "torch.aten.transpose.int": "permute:convert",
}


def get_conversion(name: str) -> Conversion | None:
    """The conversion of the operation ``name``, or None if it has none."""
    if name not in _REGISTRY:
        return None
    module, _, attribute = _REGISTRY[name].partition(":")
    found: Conversion = getattr(import_module(f".{module}", __package__), attribute)
    return found
