# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp.max_pool`` and ``sparsebp.max_pool_argmax``: max pooling and where its maxima are."""

from typing import Any

from torch_mlir.dialects.ext import Operand, Pure, Result

from ..types import element_of, shape_of
from .dialect import SparseBP, fail
from .window import Window


def _problem(op: Any) -> str | None:
    source, result = (shape_of(v.type) for v in (op.operation.operands[0], op.operation.results[0]))
    window = Window.of(op)
    if len(source) < 3 or len(result) != len(source) or source[:2] != result[:2]:
        return f"pools the spatial dimensions of [N, C, ...], got {list(source)} -> {list(result)}"
    if (problem := window.problem(len(source) - 2)) is not None:
        return problem
    for least, got, stride in zip(window.output_size(source[2:]), result[2:], window.stride, strict=True):
        # One more than the size rounded down is PyTorch's ceil_mode.
        if got not in ((least, least + 1) if stride > 1 else (least,)):
            return f"output size {list(result[2:])} does not fit {list(window.output_size(source[2:]))}"
    return None


class MaxPoolOp(SparseBP.Operation, name="max_pool", traits=[Pure]):
    """The maximum of each window of ``input [N, C, *spatial]``; padding counts as minus infinity."""

    input: Operand[Any]
    kernel: Any
    stride: Any
    padding: Any
    dilation: Any
    output: Result[Any]

    def verify_invariants(self) -> bool:
        problem = _problem(self)
        return True if problem is None else fail(self, problem)


class MaxPoolArgmaxOp(SparseBP.Operation, name="max_pool_argmax", traits=[Pure]):
    """The row-major position inside each window of its first maximum, as ``si32``."""

    input: Operand[Any]
    kernel: Any
    stride: Any
    padding: Any
    dilation: Any
    argmax: Result[Any]

    def verify_invariants(self) -> bool:
        if element_of(self.operation.results[0].type) != "si32":
            return fail(self, "argmax must be si32")
        problem = _problem(self)
        return True if problem is None else fail(self, problem)
