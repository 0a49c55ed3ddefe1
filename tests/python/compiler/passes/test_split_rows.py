# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Computed a few rows at a time, a step is what it was, without large activations between two layers."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch_mlir import ir

from pock.compiler import SGD, Scheme, TrainingProgram, TrainingTask, trace
from pock.compiler.opt import run_pipeline
from pock.compiler.passes.split_rows import MOST_AGAIN, SplitRows
from pock.compiler.stages import masked, pruned, trained
from pock.compiler.torch_ir import functions, operations
from pock.dialects.sparsebp import declarations
from pock.dialects.types import shape_of
from tests.e2e import zoo
from tests.python.compiler.passes import images
from tests.python.compiler.torch_interpreter import Interpreter


def _prepared(program: TrainingProgram, scheme: Scheme) -> ir.Module:
    module = program.copy_module()
    run_pipeline(module, [*masked(scheme), *pruned(), *trained(SGD())])
    return module


def _last(program: TrainingProgram, also: str = "") -> Scheme:
    names = [name for name in program.parameters if name.endswith("weight")]
    return Scheme.last_layer(names[-1], *([also] if also else []))


@given(
    blocks=st.lists(st.sampled_from(sorted(images.BLOCKS)), min_size=1, max_size=5),
    height=st.integers(8, 17),
    width=st.integers(6, 9),
    batch=st.integers(1, 2),
    most=st.sampled_from([256, 1024, 2048, 4096, 8192]),
    trained_too=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_a_step_computes_the_same(
    blocks: list[str], height: int, width: int, batch: int, most: int, trained_too: bool
) -> None:
    task = images.task(blocks, height, width, batch)
    program = trace(task)
    # What is above a bias in the middle is kept for the backward pass.
    biases = [name for name in program.parameters if name.endswith("bias")]
    module = _prepared(program, _last(program, biases[len(biases) // 2] if trained_too else ""))
    _check(module, program, task, most)


def _check(module: ir.Module, program: TrainingProgram, task: TrainingTask, most: int) -> int:
    """Compare with what it was; how many values are put together of strips."""
    values = {n: torch.from_numpy(v) for n, v in program.parameters.items() if n in declarations(module)}
    given_ = (*task.inputs, *task.targets, torch.tensor(0.1))
    before = Interpreter(module, values)
    wanted = before.run("step", *given_)
    cats = _count(module, "torch.aten.cat")
    run_pipeline(module, [SplitRows(most)])
    after = Interpreter(module, values)
    torch.testing.assert_close(after.run("step", *given_), wanted)
    torch.testing.assert_close(after.state, before.state)
    return _count(module, "torch.aten.cat") - cats


def _count(module: ir.Module, name: str) -> int:
    return len(operations(functions(module)["step"], name))


def test_no_large_activation_is_left_below_what_is_trained() -> None:
    torch.manual_seed(0)
    model = zoo.settle(zoo.MobileNetV2(10, 0.35))
    task = TrainingTask(model, (torch.randn(2, 3, 128, 128),), (torch.tensor([1, 2]),), F.cross_entropy)
    program = trace(task)
    module = _prepared(program, Scheme.last_layer("classifier.*"))
    most = 400_000
    assert max(_activations(module, "step")) > 3 * most
    found = _check(module, program, task, most)
    assert found == 2
    assert max(_activations(module, "step")) <= most
    assert max(_activations(module, "predict")) > 3 * most, "prediction is left as it is"
    once = str(module)
    run_pipeline(module, [SplitRows(most)])
    assert str(module) == once, "a second run changes something"


def _activations(module: ir.Module, function: str) -> list[int]:
    """The bytes of what convolutions make."""
    made = operations(functions(module)[function], "sparsebp.convolution")
    return [4 * torch.Size(shape_of(op.operation.results[0].type)).numel() for op in made]


def test_what_the_backward_pass_takes_is_not_divided() -> None:
    program = trace(images.task(["inverted", "inverted"], 16, 8, 1))
    module = _prepared(program, Scheme.full())
    text = str(module)
    run_pipeline(module, [SplitRows(256)])
    assert str(module) == text


def test_strips_compute_little_more_than_the_whole() -> None:
    task = images.task(["deep"], 16, 8, 1)
    program = trace(task)
    whole = _prepared(program, _last(program))
    for most, divided in ((3000, True), (512, False)):
        module = ir.Module.parse(str(whole), whole.context)
        run_pipeline(module, [SplitRows(most)])
        rows = [sum(_rows(each)) for each in (whole, module)]
        assert (rows[1] > rows[0]) == divided
        assert rows[1] <= MOST_AGAIN * rows[0]


def _rows(module: ir.Module) -> list[int]:
    """The rows of what convolutions make."""
    made = operations(functions(module)["step"], "sparsebp.convolution")
    return [shape_of(op.operation.results[0].type)[1] for op in made]
