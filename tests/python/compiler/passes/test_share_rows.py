# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Ranks that compute rows of the first layers take the same step, with fewer exchanges."""

from collections.abc import Sequence
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch_mlir import ir

from pock.compiler import Scheme, TrainingProgram, TrainingTask, trace
from pock.compiler.analysis.ranks import BY_RANK
from pock.compiler.opt import parse_module, run_pipeline
from pock.compiler.passes import share_rows
from pock.compiler.passes.share_rows import ShareRows
from pock.compiler.passes.split_channels import of_all_ranks
from pock.compiler.passes.strips import Region
from pock.compiler.ranks import parts_of
from pock.compiler.stages import masked, pruned
from pock.compiler.torch_ir import copied, functions, operations
from pock.dialects.sparsebp import declarations
from pock.dialects.types import shape_of
from tests.e2e import zoo
from tests.python.compiler.passes import images
from tests.python.compiler.passes.side_by_side import part_of_value, run
from tests.python.compiler.torch_interpreter import Interpreter


def _pruned(program: TrainingProgram, scheme: Scheme) -> ir.Module:
    module = program.copy_module()
    run_pipeline(module, [*masked(scheme), *pruned()])
    return module


def _shared(module: ir.Module, function: str = "step") -> list[Sequence[int]]:
    """The shapes of what ranks compute rows of."""
    cats = operations(functions(module)[function], "torch.aten.cat")
    return [shape_of(op.operation.results[0].type) for op in cats if BY_RANK in op.operation.attributes]


def _exchanged(module: ir.Module) -> list[Sequence[int]]:
    sums = operations(functions(module)["step"], "sparsebp.all_reduce")
    return [shape_of(op.operation.results[0].type) for op in sums]


def _split(module: ir.Module, count: int) -> list[ir.Module]:
    first = copied(module)
    with first.context, ir.Location.unknown():
        return of_all_ranks(first, count)


def _check(module: ir.Module, program: TrainingProgram, task: TrainingTask, count: int) -> list[ir.Module]:
    """Compare the ranks' programs with the one, before rows are shared; the programs."""
    values = {n: torch.from_numpy(v) for n, v in program.parameters.items() if n in declarations(module)}
    given_ = (*task.inputs, *task.targets)
    whole = Interpreter(module, values)
    calls = {"step": given_, "evaluate": given_, "predict": task.inputs}
    wanted = {name: whole.run(name, *arguments) for name, arguments in calls.items()}
    run_pipeline(module, [ShareRows(count)])
    modules = _split(module, count)
    parts = parts_of(modules[0])
    for name, arguments in calls.items():
        found, ran = run(modules, values, name, arguments)
        for rank, (each, interpreter) in enumerate(zip(found, ran, strict=True)):
            torch.testing.assert_close(each, wanted[name], rtol=1e-4, atol=1e-5)
            for parameter, gradient in whole.gradients.items() if name == "step" else ():
                own = part_of_value(gradient, parts.get(parameter), rank)
                torch.testing.assert_close(interpreter.gradients[parameter], own, rtol=1e-3, atol=1e-5)
    return modules


@given(
    blocks=st.lists(st.sampled_from(sorted(images.BLOCKS)), min_size=1, max_size=5),
    height=st.integers(4, 8).map(lambda n: 2 * n),
    width=st.integers(6, 9),
    batch=st.integers(1, 2),
    count=st.sampled_from([2, 4]),
    wanted=st.integers(4, 20),
    trained_too=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_ranks_take_the_same_step(
    blocks: list[str], height: int, width: int, batch: int, count: int, wanted: int, trained_too: bool
) -> None:
    """Whichever of the layers that can be are divided by rows."""
    task = images.task(blocks, height, width, batch)
    program = trace(task)
    # What is above a bias in the middle is kept for the backward pass.
    biases = [name for name in program.parameters if name.endswith("bias")]
    names = ["*.weight", *([biases[len(biases) // 2]] if trained_too else [])]
    module = _pruned(program, Scheme.last_layer(f"{len(blocks) + 3}.weight", *names[1:]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(share_rows._Plan, "gain", lambda _, region: 100 - abs(len(region.operations) - wanted))
        _check(module, program, task, count)


@cache
def _mobilenet() -> tuple[TrainingTask, TrainingProgram]:
    torch.manual_seed(0)
    model = zoo.settle(zoo.MobileNetV2(10, 1.0))
    task = TrainingTask(model, (torch.randn(1, 3, 128, 128),), (torch.tensor([1]),), F.cross_entropy)
    return task, trace(task)


def test_the_first_layers_of_a_mobilenet_exchange_once() -> None:
    task, program = _mobilenet()
    module = _pruned(program, Scheme.last_layer("classifier.*"))
    by_channels = _exchanged(_split(module, 2)[0])
    modules = _check(module, program, task, 2)
    (shared,) = _shared(module)
    assert _shared(module, "predict") == _shared(module, "evaluate") == [shared]
    exchanged = _exchanged(modules[0])
    assert exchanged[0] == shared and shared[2] <= 32
    large = [shape for shape in by_channels if shape[2:] and shape[2] >= 32]
    assert len(large) == 3 and exchanged == [shared, *by_channels[len(by_channels) - len(exchanged) + 1 :]]


@pytest.mark.parametrize(
    ("scheme", "why"),
    [
        (Scheme.full(), "everything is kept"),
        (Scheme.last_layer("classifier.*", "features.0.0.weight"), "a first weight is trained"),
    ],
)
def test_what_the_backward_pass_takes_is_not_divided_by_rows(scheme: Scheme, why: str) -> None:
    module = _pruned(_mobilenet()[1], scheme)
    text = str(module)
    run_pipeline(module, [ShareRows(2)])
    assert not _shared(module), why
    assert module.operation.verify() and text.count("convolution") == str(module).count("convolution")


def test_a_region_needs_the_rows_next_to_its_own() -> None:
    task = images.task(["deep"], 16, 8, 1)
    module = _pruned(trace(task), Scheme.last_layer("4.weight"))
    regions: list[Region] = list(share_rows._regions(functions(module)["step"], 2))
    last = regions[-1]
    convolutions = [i for i, each in enumerate(last.operations) if each.window]
    assert len(convolutions) == 4
    assert [last.needed((0, 8))[i] for i in convolutions] == [(0, 11), (0, 10), (0, 9), (0, 8)]
    assert [last.needed((8, 16))[i] for i in convolutions] == [(5, 16), (6, 16), (7, 16), (8, 16)]


@pytest.mark.parametrize(("above", "divided"), [(9, True), (10, False)])
def test_a_rank_is_not_left_with_padding_alone(above: int, divided: bool) -> None:
    """Of models that pad apart from convolutions."""
    torch.manual_seed(0)
    pad = nn.Sequential(nn.ZeroPad2d((1, 1, above, 10 - above)), nn.Conv2d(4, 4, 3))
    model = nn.Sequential(nn.Conv2d(3, 4, 1), pad, nn.Flatten(), nn.Linear(4 * 16 * 8, 3)).double()
    task = TrainingTask(model, (torch.randn(1, 3, 8, 8).double(),), (torch.tensor([1]),), F.cross_entropy)
    program = trace(task)
    module = _pruned(program, Scheme.last_layer("3.weight"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(share_rows._Plan, "gain", lambda _, region: 1.0)
        _check(module, program, task, 2)
    assert bool(_shared(module)) == divided


def test_the_text_of_a_program_says_who_computes_what() -> None:
    """What one rank computes is known in the program that is read again."""
    module = _pruned(_mobilenet()[1], Scheme.last_layer("classifier.*"))
    run_pipeline(module, [ShareRows(2)])
    again = parse_module(str(module), module.context, "again")
    assert [str(m) for m in _split(again, 2)] == [str(m) for m in _split(module, 2)]
    assert not any(BY_RANK in str(m) for m in _split(module, 2))
    assert all(BY_RANK in str(m) for m in _split(module, 3)), "three ranks have no part each of two"
