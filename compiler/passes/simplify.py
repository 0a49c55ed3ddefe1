# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-simplify``: erase unused arithmetic and merge what is computed twice."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.opt import run_mlir_passes
from pock.compiler.torch_ir import PERMUTATIONS, TorchBuilder, functions, operations, permutation
from pock.dialects.types import is_vtensor

from .base import Pass


@dataclass(frozen=True)
class Simplify(Pass):
    """Erase operations whose results nothing uses, and merge equal ones and permutations of permutations.

    MLIR's own canonicalization and CSE run too, but know no memory effects of the torch dialect's
    operations and so keep every one of them. In a training program tensors are values: an operation
    that does not write state only computes its results. Reads of state stay apart where it is written
    between them, and so do draws from PyTorch's random generator, in-place operations and control flow. ::

        %0 = torch.aten.exp %x : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
        %1 = torch.aten.exp %x : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
        %2 = torch.aten.mul.Tensor %0, %1 : ...
        %3 = torch.aten.neg %2 : ...
        return %2 : !torch.vtensor<[4],f32>

    becomes::

        %0 = torch.aten.exp %x : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
        %1 = torch.aten.mul.Tensor %0, %0 : ...
        return %1 : !torch.vtensor<[4],f32>
    """

    name: ClassVar[str] = "sparsebp-simplify"

    def apply(self, module: ir.Module) -> None:
        run_mlir_passes(module, "builtin.module(canonicalize,cse)", check=False)
        for function in functions(module).values():
            _compose_permutations(function)
            _merge(function)
            erase_unused(function)


#: Functions of ATen that draw from the generator; names of those in place end in an underscore.
_RANDOM = {
    "bernoulli", "dropout", "exponential", "feature_dropout", "multinomial", "native_dropout", "normal",
    "normal_functional", "poisson", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like",
    "randperm", "rrelu", "rrelu_with_noise", "rrelu_with_noise_functional", "uniform",
}  # fmt: skip


def only_computes(op: Any) -> bool:
    """Whether an operation has results and no effect besides."""
    operation = op.operation
    name: str = operation.name
    if not operation.results or len(operation.regions):
        return False
    if name == "torch.operator":
        name = ir.StringAttr(operation.attributes["name"]).value
    if name.startswith("torch.aten."):
        function = name.split(".")[2]
        return function not in _RANDOM and not function.endswith("_")
    if name.startswith("sparsebp."):
        return name != "sparsebp.read"
    return name.startswith("torch.") or name in ("torch_c.to_builtin_tensor", "torch_c.from_builtin_tensor")


def _compose_permutations(function: Any) -> None:
    """Permute what a permuted value was permuted from, or take it itself."""
    for op in operations(function):
        operation = op.operation
        if operation.name not in PERMUTATIONS:
            continue
        result = operation.results[0]
        if not all(is_vtensor(value.type) for value in (result, operation.operands[0])):
            continue
        middle, outer = permutation(result)
        source, inner = permutation(middle)
        if result == middle or middle == source:
            continue
        order = [inner[d] for d in outer]
        straight = order == list(range(len(order)))
        result.replace_all_uses_with(source if straight else TorchBuilder(op).permute(source, order))
        operation.erase()


def _merge(function: Any) -> None:
    """Replace operations by earlier ones that compute the same."""
    seen: dict[tuple[Any, ...], Any] = {}
    for op in operations(function):
        if not only_computes(op):
            continue
        operation = op.operation
        attributes = operation.attributes
        named = [attributes[i] for i in range(len(attributes))]
        key = (
            operation.name,
            tuple(operation.operands),
            tuple((attribute.name, attribute.attr) for attribute in named),
            tuple(result.type for result in operation.results),
        )
        first = seen.setdefault(key, operation)
        if first is not operation:
            for result, same in zip(operation.results, first.results, strict=True):
                result.replace_all_uses_with(same)
            operation.erase()


def erase_unused(function: Any) -> None:
    """Erase the operations of ``function`` that compute or read what nothing needs."""
    for op in reversed(operations(function)):
        unused = not any(True for result in op.operation.results for _ in result.uses)
        if unused and (only_computes(op) or op.operation.name == "sparsebp.read"):
            op.operation.erase()
