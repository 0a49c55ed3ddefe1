# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Operations of PyTorch's by how their result depends on positions of their operands."""

REDUCTIONS = tuple(f"torch.aten.{name}" for name in ("amax", "amin", "mean.dim", "sum.dim_IntList"))
"""Reductions of their first operand over the dimensions that the second lists, kept if the third says so."""


_ATEN = (
    "abs", "add.Scalar", "add.Tensor", "atan", "atan2", "bitwise_and.Tensor", "bitwise_not",
    "bitwise_or.Tensor", "bitwise_xor.Tensor", "ceil", "clamp", "clamp.Tensor", "clamp_max", "clamp_min",
    "clone", "cos", "cosh", "detach", "div.Scalar", "div.Tensor", "elu", "eq.Scalar", "eq.Tensor", "erf",
    "exp", "expm1", "floor", "full_like", "ge.Scalar", "ge.Tensor", "gelu", "gt.Scalar", "gt.Tensor",
    "hardsigmoid", "hardswish", "hardtanh", "isnan", "le.Scalar", "le.Tensor", "leaky_relu", "log", "log1p",
    "log2", "log_sigmoid", "logical_and", "logical_not", "logical_or", "logical_xor", "lt.Scalar",
    "lt.Tensor", "masked_fill.Scalar", "maximum", "minimum", "mul.Scalar", "mul.Tensor", "ne.Scalar",
    "ne.Tensor", "neg", "ones_like", "pow.Scalar", "pow.Tensor_Scalar", "pow.Tensor_Tensor", "reciprocal",
    "relu", "remainder.Scalar", "round", "rsqrt", "rsub.Scalar", "sgn", "sigmoid", "sign", "silu", "sin",
    "sinh", "softplus", "sqrt", "square", "sub.Scalar", "sub.Tensor", "tan", "tanh", "to.dtype", "trunc",
    "where.Scalar", "where.ScalarOther", "where.ScalarSelf", "where.self", "_to_copy", "zeros_like",
)  # fmt: skip

ELEMENTWISE = ("sparsebp.save", "torch.prims.convert_element_type", *(f"torch.aten.{name}" for name in _ATEN))
"""Operations that compute each element of their result from the elements there, with broadcasting."""

TRANSCENDENTAL = frozenset(
    f"torch.aten.{name}"
    for name in (
        "atan", "atan2", "cos", "cosh", "elu", "erf", "exp", "expm1", "gelu", "log", "log1p", "log2",
        "log_sigmoid", "pow.Scalar", "pow.Tensor_Scalar", "pow.Tensor_Tensor", "remainder.Scalar", "sigmoid",
        "silu", "sin", "sinh", "softplus", "tan", "tanh",
    )
)  # fmt: skip
"""Those of them that take many instructions an element."""

FILLS = tuple(f"torch.aten.{name}" for name in ("full_like", "ones_like", "zeros_like"))
"""Those of them to which the elements of their operand do not matter."""
