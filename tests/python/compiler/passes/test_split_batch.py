# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A step whose batch is split gives the loss, outputs, gradients and state of the whole step."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch_mlir import ir

from pock.compiler import TrainingTask, trace
from pock.compiler.errors import PassFailure
from pock.compiler.opt import run_pipeline
from pock.compiler.passes.prune_backward import PruneBackward
from pock.compiler.passes.prune_positions import PrunePositions
from pock.compiler.passes.raise_gradients import RaiseGradients
from pock.compiler.passes.split_batch import SplitBatch, division_of, partials_of
from pock.compiler.torch_ir import body, functions, operations, set_function_type
from pock.dialects.sparsebp import declarations
from pock.dialects.types import element_of, shape_of
from tests.e2e import zoo
from tests.python.compiler.passes.chains import CONTEXT, GROWTHS, Chain, grow, inputs
from tests.python.compiler.torch_interpreter import Interpreter


def _split_step(module: ir.Module, count: int, values: Any, given_: Sequence[Tensor]) -> tuple[Any, Any]:
    """What a split step returns, and the interpreter that ran it."""
    interpreter = Interpreter(module, values)
    gradients = functions(module)["gradients"]
    divided, whole = division_of(gradients)
    partials = partials_of(gradients)
    outputs, partial = [], []
    for i in range(count):
        parts = [t.chunk(count)[i] if cut else t for t, cut in zip(given_, divided, strict=True)]
        results = interpreter.run("gradients", *parts, *(given_[j] for j in whole))
        outputs.append(results[: len(results) - partials])
        partial += results[len(results) - partials :]
    loss = interpreter.run("update", *partial)
    return [*loss, *(torch.cat(each) for each in zip(*outputs, strict=True))], interpreter


# -- chains of operations -----------------------------------------------------------------------


def _chain(data: st.DataObject) -> Chain:
    """A chain from a batch of two or four."""
    rest = data.draw(st.lists(st.sampled_from([1, 2, 3]), max_size=2))
    c = Chain(data, [data.draw(st.sampled_from([2, 4])), *rest])
    for _ in range(data.draw(st.integers(1, 5))):
        fitting = [growth for growth, ranks in GROWTHS.items() if c.rank in ranks]
        if fitting:
            grow(c, data.draw(st.sampled_from(fitting)))
    return c


def _return(c: Chain, values: Sequence[ir.Value]) -> None:
    terminator = list(c.block.operations)[-1]
    c.builder.create("func.return", values, [])
    terminator.operation.erase()
    set_function_type(functions(c.module)["step"])


@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_what_is_computed_of_parts_is_what_is_computed_of_the_whole(data: st.DataObject) -> None:
    """The value itself, which may be a sum over the batch; or the sum of its squares."""
    with CONTEXT, ir.Location.unknown():
        c = _chain(data)
        value = c.value
        if data.draw(st.booleans()):
            value = c.builder.sum(c.builder.mul(value, value), range(c.rank))
        _return(c, [value])
        given_ = inputs(c.module)
        wanted = Interpreter(c.module).run("step", *given_)
        try:
            run_pipeline(c.module, [SplitBatch(2)])
        except PassFailure:
            return
        found, _ = _split_step(c.module, 2, None, given_)
    torch.testing.assert_close(found, wanted, equal_nan=True)


# -- programs -----------------------------------------------------------------------------------


class _Decoder(nn.Module):
    """A decoder with rotated positions, a causal mask and RMS norm."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.norm = nn.Embedding(11, 16), nn.RMSNorm(16)
        self.qkv, self.out, self.head = nn.Linear(16, 48), nn.Linear(16, 16), nn.Linear(16, 11)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens)
        q, k, v = (z.unflatten(2, (2, 8)).transpose(1, 2) for z in self.qkv(self.norm(x)).chunk(3, -1))
        a, b = q.split([4, 4], -1)
        q = torch.cat([-b, a], -1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.head(x + self.out(y.transpose(1, 2).flatten(2)))


def _next(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def _images(model: nn.Module, size: int = 16, batch: int = 4, loss: Any = F.cross_entropy) -> TrainingTask:
    x = torch.randn(batch, 3, size, size)
    # One label does not count.
    y = torch.tensor([1, -100, 0, 2, 1, 3, 0, 0][:batch])
    return TrainingTask(zoo.settle(model), (x,), (y,), loss)


_TOKENS = torch.arange(24).view(4, 6) % 11
_TASKS: dict[str, Callable[[], TrainingTask]] = {
    "convolutions": lambda: _images(zoo.ConvNet()),
    "wide convolutions": lambda: _images(zoo.WideNet(), batch=8),
    "residuals": lambda: _images(zoo.ResNet(zoo.BasicBlock, (1, 1, 1, 1), 5), 32),
    "encoder": lambda: TrainingTask(
        zoo.Transformer().eval(), (_TOKENS,), (torch.tensor([0, 2, 1, 1]),), F.cross_entropy
    ),
    "decoder": lambda: TrainingTask(_Decoder(), (_TOKENS,), (_TOKENS.roll(1),), _next),
    "summed loss": lambda: _images(zoo.ConvNet(), loss=nn.CrossEntropyLoss(reduction="sum")),
    "weighted loss": lambda: _images(zoo.ConvNet(), loss=nn.CrossEntropyLoss(torch.rand(5))),
    "wide layers": lambda: TrainingTask(
        nn.Sequential(nn.Linear(40, 64), nn.Tanh(), nn.Linear(64, 48)),
        (torch.randn(4, 40),), (torch.tensor([3, 40, 0, 7]),), F.cross_entropy,
    ),
    "squares": lambda: TrainingTask(
        nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)),
        (torch.randn(4, 3),), (torch.randn(4, 2),), lambda y, t: ((y - t) ** 2).sum() / 7,
    ),
}  # fmt: skip


def _pruned(task: TrainingTask) -> tuple[ir.Module, dict[str, Tensor]]:
    program = trace(task)
    module = program.copy_module()
    run_pipeline(module, [RaiseGradients(), PrunePositions(), PruneBackward()])
    known = declarations(module)
    return module, {n: torch.from_numpy(v) for n, v in program.parameters.items() if n in known}


@pytest.mark.parametrize("name", _TASKS)
@pytest.mark.parametrize("count", [2, 4])
def test_a_split_step_is_the_step(name: str, count: int) -> None:
    torch.manual_seed(0)
    task = _TASKS[name]()
    module, values = _pruned(task)
    given_ = (*task.inputs, *task.targets)
    step = Interpreter(module, values)
    wanted = step.run("step", *given_)
    run_pipeline(module, [SplitBatch(count)])
    assert set(functions(module)) == {"gradients", "update", "predict", "evaluate"}
    found, split = _split_step(module, count, values, given_)
    torch.testing.assert_close(found, wanted)
    assert split.gradients.keys() == step.gradients.keys()
    for parameter, gradient in step.gradients.items():
        torch.testing.assert_close(split.gradients[parameter], gradient, rtol=1e-4, atol=1e-5)


def test_products_are_of_the_parts_and_counts_of_the_whole() -> None:
    task = _TASKS["encoder"]()
    module, _ = _pruned(task)
    rows = {
        shape_of(op.operation.results[0].type)
        for op in operations(functions(module)["step"], "torch.aten.mm")
    }
    run_pipeline(module, [SplitBatch(2)])
    gradients, update = (functions(module)[name] for name in ("gradients", "update"))
    parts = {shape_of(op.operation.results[0].type) for op in operations(gradients, "torch.aten.mm")}
    assert {shape[0] for shape in rows} & {4 * 6} and not {shape[0] for shape in parts} & {4 * 6}
    assert not operations(update, "torch.aten.mm") and not operations(gradients, "sparsebp.update")
    types = [(shape_of(a.type), element_of(a.type)) for a in body(gradients).arguments]
    assert types == [((2, 6), "si64"), ((2,), "si64"), ((4,), "si64")]


def test_what_is_larger_than_its_operands_is_computed_of_these() -> None:
    module, _ = _pruned(_TASKS["wide layers"]())
    run_pipeline(module, [SplitBatch(2)])
    gradients, update = (functions(module)[name] for name in ("gradients", "update"))
    products = [shape_of(op.operation.results[0].type) for op in operations(update, "torch.aten.mm")]
    assert sorted(products) == [(48, 64), (64, 40)]
    returned = [shape_of(v.type) for v in operations(gradients)[-1].operation.operands]
    # The outputs, then the loss, two bias gradients, and two operands of each product.
    assert len(returned) == 1 + 3 + 4 and not {(48, 64), (64, 40)} & set(returned)


# -- what cannot be split -----------------------------------------------------------------------


def _fails(task: TrainingTask, count: int = 2) -> str:
    module, _ = _pruned(task)
    before = str(module)
    with pytest.raises(PassFailure) as error:
        run_pipeline(module, [SplitBatch(count)])
    assert str(module) == before
    return str(error.value)


def test_statistics_of_the_batch_are_not_made_of_parts() -> None:
    task = _images(zoo.ConvNet())
    task = TrainingTask(task.model.train(), task.inputs, task.targets, task.loss, batch_norm="train")
    assert "is not made of 2 equal parts of the batch" in _fails(task)


def test_a_batch_that_the_count_does_not_divide() -> None:
    assert "no input has a batch that 3 parts can be made of" in _fails(_images(zoo.ConvNet()), 3)


def test_a_loss_that_is_no_sum_over_samples() -> None:
    def contrast(y: Tensor, t: Tensor) -> Tensor:
        return F.cross_entropy(y @ y.T, t)

    assert "not made of" in _fails(_images(zoo.ConvNet(), loss=contrast))


def test_random_numbers_are_not_drawn_in_parts() -> None:
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 5)).train()
    task = TrainingTask(model, (torch.randn(4, 3),), (torch.tensor([0, 1, 2, 3]),), F.cross_entropy)
    assert "not made of" in _fails(task)


def test_one_part_is_the_step_itself() -> None:
    module, _ = _pruned(_TASKS["squares"]())
    before = str(module)
    run_pipeline(module, [SplitBatch(1)])
    assert str(module) == before
