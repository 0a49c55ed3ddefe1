# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Gradients of batch norms made from those of weights are what they were, whatever is trained."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pock.compiler.opt import run_pipeline
from pock.compiler.passes.fold_batch_norm import FoldBatchNorm
from pock.compiler.passes.fuse_batch_norm_grad import FuseBatchNormGrad
from pock.compiler.passes.prune_backward import PruneBackward
from pock.compiler.passes.raise_gradients import RaiseGradients
from pock.compiler.torch_ir import operations, step_of
from pock.dialects.sparsebp import declarations
from pock.dialects.types import shape_of
from tests.python.compiler.torch_interpreter import Interpreter

from .test_fold_batch_norm import draw_masks, traced


@pytest.mark.parametrize("rank", [1, 2, 3])
@given(data=st.data())
@settings(max_examples=6, deadline=None)
def test_fusing_changes_no_gradient(rank: int, data: st.DataObject) -> None:
    task, program = traced(rank)
    module = program.copy_module()
    draw_masks(module, program, task, data)
    run_pipeline(module, [RaiseGradients(), PruneBackward(), FoldBatchNorm()])
    values = {n: torch.from_numpy(v) for n, v in program.parameters.items() if n in declarations(module)}
    batch = (*task.inputs, *task.targets)
    before = Interpreter(module, values)
    wanted = before.run("step", *batch)
    run_pipeline(module, [FuseBatchNormGrad()])
    after = Interpreter(module, values)
    torch.testing.assert_close(after.run("step", *batch), wanted, rtol=0, atol=0)
    torch.testing.assert_close(after.gradients, before.gradients, rtol=1e-4, atol=1e-5)


def test_the_activation_of_a_trained_norm_is_not_needed() -> None:
    _, program = traced(2)
    module = program.copy_module()
    run_pipeline(module, [RaiseGradients(), PruneBackward(), FoldBatchNorm()])

    def kinds() -> tuple[str, int]:
        """What makes the gradient that the stem's weight gets, and how often its norm takes the mean away."""
        gradients = operations(step_of(module), "sparsebp.conv_weight_grad")
        (stem,) = [op for op in gradients if shape_of(op.operation.results[0].type) == (4, 2, 3, 3)]
        differences = operations(step_of(module), "torch.aten.sub.Tensor")
        shapes = [shape_of(op.operation.results[0].type) for op in differences]
        return stem.operation.operands[0].owner.name, shapes.count((2, 4, 4, 4))

    assert kinds() == ("torch.aten.mul.Tensor", 4)
    run_pipeline(module, [FuseBatchNormGrad()])
    assert kinds() == ("torch.aten.where.self", 3)
