# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Whether it pays to divide a batch among cores (``sparsebp-split-batch``).

Each core reads all weights, and so gains where a batch's activations are much more than these: the steps of
MobileNets do, those of a ResNet-50 on small pictures do not. ``python -m pock.benchmarks.shards`` measures
both ways on the machine that it runs on.
"""

from math import prod

from torch_mlir import ir

from pock.dialects.types import builtin_tensor, is_vtensor, shape_of

from .errors import PassFailure
from .opt import run_pipeline
from .passes.split_batch import SplitBatch
from .pipeline import masked, pruned
from .program import TrainingProgram
from .scheme import Scheme
from .torch_ir import gradients_of, operations

MOST = 0.25
"""Bytes of weights, by those of activations, up to which dividing pays."""

LEAST = 2 << 20
"""Bytes of activations from which it pays: telling a core what to do takes some time."""

_MAKING = (
    "torch.aten.mm", "torch.aten.bmm", "torch.aten.convolution", "sparsebp.conv_input_grad",
)  # fmt: skip
"""Operations whose results count as activations, gradients of linear layers' weights among them.

What is computed from the results is mostly fused with them.
"""


def worthwhile_shards(program: TrainingProgram, scheme: Scheme, cores: int) -> int:
    """``cores`` if a step of the program is faster with as many parts of the batch, else 1."""
    if cores < 2:
        return 1
    module = program.copy_module()
    run_pipeline(module, [*masked(scheme), *pruned()])
    try:
        run_pipeline(module, [SplitBatch(cores)])
    except PassFailure:
        return 1
    weights, activations = weights_and_activations(module, cores)
    return cores if activations >= LEAST and weights <= MOST * activations else 1


def weights_and_activations(module: ir.Module, count: int) -> tuple[int, int]:
    """Bytes of the state that ``@gradients`` reads, and of the activations of all ``count`` parts."""
    gradients = gradients_of(module)
    values = [op.operation.results[0] for op in operations(gradients, "sparsebp.read")]
    read = sum(_bytes(value) for value in values if not _is_table(value))
    made = sum(_bytes(op.operation.results[0]) for name in _MAKING for op in operations(gradients, name))
    return read, count * made


def _is_table(value: ir.Value) -> bool:
    """Whether a few rows of a value are looked up and no more."""
    return all(use.owner.operation.name == "torch.aten.embedding" for use in value.uses)


def _bytes(value: ir.Value) -> int:
    if not is_vtensor(value.type):
        return 0
    element = builtin_tensor(value.type).element_type
    return prod(shape_of(value.type)) * max(element.width // 8, 1)
