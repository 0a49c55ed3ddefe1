# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Verifiers answer malformed operations with a diagnostic at the operation, and with nothing else."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_mlir import ir

from pock.compiler.errors import PassFailure
from pock.compiler.opt import parse_module
from pock.dialects import sparsebp

CONTEXT = sparsebp.context()


@dataclass(frozen=True)
class Op:
    """An operation in its parts, all of them text."""

    name: str
    operands: tuple[str, ...]
    results: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]
    regions: int = 0

    def program(self) -> str:
        """A program with the operation on line 3, in a function with its operands as arguments."""
        arguments = ", ".join(f"%{i}: {type_}" for i, type_ in enumerate(self.operands))
        values = ", ".join(f"%{i}" for i in range(len(self.operands)))
        attributes = ", ".join(f"{name} = {value}" for name, value in self.attributes)
        results = f"%r:{len(self.results)} = " if self.results else ""
        regions = f" ({', '.join(['{}'] * self.regions)})" if self.regions else ""
        types = f"({', '.join(self.operands)}) -> ({', '.join(self.results)})"
        return (
            '"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], '
            'role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()\n'
            f"func.func @step({arguments}) {{\n"
            f'{results}"sparsebp.{self.name}"({values}){regions} {{{attributes}}} : {types}\n'
            "return\n}"
        )


def tensor(*shape: int, element: str = "f32") -> str:
    return f"!torch.vtensor<[{','.join(map(str, shape))}],{element}>"


def array(*values: int) -> str:
    return f"array<i64{': ' if values else ''}{', '.join(map(str, values))}>"


FULL = '#sparsebp.mask<"full", "", array<i64>>'
RANGE = '#sparsebp.mask<"range", "i", array<i64: 0, 1>>'
WINDOW = (("kernel", array(2, 2)), ("stride", array(2, 2)), ("padding", array(0, 0)))
DILATION = ("dilation", array(1, 1))
CONVOLUTION = (("stride", array(1, 1)), ("padding", array(0, 0)), DILATION, ("groups", "1 : i64"))

AVERAGE = (*WINDOW, ("count_include_pad", "true"), ("divisor_override", "0 : i64"))
CHANNELS_LAST = ("channels_last", "unit")

VALID = [
    Op("assign", (tensor(4, 1),), (), (("symbol", "@w"), ("mask", RANGE))),
    Op("avg_pool", (tensor(1, 2, 6, 6),), (tensor(1, 2, 3, 3),), AVERAGE),
    Op("avg_pool", (tensor(1, 6, 6, 2),), (tensor(1, 3, 3, 2),), (*AVERAGE, CHANNELS_LAST)),
    Op("avg_pool_grad", (tensor(1, 2, 3, 3),), (tensor(1, 2, 6, 6),), AVERAGE),
    Op("conv_input_grad", (tensor(1, 4, 3, 3), tensor(4, 2, 2, 2)), (tensor(1, 2, 4, 4),), CONVOLUTION),
    Op("conv_weight_grad", (tensor(1, 4, 3, 3), tensor(1, 2, 4, 4)), (tensor(4, 2, 2, 2),), CONVOLUTION),
    Op(
        "conv_weight_grad",
        (tensor(1, 3, 3, 4), tensor(1, 4, 4, 2)),
        (tensor(4, 2, 2, 2),),
        (*CONVOLUTION, CHANNELS_LAST),
    ),
    Op("convolution", (tensor(1, 2, 4, 4), tensor(4, 2, 2, 2)), (tensor(1, 4, 3, 3),), CONVOLUTION),
    Op(
        "embedding_grad",
        (tensor(3, 8), tensor(3, element="si64")),
        (tensor(10, 8),),
        (("first_row", "0 : i64"), ("padding_idx", "-1 : i64"), ("scale_grad_by_freq", "false")),
    ),
    Op("max_pool", (tensor(1, 2, 6, 6),), (tensor(1, 2, 3, 3),), (*WINDOW, DILATION)),
    Op("max_pool_argmax", (tensor(1, 2, 6, 6),), (tensor(1, 2, 3, 3, element="si32"),), (*WINDOW, DILATION)),
    Op(
        "max_pool_grad",
        (tensor(1, 2, 3, 3), tensor(1, 2, 3, 3, element="si32")),
        (tensor(1, 2, 6, 6),),
        (*WINDOW, DILATION),
    ),
    Op(
        "parameter",
        (),
        (),
        (
            ("sym_name", '"p"'),
            ("type", "tensor<4x2xf32>"),
            ("dimensions", '["o", "i"]'),
            ("role", '"parameter"'),
            ("mask", RANGE),
            ("channel_dimension", '"i"'),
        ),
    ),
    Op(
        "random_mask",
        (tensor(element="si64"), tensor(element="si64")),
        (tensor(4, element="i1"),),
        (("stream", "0 : i64"), ("probability", "0.5 : f64")),
    ),
    Op(
        "random_uniform",
        (tensor(element="si64"), tensor(element="si64")),
        (tensor(4),),
        (("stream", "0 : i64"),),
    ),
    Op("read", (), (tensor(4, 2),), (("symbol", "@w"),)),
    Op(
        "all_reduce",
        (tensor(4, 2),),
        (tensor(4, 2),),
        (("rank", "0 : i64"), ("ranks", "3 : i64")),
    ),
    Op("save", (tensor(4, 2),), (tensor(4, 2),), ()),
    Op("select_channels", (tensor(4, 2),), (tensor(4, 1),), (("axis", "1 : i64"), ("mask", RANGE))),
    Op(
        "state",
        (),
        (),
        (
            ("sym_name", '"s"'),
            ("type", "tensor<4x2xf32>"),
            ("role", '"optimizer"'),
            ("initial", "0.0 : f32"),
            ("parameter", '"w"'),
            ("slot", '"momentum"'),
        ),
    ),
    Op("update", (tensor(4, 2),), (), (("symbol", "@w"), ("mask", FULL))),
]

ATTRIBUTES = [
    "unit", "true", "-1 : i64", "0 : i64", "3 : i64", "9223372036854775807 : i64", "1 : i32", "1 : si64",
    "1 : index", "1 : i128", "0.5 : f32", "2.0 : f64", "0x7FC00000 : f32", '""', '"w"', r'"\FF"', '"range"',
    "@w", "@nothing", r'@"\FF"', "@w::@w", "[]", '["o", "i"]', '["o", "o"]', r'["\FF", "i"]', "[1, 2]",
    "[@w]", "{}", "f32", "tensor<4x2xf32>", "tensor<?xf32>", "tensor<*xf32>", "tensor<f32>",
    "memref<2xf32>", "array<i64>", "array<i64: 0, 0>", "array<i64: -1, 2>", "array<i64: 1>",
    "array<i64: 1, 1, 1>", "array<i64: 9223372036854775807, 9223372036854775807>", "array<i32: 2, 2>",
    "dense<1> : tensor<2xi64>", "#foreign.attribute", FULL, RANGE, '#sparsebp.mask<"none", "", array<i64>>',
    '#sparsebp.mask<"some", "", array<i64>>', '#sparsebp.mask<"full", "i", array<i64: 0>>',
    '#sparsebp.mask<"range", "", array<i64: 0, 1>>', '#sparsebp.mask<"range", "i", array<i64: 1>>',
    '#sparsebp.mask<"range", "i", array<i64: 2, 1>>', '#sparsebp.mask<"range", "i", array<i64: 0, 99>>',
    '#sparsebp.mask<"list", "i", array<i64>>', '#sparsebp.mask<"list", "i", array<i64: 1, 1>>',
    '#sparsebp.mask<"list", "nowhere", array<i64: 0>>', '#sparsebp.mask<"list", "i", array<i64: -1>>',
    '#sparsebp.mask<"list", "i", 7>', r'#sparsebp.mask<"\FF", "\FF", array<i64>>',
    r'#sparsebp.mask<"range", "\FF", array<i64: 0, 1>>',
]  # fmt: skip
TYPES = [
    tensor(), tensor(0), tensor(4), tensor(4, 2), tensor(4, 1), tensor(1, 2, 3, 3), tensor(1, 2, 6, 6),
    tensor(2, 2, 2, 2, 2), tensor(4, 2, element="f64"), tensor(4, 2, element="bf16"),
    tensor(3, element="si32"), tensor(3, element="ui8"), tensor(4, 2, element="unk"),
    "!torch.vtensor<[?,2],f32>", "!torch.vtensor<*,f32>", "!torch.vtensor", "!torch.tensor", "!torch.int",
    "i1", "index", "tensor<4x2xf32>", "tensor<*xf32>", "!foreign.type",
]  # fmt: skip


@st.composite
def mutations(draw: st.DrawFn) -> Op:
    """A valid operation with one to three of its parts exchanged, dropped or added."""
    op = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 3))):
        part = draw(st.sampled_from(["attributes", "attributes", "operands", "results", "regions"]))
        if part == "regions":
            op = replace(op, regions=1)
            continue
        entries = list(getattr(op, part))
        change = draw(st.sampled_from(["exchange", "exchange", "drop", "add"]))
        if part == "attributes":
            name = draw(st.sampled_from([*(name for name, _ in op.attributes), "extra"]))
            new = (name, draw(st.sampled_from(ATTRIBUTES)))
            entries = [e for e in entries if e[0] != name] + ([new] if change != "drop" else [])
        elif change == "add":
            entries.append(draw(st.sampled_from(TYPES)))
        elif entries:
            i = draw(st.integers(0, len(entries) - 1))
            entries[i : i + 1] = [draw(st.sampled_from(TYPES))] if change == "exchange" else []
        op = replace(op, **{part: tuple(entries)})
    return op


@pytest.mark.parametrize("op", VALID, ids=lambda op: op.name)
def test_the_operations_that_are_mutated_are_valid(op: Op) -> None:
    assert parse_module(op.program(), CONTEXT).operation.verify()


def test_every_operation_is_mutated() -> None:
    assert {f"sparsebp.{op.name}" for op in VALID} == {
        op.OPERATION_NAME for op in sparsebp.SparseBP.operations
    }


@settings(max_examples=1000, deadline=None)
@given(mutations())
def test_a_mutated_operation_is_valid_or_gets_one_diagnostic_that_names_it(op: Op) -> None:
    try:
        module = parse_module(op.program(), CONTEXT)
    except PassFailure as failure:
        (diagnostic,) = failure.diagnostics
        assert diagnostic.startswith("-:3:"), diagnostic
        assert len(diagnostic) < 500
        assert f"'sparsebp.{op.name}' op" in diagnostic
    else:
        assert ir.Module.parse(str(module), CONTEXT).operation.verify()


@pytest.mark.parametrize("op", VALID, ids=lambda op: op.name)
def test_every_attribute_takes_or_refuses_every_value(op: Op) -> None:
    for i, (name, _) in enumerate(op.attributes):
        for value in ATTRIBUTES:
            changed = replace(op, attributes=(*op.attributes[:i], (name, value), *op.attributes[i + 1 :]))
            try:
                parse_module(changed.program(), CONTEXT)
            except PassFailure as failure:
                assert len(failure.diagnostics) == 1, changed
