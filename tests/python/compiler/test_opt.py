# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Pipelines as text, and what running them leaves and reports."""

import dataclasses
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch_mlir import ir

from pock.compiler.errors import PassFailure, UsageError
from pock.compiler.opt import (
    check_stages,
    parse_module,
    parse_options,
    parse_pipeline,
    run_pipeline,
    split_pipeline,
    stage_of_flag,
)
from pock.compiler.passes.apply_scheme import ApplyScheme
from pock.compiler.passes.base import Pass, describe
from pock.compiler.passes.prune_backward import PruneBackward
from pock.dialects import sparsebp

CONTEXT = sparsebp.context()


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("", []),
        ("a", ["a"]),
        (" a , b ", ["a", "b"]),
        ("a{x=1,y=2},f(b,c{z=3}),d", ["a{x=1,y=2}", "f(b,c{z=3})", "d"]),
        ('a{rules="[(,{"},b', ['a{rules="[(,{"}', "b"]),
    ],
)
def test_pipelines_are_split_at_their_top_level_commas(text: str, elements: list[str]) -> None:
    assert split_pipeline(text) == elements


@pytest.mark.parametrize("text", ["a)", "a(b", "a{b)}c}", "a{"])
def test_brackets_of_pipelines_match(text: str) -> None:
    with pytest.raises(UsageError, match="bracket"):
        split_pipeline(text)


names = st.from_regex(r"[a-z][a-z-]*", fullmatch=True)


@given(st.dictionaries(names, st.from_regex(r'[^"{}]*', fullmatch=True), max_size=4))
def test_quoted_options_are_read_back(options: dict[str, str]) -> None:
    text = "{" + " ".join(f'{name}="{value}"' for name, value in options.items()) + "}"
    assert parse_options(text) == options


def test_stages_are_passes_and_the_text_of_mlirs() -> None:
    stages = parse_pipeline(
        'builtin.module(cse,sparsebp-apply-scheme{scheme="a b.yaml"},func.func(canonicalize,cse))'
    )
    assert stages == ["cse", ApplyScheme(scheme="a b.yaml"), "func.func(canonicalize,cse)"]
    assert stage_of_flag("--sparsebp-prune-backward") == PruneBackward()
    assert stage_of_flag("--sparsebp-apply-scheme=scheme=x.yaml") == ApplyScheme(scheme="x.yaml")
    assert stage_of_flag("--convert-torch-to-linalg") == "func.func(convert-torch-to-linalg)"


def test_stages_of_mlir_are_checked_before_anything_runs() -> None:
    with pytest.raises(UsageError, match="'nonsense' does not refer to a registered pass"):
        check_stages(["cse", "nonsense"], CONTEXT)


@dataclasses.dataclass(frozen=True)
class Options(Pass):
    """Has an option of each kind."""

    name: ClassVar[str] = "sparsebp-options"
    flag: bool = False
    the_count: int = 3
    ratio: float = 0.5
    path: str | None = None

    def apply(self, module: Any) -> None:
        """Leave the program as it is."""


def test_options_are_converted_to_the_types_of_their_fields() -> None:
    text = {"flag": "true", "the-count": "7", "ratio": "1e-3", "path": "p"}
    assert Options.from_options(text) == Options(True, 7, 1e-3, "p")
    assert Options.from_options({}) == Options()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flag": "yes"}, "option 'flag' of pass 'sparsebp-options' takes a bool, got 'yes'"),
        ({"the-count": "2.5"}, "option 'the-count' of pass 'sparsebp-options' takes a int, got '2.5'"),
        (
            {"depth": "1"},
            "pass 'sparsebp-options' has no option 'depth'; it has flag, the-count, ratio, path",
        ),
    ],
)
def test_a_wrong_option_names_the_pass(options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        Options.from_options(options)
    assert str(raised.value) == message


ONE_READ = """\
"sparsebp.state"() {sym_name = "a", type = tensor<1xf32>, role = "step", initial = 0.0 : f32} : () -> ()
func.func @f() {
  %0 = "sparsebp.read"() {symbol = @a} : () -> !torch.vtensor<[1],f32>
  return
}
"""


@dataclasses.dataclass(frozen=True)
class Breaks(Pass):
    """Leaves an invalid program."""

    name: ClassVar[str] = "sparsebp-breaks"

    def apply(self, module: ir.Module) -> None:
        read = next(op for op in module.body.operations if op.operation.name == "func.func")
        read.operation.regions[0].blocks[0].operations[0].operation.attributes["symbol"] = (
            ir.FlatSymbolRefAttr.get("b")
        )


def test_a_pass_that_leaves_an_invalid_program_is_blamed() -> None:
    module = parse_module(ONE_READ, CONTEXT)
    with pytest.raises(PassFailure) as raised:
        run_pipeline(module, [Breaks()])
    assert raised.value.lines() == [
        "-:3:8: error: 'sparsebp.read' op refers to @b, which nothing declares",
        "note: the program is not valid after sparsebp-breaks",
    ]


def test_passes_may_be_verified_together() -> None:
    module = parse_module(ONE_READ, CONTEXT)
    with pytest.raises(PassFailure) as raised:
        run_pipeline(module, [Breaks(), Options()], verify_each=False)
    assert raised.value.lines() == [
        "-:3:8: error: 'sparsebp.read' op refers to @b, which nothing declares",
        "note: the program is not valid after sparsebp-breaks, sparsebp-options",
    ]


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ('loc("a.py":3:4)', "a.py:3:4"),
        ('loc("mm"("a.py":3:4))', "a.py:3:4"),
        ('loc(callsite("f"("a.py":3:4) at "b.py":1:2))', "a.py:3:4"),
        ('loc(fused["x", "a.py":3:4])', "a.py:3:4"),
        ('loc("mm")', "mm"),
        ("loc(unknown)", "unknown"),
    ],
)
def test_locations_are_shown_as_compilers_do(location: str, shown: str) -> None:
    module = ir.Module.parse(f"module {{}} {location}", CONTEXT)
    assert describe(module.operation.location) == shown
