# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What is computed again is the same to the bit, whatever is trained, and less is kept."""

from functools import cache

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch_mlir import ir

from pock.compiler import TrainingProgram, TrainingTask, trace
from pock.compiler.analysis.block_graph import BlockGraph
from pock.compiler.analysis.saved_values import Choice, SavedValues, size_of
from pock.compiler.opt import run_pipeline
from pock.compiler.passes.base import Pass
from pock.compiler.passes.fuse_batch_norm_grad import FuseBatchNormGrad
from pock.compiler.passes.prune_backward import PruneBackward
from pock.compiler.passes.raise_gradients import RaiseGradients
from pock.compiler.passes.rematerialize import Rematerialize
from pock.compiler.torch_ir import operations, step_of
from pock.dialects.sparsebp import declarations
from pock.dialects.types import is_vtensor
from tests.python.compiler.torch_interpreter import Interpreter

from .test_fold_batch_norm import draw_masks


class Net(nn.Module):
    """Convolutions and linear layers with each kind of norm and activation between them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm0 = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.depthwise, self.norm1 = nn.Conv2d(4, 4, 3, groups=4, padding=1), nn.BatchNorm2d(4)
        self.norm2 = nn.GroupNorm(2, 4)
        self.point = nn.Conv2d(4, 6, 1)
        self.up, self.norm3 = nn.Linear(6, 8), nn.LayerNorm(8)
        self.down = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu6(self.norm0(self.stem(x)))
        x = x + F.hardswish(self.norm1(self.depthwise(x)))
        x = F.dropout(F.silu(self.norm2(x)), 0.5)
        x = F.relu(self.point(x)).flatten(2).transpose(1, 2)
        x = F.gelu(self.norm3(self.up(x)))
        return self.down(F.leaky_relu(x) * torch.tanh(x)).mean(1)


@cache
def _traced() -> tuple[TrainingTask, TrainingProgram]:
    torch.manual_seed(0)
    x = torch.randn(2, 2, 4, 4)
    task = TrainingTask(Net(), (x,), (torch.randint(0, 3, (2,)),), F.cross_entropy)
    return task, trace(task)


_BEFORE: tuple[Pass, ...] = (RaiseGradients(), PruneBackward(), FuseBatchNormGrad())


@given(st.data(), st.booleans(), st.booleans())
@settings(max_examples=25, deadline=None)
def test_results_are_the_same(data: st.DataObject, transcendental: bool, bits: bool) -> None:
    task, program = _traced()
    module = program.copy_module()
    draw_masks(module, program, task, data)
    run_pipeline(module, list(_BEFORE))
    values = {n: torch.from_numpy(v) for n, v in program.parameters.items() if n in declarations(module)}
    batch = (*task.inputs, *task.targets)
    before = Interpreter(module, values)
    wanted, kept = before.run("step", *batch), _kept(module)
    run_pipeline(module, [Rematerialize(least=1, transcendental=transcendental, bits=bits)])
    after = Interpreter(module, values)
    torch.testing.assert_close(after.run("step", *batch), wanted, rtol=0, atol=0)
    torch.testing.assert_close(after.gradients, before.gradients, rtol=0, atol=0)
    assert _kept(module) <= kept
    draws = operations(step_of(module), "sparsebp.random_mask")
    assert len(draws) <= 1


def _kept(module: ir.Module) -> int:
    """The bytes of the results of the forward pass that operations behind it take."""
    graph = BlockGraph(step_of(module))
    values = SavedValues(graph, Choice(1, False, True))
    forward = values.forward - values.free
    saved = {
        operand
        for i, op in enumerate(graph.operations)
        if i not in forward and op.name != "sparsebp.save"
        for operand in op.operands
        if is_vtensor(operand.type) and any(operand in list(graph.operations[p].results) for p in forward)
    }
    return sum(size_of(value) for value in saved)
