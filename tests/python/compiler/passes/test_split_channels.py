# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The programs of all ranks, side by side, give the loss, outputs and gradients of the whole program."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch_mlir import ir

from pock.compiler import TrainingTask, trace
from pock.compiler.analysis import ranks
from pock.compiler.opt import parse_module, print_module, run_pipeline
from pock.compiler.passes.fold_batch_norm import FoldBatchNorm
from pock.compiler.passes.prune_backward import PruneBackward
from pock.compiler.passes.prune_positions import PrunePositions
from pock.compiler.passes.raise_gradients import RaiseGradients
from pock.compiler.passes.split_channels import SplitChannels, of_all_ranks
from pock.compiler.ranks import parts_of
from pock.compiler.torch_ir import functions, operations, set_function_type
from pock.dialects.sparsebp import declarations
from pock.dialects.types import shape_of, vtensor
from tests.e2e import zoo
from tests.python.compiler.passes import chains
from tests.python.compiler.passes.chains import CONTEXT, GROWTHS, Chain, grow, inputs
from tests.python.compiler.passes.side_by_side import part_of_value, run
from tests.python.compiler.torch_interpreter import Interpreter


@contextmanager
def _costs(dear: bool) -> Iterator[None]:
    """Programs as small as these would not be divided: let exchanges cost nothing, or products more.

    Where exchanges are ``dear`` what is computed of summands stays summands as long as may be.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "_EXCHANGE", 1e-3 if dear else 0.0)
        patch.setattr(ranks, "_EXCHANGED", 1e18)
        patch.setattr(ranks, "_COMPUTED", 1.0 if dear else 1e11)
        yield


def _split(module: ir.Module, count: int, dear: bool = False) -> list[ir.Module]:
    text = str(module.operation.get_asm())
    together, *modules = (parse_module(text, module.context, "whole") for _ in range(count + 1))
    with _costs(dear):
        for rank, each in enumerate(modules):
            run_pipeline(each, [SplitChannels(count, rank)])
        with module.context, ir.Location.unknown():
            at_once = of_all_ranks(together, count)
    assert [print_module(each) for each in at_once] == [print_module(each) for each in modules]
    return modules


def _sums(module: ir.Module, name: str = "step") -> int:
    return len(operations(functions(module)[name], "sparsebp.all_reduce"))


# -- chains of operations -----------------------------------------------------------------------


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_what_ranks_compute_is_what_one_computes(data: st.DataObject) -> None:
    with CONTEXT, ir.Location.unknown():
        c = Chain(data, data.draw(st.lists(st.sampled_from([1, 2, 4]), min_size=1, max_size=3)))
        for _ in range(data.draw(st.integers(1, 6))):
            fitting = [growth for growth, allowed in GROWTHS.items() if c.rank in allowed]
            if fitting:
                grow(c, data.draw(st.sampled_from(fitting)))
        terminator = list(c.block.operations)[-1]
        c.builder.create("func.return", [c.value], [])
        terminator.operation.erase()
        set_function_type(functions(c.module)["step"])
        given_ = inputs(c.module)
        wanted = Interpreter(c.module).run("step", *given_)
        modules = _split(c.module, 2, data.draw(st.booleans()))
        found, _ = run(modules, {}, "step", given_)
    for each in found:
        torch.testing.assert_close(each, wanted, equal_nan=True)


def _parameter(c: Chain, name: str, shape: Sequence[int]) -> ir.Value:
    """What is read of a parameter that the program declares."""
    declared = parse_module(
        f'"sparsebp.parameter"() {{sym_name = "{name}", type = tensor<{"x".join(map(str, shape))}xf64>, '
        'role = "parameter", dimensions = ["i", "o"], '
        'mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()',
        CONTEXT,
    )
    c.module.body.append(next(iter(declared.body.operations)).operation.detach_from_parent())
    symbol = {"symbol": ir.FlatSymbolRefAttr.get(name)}
    return c.builder.create("sparsebp.read", [], [vtensor(shape, "f64")], symbol)


def _update(c: Chain, name: str, gradient: ir.Value) -> None:
    attributes = {
        "symbol": ir.FlatSymbolRefAttr.get(name),
        "mask": ir.Attribute.parse('#sparsebp.mask<"full", "", array<i64>>', CONTEXT),
    }
    c.builder.create("sparsebp.update", [gradient], [], attributes)


def _product(c: Chain, a: ir.Value, b: ir.Value) -> ir.Value:
    return c.aten("mm", a, b, shape=(shape_of(a.type)[0], shape_of(b.type)[1]))


def _turned(c: Chain, value: ir.Value) -> ir.Value:
    return c.aten("t", value, shape=shape_of(value.type)[::-1])


@given(data=st.data(), count=st.sampled_from([2, 4]))
@settings(max_examples=80, deadline=None)
def test_pairs_of_layers_and_their_updates_are_divided(data: st.DataObject, count: int) -> None:
    """Each with anything elementwise behind it."""
    # No conversions to f32: summands are rounded before they are added up, not behind it.
    same_shape = [chains.unary, chains.binary, chains.where]
    with CONTEXT, ir.Location.unknown():
        rows, inner, outer = (data.draw(st.sampled_from([2, 3, 4])) for _ in range(3))
        hidden = count * data.draw(st.integers(8, 12))
        c = Chain(data, [rows, inner])
        x, up, down = c.value, _parameter(c, "up", (inner, hidden)), _parameter(c, "down", (hidden, outer))

        def layer(source: ir.Value, weight: ir.Value) -> ir.Value:
            c.value = _product(c, source, weight)
            c.seen = [c.value]
            for growth in data.draw(st.lists(st.sampled_from(same_shape), max_size=2)):
                grow(c, growth)
            return c.value

        h = layer(x, up)
        y = layer(h, down)
        dh = _product(c, y, _turned(c, down))
        _update(c, "down", _product(c, _turned(c, h), y))
        _update(c, "up", _product(c, _turned(c, x), dh))
        c.value = _product(c, dh, _turned(c, up))
        terminator = list(c.block.operations)[-1]
        c.builder.create("func.return", [y, c.value], [])
        terminator.operation.erase()
        set_function_type(functions(c.module)["step"])
        given_ = inputs(c.module)
        values = {
            name: torch.linspace(-1, 1, shape[0] * shape[1], dtype=torch.float64).view(shape)
            for name, shape in (("up", (inner, hidden)), ("down", (hidden, outer)))
        }
        whole = Interpreter(c.module, values)
        wanted = whole.run("step", *given_)
        # Sums of large numbers that cancel out depend on their order.
        assume(all(float(t.abs().nan_to_num(1e9).max()) < 1e4 for t in (*wanted, *whole.gradients.values())))
        modules = _split(c.module, count, data.draw(st.booleans()))
        parts = parts_of(modules[0])
        found, ran = run(modules, values, "step", given_)
    assert _sums(modules[0]) > 0
    for rank, (each, interpreter) in enumerate(zip(found, ran, strict=True)):
        torch.testing.assert_close(each, wanted, equal_nan=True)
        for name, gradient in whole.gradients.items():
            expected = part_of_value(gradient, parts.get(name), rank)
            torch.testing.assert_close(interpreter.gradients[name], expected, equal_nan=True)


# -- programs -----------------------------------------------------------------------------------


def _images(model: nn.Module, size: int = 16, batch: int = 1) -> TrainingTask:
    x = torch.randn(batch, 3, size, size)
    return TrainingTask(zoo.settle(model), (x,), (torch.tensor([1, 2][:batch]),), F.cross_entropy)


_TOKENS = torch.arange(12).view(2, 6) % 11
_TASKS: dict[str, Callable[[], TrainingTask]] = {
    "convolutions": lambda: _images(zoo.ConvNet(), batch=2),
    "wide convolutions": lambda: _images(zoo.WideNet()),
    "residuals": lambda: _images(zoo.ResNet(zoo.BasicBlock, (1, 1, 1, 1), 5), 32),
    "encoder": lambda: TrainingTask(
        zoo.Transformer(width=64, heads=4), (_TOKENS,), (torch.tensor([0, 2]),), F.cross_entropy
    ),
    "tied": lambda: TrainingTask(
        zoo.TiedLanguageModel(), (_TOKENS,), (_TOKENS,), lambda y, t: F.cross_entropy(y.transpose(1, 2), t)
    ),
    "dropout": lambda: TrainingTask(
        zoo.MLP(hidden=64), (torch.randn(6, 12),), (torch.tensor([0, 1, 2, 3, 1, 2]),), F.cross_entropy
    ),
}


@pytest.mark.parametrize(
    ("name", "count", "dear"),
    [*((name, 2, True) for name in _TASKS), *((name, 4, False) for name in _TASKS if name != "residuals")],
)
def test_the_ranks_take_the_step(name: str, count: int, dear: bool) -> None:
    torch.manual_seed(0)
    task = _TASKS[name]()
    program = trace(task)
    module = program.copy_module()
    run_pipeline(module, [RaiseGradients(), PrunePositions(), PruneBackward(), FoldBatchNorm()])
    known = declarations(module)
    values = {n: torch.from_numpy(v) for n, v in program.parameters.items() if n in known}
    given_ = (*task.inputs, *task.targets)
    whole = Interpreter(module, values)
    modules = _split(module, count, dear)
    assert _sums(modules[0]) > 0 or name == "dropout"
    parts = parts_of(modules[0])
    for function, arguments in (("step", given_), ("evaluate", given_), ("predict", task.inputs)):
        wanted = whole.run(function, *arguments)
        found, ran = run(modules, values, function, arguments)
        for each in found:
            torch.testing.assert_close(each, wanted, rtol=1e-4, atol=1e-5)
            # Not only close to the program, but the same for all: replicas must not drift apart.
            assert all(torch.equal(a, b) for a, b in zip(each, found[0], strict=True))
        for parameter, gradient in whole.gradients.items():
            for rank, each in enumerate(ran):
                torch.testing.assert_close(
                    each.gradients[parameter],
                    part_of_value(gradient, parts.get(parameter), rank),
                    rtol=1e-3,
                    atol=1e-5,
                    msg=lambda text, of=parameter: f"{of}: {text}",
                )
