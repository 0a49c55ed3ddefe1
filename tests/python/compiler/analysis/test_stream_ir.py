# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Finding functions, kernels and operands in a module at IREE's stream phase."""

from collections.abc import Iterator
from typing import Any

import pytest
from iree.compiler import ir

from pock.compiler.analysis import stream_ir

RESOURCE = "!stream.resource<external>{%c64}"

STREAM = f"""
stream.executable private @first {{
  stream.executable.export public @kernel workgroups() -> (index, index, index) {{
    %c1 = arith.constant 1 : index
    stream.return %c1, %c1, %c1 : index, index, index
  }}
  builtin.module {{
    func.func private @helper(i32)
    func.func @kernel(%n: i32, %r: !stream.binding, %w: !stream.binding) {{
      return
    }}
  }}
}}
stream.executable private @"sec::ond" {{
  stream.executable.export public @kernel workgroups() -> (index, index, index) {{
    %c1 = arith.constant 1 : index
    stream.return %c1, %c1, %c1 : index, index, index
  }}
  builtin.module {{
    func.func @kernel(%n: i32, %r: !stream.binding, %w: !stream.binding) attributes {{second}} {{
      return
    }}
  }}
}}
util.func public @step(%x: !hal.buffer_view, %number: i32) {{
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %x0 = stream.tensor.import %x : !hal.buffer_view -> tensor<16xf32> in {RESOURCE}
  %done = stream.cmd.execute with(%x0 as %a: {RESOURCE}) {{
    stream.cmd.dispatch {{@first::@kernel, @"sec::ond"::@kernel}}(%number : i32) {{
      ro %a[%c0 for %c64] : {RESOURCE},
      wo %a[%c0 for %c64] : {RESOURCE}
    }}
  }} => !stream.timepoint
  util.return
}}
"""


@pytest.fixture
def stream() -> Iterator[ir.Module]:
    with ir.Context() as context:
        context.allow_unregistered_dialects = True
        yield ir.Module.parse(STREAM)


def found(parent: Any, name: str) -> list[Any]:
    ops = []

    def visit(op: Any) -> ir.WalkResult:
        if op.name == name:
            ops.append(op)
        return ir.WalkResult.ADVANCE

    parent.walk(visit)
    return ops


def test_functions_are_found_by_name(stream: ir.Module) -> None:
    assert stream_ir.symbol(stream_ir.function(stream, "step")) == "step"
    with pytest.raises(ValueError, match="no function @kernel at the stream phase"):
        stream_ir.function(stream, "kernel")


def test_a_dispatch_leads_to_its_kernels(stream: ir.Module) -> None:
    """Those of one name in two executables are two; a declaration is none."""
    kernels = stream_ir.kernels(stream)
    assert list(kernels) == [("first", "kernel"), ("sec::ond", "kernel")]
    [dispatch] = found(stream_ir.function(stream, "step"), "stream.cmd.dispatch")
    assert stream_ir.entries(dispatch) == [("first", "kernel"), ("sec::ond", "kernel")]
    assert ["second" in kernels[entry].attributes for entry in stream_ir.entries(dispatch)] == [False, True]


def test_bindings_are_the_arguments_that_are_buffers(stream: ir.Module) -> None:
    kernel = stream_ir.kernels(stream)["first", "kernel"]
    assert [binding.arg_number for binding in stream_ir.bindings(kernel)] == [1, 2]


def test_operands_come_in_groups(stream: ir.Module) -> None:
    step = stream_ir.function(stream, "step")
    [dispatch] = found(step, "stream.cmd.dispatch")
    workload, uniform, resources, sizes, offsets, lengths = stream_ir.operand_groups(dispatch)
    assert workload == [] and uniform == [step.regions[0].blocks[0].arguments[1]]
    assert resources == [dispatch.parent.regions[0].blocks[0].arguments[0]] * 2
    assert [stream_ir.constant(value) for value in (*sizes, *offsets, *lengths)] == [64, 64, 0, 0, 64, 64]


def test_numbers_are_known_or_not(stream: ir.Module) -> None:
    step = stream_ir.function(stream, "step")
    assert [stream_ir.constant(op.results[0]) for op in found(step, "arith.constant")] == [0, 64]
    [imported] = found(step, "stream.tensor.import")
    assert stream_ir.constant(imported.results[0]) is None
    assert stream_ir.constant(step.regions[0].blocks[0].arguments[1]) is None


def test_what_has_no_name_has_an_empty_one(stream: ir.Module) -> None:
    assert stream_ir.symbol(stream) == ""
