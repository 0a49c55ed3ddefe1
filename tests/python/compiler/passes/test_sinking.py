# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Selections that have sunk into random operations give the same channels of their gradient."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_mlir import ir

from pock.compiler.analysis.elementwise import ELEMENTWISE
from pock.compiler.opt import run_pipeline
from pock.compiler.passes.prune_backward import PruneBackward
from pock.compiler.torch_ir import DTYPE_CODE, functions, operations, set_function_type
from pock.dialects.sparsebp import Mask
from pock.dialects.types import builtin_tensor
from tests.python.compiler.passes.chains import (
    ANY,
    CONTEXT,
    GROWTHS,
    Chain,
    Growth,
    grow,
    inputs,
    start,
    string,
)
from tests.python.compiler.torch_interpreter import DTYPES, Interpreter, _dispatch

ELEMENTS = {dtype: element for element, dtype in DTYPES.items()}


def _finish(c: Chain, mask: Mask, returned: Sequence[ir.Value] = ()) -> None:
    """Train a parameter with the value as its gradient; return something else that was computed."""
    names = ", ".join(f'"d{i}"' for i in range(c.rank))
    declared = f'"sparsebp.parameter"() {{sym_name = "w", type = {builtin_tensor(c.value.type)}, '
    declared += f'dimensions = [{names}], role = "parameter", mask = {mask.to_attr()}}} : () -> ()'
    declaration = ir.Module.parse(declared).body.operations[0]
    declaration.operation.clone(ir.InsertionPoint(c.module.body.operations[0]))
    c.builder.write("update", "w", Mask.full().to_attr(), c.value)
    terminator = list(c.block.operations)[-1]
    c.builder.create("func.return", returned, [])
    terminator.operation.erase()
    set_function_type(functions(c.module)["step"])


def _check(c: Chain, mask: Mask, axis: int) -> None:
    """The sliced gradient is the selection of the whole one, and what is returned stays the same."""
    given = inputs(c.module)
    whole = Interpreter(c.module)
    outputs = whole.run("step", *given)
    run_pipeline(c.module, [PruneBackward()])
    sliced = Interpreter(c.module)
    torch.testing.assert_close(sliced.run("step", *given), outputs, equal_nan=True)
    wanted = whole.gradients["w"].index_select(axis, torch.tensor(mask.positions()))
    torch.testing.assert_close(sliced.gradients["w"], wanted, equal_nan=True)


def _check_any_slice(c: Chain) -> None:
    """Slice the gradient along any dimension; an earlier value may be returned besides."""
    sliceable = [i for i, n in enumerate(c.shape) if n > 1]
    if not sliceable:
        return
    axis = c.draw(st.sampled_from(sliceable))
    size = c.shape[axis]
    channels = c.draw(st.sets(st.integers(0, size - 1), min_size=1, max_size=size - 1))
    mask = Mask.channels(f"d{axis}", channels, size)
    _finish(c, mask, c.draw(st.lists(st.sampled_from(c.seen), max_size=1)))
    _check(c, mask, axis)


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_selections_sink_through_chains(data: st.DataObject) -> None:
    with CONTEXT, ir.Location.unknown():
        c = start(data, ANY)
        for _ in range(data.draw(st.integers(1, 8))):
            growths = [growth for growth, ranks in GROWTHS.items() if c.rank in ranks]
            if growths:
                grow(c, data.draw(st.sampled_from(growths)))
        _check_any_slice(c)


@pytest.mark.parametrize("growth", GROWTHS, ids=lambda growth: growth.__name__)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_selections_sink_through_each_operation(growth: Growth, data: st.DataObject) -> None:
    with CONTEXT, ir.Location.unknown():
        c = start(data, GROWTHS[growth])
        grow(c, growth)
        _check_any_slice(c)


def _examples(schema: Any, element: str) -> list[Any]:
    """Values for the arguments in the schema of an ATen operation; tensors but the first are broadcast."""
    values: list[Any] = []
    for i, argument in enumerate(schema.arguments):
        kind = str(argument.real_type)
        if "Tensor" in kind:
            dtype = torch.bool if argument.name in ("condition", "mask") else DTYPES[element]
            first = not any(isinstance(value, torch.Tensor) for value in values)
            values.append(torch.ones((2, 3) if first else (3,), dtype=dtype))
        elif argument.has_default_value() and "number" not in kind:
            values.append(argument.default_value)
        else:
            values.append(DTYPE_CODE["f32"] if argument.name == "dtype" else i + 1)
    return values


def _operand(c: Chain, example: Any) -> Any:
    if isinstance(example, torch.Tensor):
        return c.argument(example.shape, ELEMENTS[example.dtype])
    return string(c, example) if isinstance(example, str) else example


@pytest.mark.parametrize("name", [n.removeprefix("torch.aten.") for n in ELEMENTWISE if ".aten." in n])
def test_elementwise_operations_are_elementwise(name: str) -> None:
    function, _, overload = name.partition(".")
    schema = getattr(getattr(torch.ops.aten, function), overload or "default")._schema
    element = "si64" if name.startswith("bitwise") else "f64"
    examples = _examples(schema, element)
    result = _dispatch(f"aten.{name}", examples)
    with CONTEXT, ir.Location.unknown():
        c = Chain()
        operands = [_operand(c, example) for example in examples]
        c.value = c.aten(name, *operands, shape=result.shape, element=ELEMENTS[result.dtype])
        mask = Mask.channels("d1", [0, 2], 3)
        _finish(c, mask)
        _check(c, mask, 1)
        step = functions(c.module)["step"]
        selected = [op.operation.operands[0] for op in operations(step, "sparsebp.select_channels")]
        assert selected
        assert all(isinstance(value.owner, ir.Block) for value in selected)
