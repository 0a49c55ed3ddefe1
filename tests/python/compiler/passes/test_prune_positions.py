# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Programs that compute fewer positions give the same results and gradients as PyTorch does on the whole."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch_mlir import ir

from pock.compiler import TrainingTask, trace
from pock.compiler.opt import run_pipeline
from pock.compiler.passes.prune_backward import PruneBackward
from pock.compiler.passes.prune_positions import PrunePositions
from pock.compiler.passes.raise_gradients import RaiseGradients
from pock.compiler.torch_ir import functions, operations, set_function_type
from pock.dialects.sparsebp import declarations
from pock.dialects.types import shape_of
from tests.e2e import zoo
from tests.python.compiler.passes.chains import (
    ANY,
    CONTEXT,
    GROWTHS,
    Chain,
    Growth,
    binary,
    bmm,
    convert,
    expand,
    grow,
    inputs,
    mm,
    permute,
    slice_tensor,
    squeeze,
    start,
    sums,
    t,
    transpose,
    unary,
    unsqueeze,
    view,
    where,
    widen,
)
from tests.python.compiler.torch_interpreter import Interpreter


def _put_among_zeros(c: Chain) -> ir.Value:
    """The gradient of a slice: what is along one dimension, zeros before and behind."""
    axis = c.draw(st.integers(0, c.rank - 1))
    return _scatter(c, axis, c.draw(st.integers(0, 2)), 2)


def _scatter(c: Chain, axis: int, before: int, zeros: int) -> ir.Value:
    """``zeros`` positions more along ``axis``, some of them in front of the value."""
    shape = list(c.shape)
    shape[axis] += zeros
    into = c.aten("full", shape, 0, 7, None, None, None, shape=shape)
    return c.aten("slice_scatter", into, c.value, axis, before, before + c.shape[axis], 1, shape=shape)


def _parts(c: Chain) -> ir.Value:
    """The gradients of two slices, of the same positions or of others, added up."""
    axis = c.draw(st.integers(0, c.rank - 1))
    first, second = (_scatter(c, axis, c.draw(st.integers(0, 2)), 2) for _ in range(2))
    return c.aten("add.Tensor", first, second, 1, shape=shape_of(first.type))


def _put_position(c: Chain) -> ir.Value:
    """The gradient of one position, as PyTorch writes it."""
    axis, size = c.draw(st.integers(0, c.rank)), c.draw(st.integers(2, 3))
    one = [*c.shape[:axis], 1, *c.shape[axis:]]
    shape = [*c.shape[:axis], size, *c.shape[axis:]]
    count = c.aten("arange.start_step", 0, size, 1, 4, None, None, None, shape=[size], element="si64")
    rows = [size if i == axis else 1 for i in range(len(shape))][c.draw(st.sampled_from([0, axis])) :]
    at = c.aten("view", count, rows, shape=rows, element="si64")
    here = c.aten("eq.Scalar", at, c.draw(st.integers(0, size - 1)), shape=rows, element="i1")
    x = c.aten("expand", c.aten("unsqueeze", c.value, axis, shape=one), shape, False, shape=shape)
    zeros = c.aten("full", shape, 0, 7, None, None, None, shape=shape)
    return c.aten("where.self", here, x, zeros, shape=shape)


def _twice(c: Chain) -> ir.Value:
    """The value as two branches make it, added up."""
    scaled = c.aten("mul.Scalar", c.value, 3, shape=c.shape)
    return c.aten("add.Tensor", scaled, c.aten("neg", c.value, shape=c.shape), 2, shape=c.shape)


def _product(c: Chain) -> ir.Value:
    """Of matrices, or of batches of them."""
    if c.rank not in (2, 3):
        shape = [c.shape[0], prod(c.shape[1:])]
        c.value = c.aten("view", c.value, shape, shape=shape)
    return mm(c) if c.rank == 2 else bmm(c)


#: What gradients are condensed through, and the ranks of the values that it takes.
_GROWTHS: dict[Growth, Sequence[int]] = {
    **{growth: GROWTHS[growth] for growth in (
        mm, bmm, t, permute, transpose, view, unsqueeze, squeeze, expand, sums, unary, convert, binary, widen,
        where, slice_tensor,
    )},
    _put_among_zeros: (1, 2, 3, 4), _put_position: (1, 2, 3), _parts: (1, 2, 3, 4), _twice: ANY,
}  # fmt: skip


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_chains_from_gradients_of_parts(data: st.DataObject) -> None:
    with CONTEXT, ir.Location.unknown():
        c = start(data, (1, 2, 3))
        grow(c, data.draw(st.sampled_from([_put_among_zeros, _put_position, _parts])))
        # Gradients are condensed for the sake of products.
        for count in (3, 2):
            for _ in range(data.draw(st.integers(0, count))):
                fitting = [growth for growth, ranks in _GROWTHS.items() if c.rank in ranks]
                if fitting:
                    grow(c, data.draw(st.sampled_from(fitting)))
            grow(c, _product)
        _check_unchanged(c)


def _check_unchanged(c: Chain) -> None:
    """Return the value and another one: the pass leaves both as they are."""
    returned = [c.value, c.draw(st.sampled_from(c.seen))]
    terminator = list(c.block.operations)[-1]
    c.builder.create("func.return", returned, [])
    terminator.operation.erase()
    set_function_type(functions(c.module)["step"])
    given_ = inputs(c.module)
    wanted = Interpreter(c.module).run("step", *given_)
    assume(all(torch.isfinite(w).all() for w in wanted))
    run_pipeline(c.module, [PrunePositions()])
    torch.testing.assert_close(Interpreter(c.module).run("step", *given_), wanted)


class _Patches(nn.Module):
    """A vision transformer of two layers, classified by a token in front of its patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.layers = nn.Sequential(*(zoo.Encoder(16, 2) for _ in range(2)))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = self.layers(torch.cat([self.token.expand(len(x), -1, -1), x], 1))
        return self.head(self.norm(x)[:, 0])


class _Language(nn.Module):
    """A decoder of which the loss takes the logits of some positions."""

    def __init__(self, positions: slice) -> None:
        super().__init__()
        self.tokens, self.layer = nn.Embedding(13, 16), zoo.Encoder(16, 2)
        self.head, self.positions = nn.Linear(16, 13), positions

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.layer(self.tokens(tokens)))[:, self.positions]


def _next(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.transpose(1, 2), targets)


_TOKENS = torch.arange(12).view(2, 6)
_TASKS: dict[str, Callable[[], TrainingTask]] = {
    "first token": lambda: TrainingTask(
        zoo.FirstToken(), (_TOKENS,), (torch.tensor([0, 2]),), F.cross_entropy
    ),
    "vision": lambda: TrainingTask(
        _Patches(), (torch.randn(2, 3, 8, 8),), (torch.tensor([0, 2]),), F.cross_entropy
    ),
    "last logits": lambda: TrainingTask(_Language(slice(-1, None)), (_TOKENS,), (_TOKENS[:, -1:],), _next),
    "all but the last": lambda: TrainingTask(
        _Language(slice(None, -1)), (_TOKENS,), (_TOKENS[:, 1:],), _next
    ),
}


@pytest.mark.parametrize("name", _TASKS)
def test_gradients_are_those_of_the_whole_program(name: str) -> None:
    torch.manual_seed(0)
    task = _TASKS[name]()
    program = trace(task)
    values = {n: torch.from_numpy(v) for n, v in program.parameters.items()}
    module, given_ = program.copy_module(), (*task.inputs, *task.targets)
    run_pipeline(module, [RaiseGradients(), PruneBackward()])
    values = {n: v for n, v in values.items() if n in declarations(module)}
    whole = Interpreter(module, values)
    wanted = whole.run("step", *given_)
    before = _work(module)
    run_pipeline(module, [PrunePositions(), PruneBackward()])
    assert _work(module) < before
    pruned = Interpreter(module, values)
    torch.testing.assert_close(pruned.run("step", *given_), wanted)
    assert pruned.gradients.keys() == whole.gradients.keys()
    for parameter, gradient in whole.gradients.items():
        torch.testing.assert_close(pruned.gradients[parameter], gradient, rtol=1e-4, atol=1e-6)


def _work(module: Any) -> int:
    """Multiplications of the products of matrices in a step."""
    count = 0
    for name in ("torch.aten.mm", "torch.aten.bmm"):
        for op in operations(functions(module)["step"], name):
            rows, right = op.operation.operands
            count += shape_of(right.type)[-1] * int(torch.Size(shape_of(rows.type)).numel())
    return count


def test_a_classifier_of_the_first_token_computes_one_row_of_its_last_layer() -> None:
    program = trace(_TASKS["first token"]())
    module = program.copy_module()
    run_pipeline(module, [RaiseGradients(), PrunePositions(), PruneBackward()])
    shapes = [
        [shape_of(value.type) for value in (*op.operation.operands, op.operation.results[0])]
        for op in operations(functions(module)["step"], "torch.aten.mm")
    ]
    # 12 tokens of 2 sequences; of the 2 layers' feed-forward forward, with weight and input gradients
    wide = [each for each in shapes if any(64 in shape for shape in each)]
    assert len(wide) == 12
    assert sum(any(12 in shape for shape in each) for each in wide) == 6
