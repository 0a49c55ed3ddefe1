# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Folded batch norms compute what they did, whatever is trained, and are gone where nothing of them is."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch_mlir import ir

from pock.compiler import TrainingProgram, TrainingTask, trace
from pock.compiler.analysis.declared import dimensions_of, symbol_of
from pock.compiler.opt import run_pipeline
from pock.compiler.passes.fold_batch_norm import FoldBatchNorm
from pock.compiler.passes.prune_backward import PruneBackward
from pock.compiler.passes.raise_gradients import RaiseGradients
from pock.compiler.torch_ir import functions, operations
from pock.dialects.sparsebp import Mask, declarations
from pock.dialects.types import shape_of
from tests.python.compiler.torch_interpreter import Interpreter

CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class Net(nn.Module):
    """Padded, strided, grouped and transposed convolutions, with and without bias, a norm behind each."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        convolution, norm = CONVOLUTION[rank], NORM[rank]
        self.stem, self.norm0 = convolution(2, 4, 3, padding=1, bias=False), norm(4)
        self.grouped, self.norm1 = convolution(4, 6, 3, stride=2, padding=1, groups=2), norm(6)
        self.up, self.norm2 = TRANSPOSED[rank](6, 4, 2, 2), norm(4)
        self.last = convolution(4, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm0(self.stem(x)))
        y = F.silu(self.norm1(self.grouped(x)))
        x = x + self.norm2(self.up(y))  # the sum is the norm's only user, the activation has two
        return self.last(x).flatten(2).mean(2)


@cache
def traced(rank: int) -> tuple[TrainingTask, TrainingProgram]:
    torch.manual_seed(rank)
    model = Net(rank)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                    assert tensor is not None
                    tensor.uniform_(0.5, 1.5)
    x = torch.randn(2, 2, *[4] * rank)
    task = TrainingTask(model, (x,), (torch.randint(0, 3, (2,)),), F.cross_entropy)
    return task, trace(task)


def draw_masks(
    module: ir.Module, program: TrainingProgram, task: TrainingTask, data: st.DataObject
) -> set[str]:
    """Train each parameter, some of its channels, or not; the names of those that are trained."""
    trained = set()
    with module.context:
        for name, op in declarations(module).items():
            if name not in dict(task.model.named_parameters()):
                continue
            kind = data.draw(st.sampled_from(["none", "full", "some"]))
            mask = Mask.none() if kind == "none" else Mask.full()
            if kind == "some":
                mask = Mask.channels(dimensions_of(op)[0], [0, 2], program.parameters[name].shape[0])
            op.operation.attributes["mask"] = mask.to_attr()
            trained |= set() if kind == "none" else {name}
    return trained


@pytest.mark.parametrize("rank", [1, 2, 3])
@given(data=st.data())
@settings(max_examples=6, deadline=None)
def test_folding_changes_no_value(rank: int, data: st.DataObject) -> None:
    task, program = traced(rank)
    module = program.copy_module()
    trained = draw_masks(module, program, task, data)
    run_pipeline(module, [RaiseGradients(), PruneBackward()])
    values = {n: torch.from_numpy(v) for n, v in program.parameters.items() if n in declarations(module)}
    batch = {"step": (*task.inputs, *task.targets), "predict": task.inputs}
    before = Interpreter(module, values)
    wanted = {name: (before.run(name, *inputs), before.gradients) for name, inputs in batch.items()}
    run_pipeline(module, [FoldBatchNorm()])
    after = Interpreter(module, values)
    for name, inputs in batch.items():
        torch.testing.assert_close(after.run(name, *inputs), wanted[name][0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(after.gradients, wanted[name][1], rtol=1e-4, atol=1e-5)
    for i, convolution in enumerate(("stem", "grouped")):
        untouched = not trained & {f"{convolution}.weight", f"{convolution}.bias", f"norm{i}.weight"}
        assert (_centred(module, f"norm{i}.running_mean") == 0) or not untouched


def _centred(module: ir.Module, name: str) -> int:
    """How many activations of ``@step`` the mean of that name is taken from."""
    step = functions(module)["step"]
    means = [op for op in operations(step, "sparsebp.read") if symbol_of(op) == name]
    views = [use.owner for read in means for use in read.operation.results[0].uses]
    users = [use.owner for view in views for use in view.operation.results[0].uses]
    subtractions = [op for op in users if op.operation.name == "torch.aten.sub.Tensor"]
    return sum(len(shape_of(op.operation.results[0].type)) > 1 for op in subtractions)


def test_nothing_of_a_frozen_norm_is_left_between_layers() -> None:
    _, program = traced(2)
    module = program.copy_module()
    assert _centred(module, "norm0.running_mean") == 1
    with module.context:
        for name, op in declarations(module).items():
            kept = name == "last.weight"
            op.operation.attributes["mask"] = (Mask.full() if kept else Mask.none()).to_attr()
    run_pipeline(module, [RaiseGradients(), PruneBackward(), FoldBatchNorm()])
    assert _centred(module, "norm0.running_mean") == 0
    assert _centred(module, "norm1.running_mean") == 0
    # A transposed convolution keeps its norm.
    assert _centred(module, "norm2.running_mean") == 1
