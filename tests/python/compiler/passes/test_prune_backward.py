# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Pruned programs give the same losses and the same (parts of) gradients as the whole ones."""

from collections.abc import Callable
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from pock.compiler import TrainingProgram, TrainingTask, trace
from pock.compiler.analysis.declared import dimensions_of
from pock.compiler.opt import run_pipeline
from pock.compiler.passes.fold_batch_norm import FoldBatchNorm
from pock.compiler.passes.prune_backward import PruneBackward
from pock.compiler.passes.raise_gradients import RaiseGradients
from pock.dialects.sparsebp import Mask, declarations
from tests.e2e import zoo
from tests.python.compiler.torch_interpreter import Interpreter

_TASKS: dict[str, Callable[[], TrainingTask]] = {
    "convolutions": lambda: TrainingTask(
        zoo.settle(zoo.ConvNet()), (torch.randn(2, 3, 16, 16),), (torch.randint(0, 5, (2,)),), F.cross_entropy
    ),
    "dropout": lambda: TrainingTask(
        zoo.MLP(), (torch.randn(3, 12),), (torch.randint(0, 4, (3,)),), F.cross_entropy
    ),
    "transformer": lambda: TrainingTask(
        zoo.Transformer(layers=1),
        (torch.randint(0, 31, (2, 8)),),
        (torch.randint(0, 3, (2,)),),
        F.cross_entropy,
    ),
    "tied": lambda: TrainingTask(
        zoo.TiedLanguageModel(),
        (torch.randint(0, 13, (2, 6)),),
        (torch.randint(0, 13, (2, 6)),),
        lambda logits, y: F.cross_entropy(logits.transpose(1, 2), y),
    ),
}


@cache
def _traced(name: str) -> tuple[TrainingTask, TrainingProgram, list[torch.Tensor], dict[str, torch.Tensor]]:
    """A task, its program, and the loss, outputs and whole gradients of the unpruned program."""
    torch.manual_seed(0)
    task = _TASKS[name]()
    program = trace(task)
    reference = Interpreter(program.module, _values(program))
    outputs = reference.run("step", *task.inputs, *task.targets)
    return task, program, outputs, reference.gradients


def _values(program: TrainingProgram) -> dict[str, torch.Tensor]:
    declared = declarations(program.module)
    return {n: torch.from_numpy(v) for n, v in program.parameters.items() if n in declared}


@st.composite
def _mask(draw: st.DrawFn, size: int, dimension: str | None) -> Mask:
    kinds = ["none", "full"] if dimension is None or size == 1 else ["none", "full", "range", "list"]
    kind = draw(st.sampled_from(kinds))
    if kind in ("none", "full"):
        return Mask.none() if kind == "none" else Mask.full()
    assert dimension is not None
    if kind == "range":
        begin = draw(st.integers(0, size - 1))
        return Mask.channels(dimension, range(begin, draw(st.integers(begin + 1, size))), size)
    return Mask.channels(dimension, draw(st.sets(st.integers(0, size - 1), min_size=1)), size)


@pytest.mark.parametrize("name", _TASKS)
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_gradients_are_parts_of_whole_ones(name: str, data: st.DataObject) -> None:
    task, program, outputs, gradients = _traced(name)
    module = program.copy_module()
    masks: dict[str, tuple[Mask, int]] = {}
    with module.context:
        for parameter, op in declarations(module).items():
            attributes = op.operation.attributes
            if parameter not in gradients:
                continue
            # Any dimension may be sliced, not only the one that schemes slice.
            names = dimensions_of(op)
            axis = data.draw(st.integers(0, len(names) - 1))
            mask = data.draw(_mask(gradients[parameter].shape[axis], names[axis]))
            attributes["mask"] = mask.to_attr()
            masks[parameter] = (mask, axis)
    run_pipeline(module, [RaiseGradients(), PruneBackward(), FoldBatchNorm()])
    pruned = Interpreter(module, {n: v for n, v in _values(program).items() if n in declarations(module)})
    for got, want in zip(pruned.run("step", *task.inputs, *task.targets), outputs, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    trained = {n for n, (mask, _) in masks.items() if mask != Mask.none()}
    assert set(pruned.gradients) == trained
    for parameter in trained:
        mask, axis = masks[parameter]
        want = gradients[parameter]
        if mask.is_sliced:
            want = want.index_select(axis, torch.tensor(mask.positions()))
        scale = float(gradients[parameter].abs().max()) + 1e-8
        torch.testing.assert_close(pruned.gradients[parameter] / scale, want / scale, rtol=1e-4, atol=1e-5)


def _count(module: str, name: str) -> int:
    return module.count(f'"{name}"') + module.count(f" {name} ")


def test_backward_ends_at_the_earliest_trained_layer() -> None:
    _, program, _, _ = _traced("convolutions")
    module = program.copy_module()
    with module.context:
        for parameter, op in declarations(module).items():
            kept = parameter.startswith(("grouped.", "classifier."))
            op.operation.attributes["mask"] = (Mask.full() if kept else Mask.none()).to_attr()
    run_pipeline(module, [RaiseGradients(), PruneBackward()])
    text = str(module)
    # One weight gradient, of the first trained layer; nothing flows below it.
    assert _count(text, "sparsebp.conv_weight_grad") == 1
    assert _count(text, "sparsebp.conv_input_grad") == 0
    assert _count(text, "sparsebp.max_pool_grad") == 0
