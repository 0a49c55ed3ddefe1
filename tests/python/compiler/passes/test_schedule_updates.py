# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Scheduled updates: nothing sees a new value for an old one, in the interpreter and in IREE's dispatches."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torch_mlir import ir

from pock.compiler import Scheme, TrainingProgram, TrainingTask, compile_program, trace
from pock.compiler.analysis.block_graph import BlockGraph
from pock.compiler.analysis.declared import symbol_of
from pock.compiler.analysis.old_values import observers
from pock.compiler.opt import parse_module, run_pipeline
from pock.compiler.optimizers import SGD, AdamW, Lion, Optimizer, parse_optimizer
from pock.compiler.passes.expand_optimizer import ExpandOptimizer
from pock.compiler.passes.schedule_updates import ScheduleUpdates
from pock.compiler.torch_ir import functions
from pock.dialects import sparsebp
from tests.python.compiler.torch_interpreter import Interpreter

FULL = '#sparsebp.mask<"full", "", array<i64>>'
TENSOR = "!torch.vtensor<[3,3],f32>"
SYMBOLS = ("a", "b", "c")

binary = st.tuples(st.sampled_from(["mm", "mul"]), st.integers(0, 100), st.integers(0, 100))
unary = st.tuples(st.sampled_from(["t", "tanh"]), st.integers(0, 100))


def program(steps: list[tuple[object, ...]], assigned: list[tuple[str, int, int]]) -> ir.Module:
    """Straight-line arithmetic over three parameters and an argument, with assigns at any place.

    ``steps`` are operations on earlier values; ``assigned`` are parameter, value and position.
    """
    values = ["%x", "%a", "%b", "%c"]
    lines = [f'%{s} = "sparsebp.read"() {{symbol = @{s}}} : () -> {TENSOR}' for s in SYMBOLS]
    places: dict[int, list[str]] = {}
    for symbol, value, position in assigned:
        at = min(position, len(steps))
        # The old value of another parameter is no copy: what is assigned has been computed.
        known = [v for v in values + [f"%{i}" for i in range(at)] if v not in ("%a", "%b", "%c")]
        known = [v for v in known if v == "%x" or steps[int(v[1:])][0] != "t"]
        new = known[value % len(known)]
        places.setdefault(at, []).append(
            f'"sparsebp.assign"({new}) {{symbol = @{symbol}, mask = {FULL}}} : ({TENSOR}) -> ()'
        )
    for i, (name, *operands) in enumerate([*steps, ("tanh", len(steps) + 3)]):
        lines += places.get(i, [])
        chosen = [values[int(str(o)) % len(values)] for o in operands]
        full = {"mul": "mul.Tensor"}.get(str(name), name)
        types = ", ".join([TENSOR] * len(chosen))
        lines.append(f"%{i} = torch.aten.{full} {', '.join(chosen)} : {types} -> {TENSOR}")
        values.append(f"%{i}")
    parameters = "\n".join(
        f'"sparsebp.parameter"() {{sym_name = "{s}", type = tensor<3x3xf32>, '
        f'dimensions = ["rows", "columns"], role = "parameter", mask = {FULL}}} : () -> ()'
        for s in SYMBOLS
    )
    text = f"{parameters}\nfunc.func @step(%x: {TENSOR}) -> {TENSOR} {{\n" + "\n".join(lines)
    return parse_module(f"{text}\nreturn {values[-1]} : {TENSOR}\n}}", sparsebp.context(), "test")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(binary | unary, min_size=1, max_size=12),
    st.lists(
        st.tuples(st.sampled_from(SYMBOLS), st.integers(0, 100), st.integers(0, 12)),
        min_size=1,
        unique_by=lambda a: a[0],
    ),
)
def test_in_place_gives_what_copies_give(
    steps: list[tuple[object, ...]], assigned: list[tuple[str, int, int]]
) -> None:
    """Any program, whatever its assigns stood in front of: overwriting the storage changes nothing."""
    module = program(steps, assigned)
    parameters = {name: torch.randn(3, 3) for name in SYMBOLS}
    x = torch.randn(3, 3)
    before = Interpreter(module, parameters)
    expected = before.run("step", x)
    run_pipeline(module, [ScheduleUpdates()])
    after = Interpreter(module, parameters, in_place=True)
    assert torch.equal(after.run("step", x)[0], expected[0])
    assert all(torch.equal(after.state[name], before.state[name]) for name in SYMBOLS)
    graph = BlockGraph(functions(module)["step"])
    position = {symbol_of(graph.operations[i]): i for i in graph.numbered("sparsebp.assign")}
    for read in graph.numbered("sparsebp.read"):
        late = position.get(symbol_of(graph.operations[read]), len(graph))
        assert max(observers(graph, read)) < late
    scheduled = str(module)
    run_pipeline(module, [ScheduleUpdates()])
    assert str(module) == scheduled


class Net(torch.nn.Module):
    """Two linear layers, the second one's weight read in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(12, 16), torch.nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


def traced() -> TrainingProgram:
    task = TrainingTask(Net(), (torch.randn(3, 12),), (torch.randint(0, 4, (3,)),), functional.cross_entropy)
    return trace(task)


def order(module: ir.Module) -> list[str]:
    """Assigns and matrix products of the step."""
    graph = BlockGraph(functions(module)["step"])
    return [
        f"assign {symbol_of(graph.operations[i])}" if graph.names[i] == "sparsebp.assign" else "mm"
        for i in graph.numbered("sparsebp.assign", "torch.aten.mm")
    ]


def test_each_layer_is_updated_before_the_gradients_of_the_layer_below() -> None:
    module = traced().copy_module()
    run_pipeline(module, [ExpandOptimizer(), ScheduleUpdates()])
    got = order(module)
    # Two products forward; gradients of the second layer's input and weight; of the first layer's weight.
    assert got[:4] == ["mm"] * 4
    assert set(got[4:6]) == {"assign second.weight", "assign second.bias"}
    assert got[6] == "mm"
    assert set(got[7:]) == {"assign first.weight", "assign first.bias"}


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(momentum=0.9, nesterov=True, weight_decay=0.1),
        parse_optimizer("adam:amsgrad=true,weight_decay=0.1,clip_grad_norm=1"),
        AdamW(),
        Lion(weight_decay=0.1),
    ],
    ids=lambda o: o.name,
)
def test_iree_updates_all_state_in_place(optimizer: Optimizer) -> None:
    """The check on IREE's stream-level IR finds nothing to copy: every update writes into its argument."""
    artifact = compile_program(traced(), scheme=Scheme.full(), optimizer=optimizer, target="cpu")
    assert artifact.metadata["memory"]["copied_state"] == []
