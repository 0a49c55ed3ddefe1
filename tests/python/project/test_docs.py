# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The documents are true: their IR is valid, and they name what there is."""

import re
import shlex
from pathlib import Path

import pytest
from torch_mlir.dialects.ext import AttributeDef, OperandDef, ResultDef

from pock.compiler.opt import parse_module, run_stage, stage_of_flag
from pock.compiler.passes import get_pass, pass_names
from pock.dialects import sparsebp

ROOT = Path(__file__).parents[3]
PASS_PAGE = ROOT / "docs/passes.md"
DIALECT_PAGE = ROOT / "dialects/sparsebp/README.md"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), DIALECT_PAGE])
CONTEXT = sparsebp.context()

_FENCE = re.compile(r"^```mlir\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def ir_blocks(page: Path) -> list[tuple[str, str]]:
    """The IR of a page, each piece with ``file:line``."""
    text = page.read_text()
    name = page.relative_to(ROOT)
    return [(f"{name}:{text.count(chr(10), 0, m.start()) + 1}", m[1]) for m in _FENCE.finditer(text)]


BLOCKS = [block for page in PAGES for block in ir_blocks(page)]


@pytest.mark.parametrize(("place", "text"), BLOCKS, ids=[place for place, _ in BLOCKS])
def test_ir_in_documents_is_valid(place: str, text: str) -> None:
    parse_module(text, CONTEXT, place)


def test_the_dialect_page_documents_every_operation_and_no_other() -> None:
    documented = re.findall(r"^### `(.*)`$", DIALECT_PAGE.read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(op.OPERATION_NAME for op in sparsebp.SparseBP.operations)


@pytest.mark.parametrize("op", sparsebp.SparseBP.operations, ids=lambda op: op.OPERATION_NAME)
def test_the_dialect_page_has_each_operand_attribute_and_result(op: type) -> None:
    section = DIALECT_PAGE.read_text().split(f"### `{op.OPERATION_NAME}`\n")[1].split("\n#")[0]
    kinds = {OperandDef: "operand", AttributeDef: "attribute", ResultDef: "result"}
    defined = [(kinds[type(field)], field.name) for field in op._fields]
    assert re.findall(r"^\| (operand|attribute|result) \| `(\w+)` \|", section, re.MULTILINE) == defined


def test_the_dialect_page_shows_every_operation_in_ir() -> None:
    shown = "\n".join(text for _, text in ir_blocks(DIALECT_PAGE))
    for op in sparsebp.SparseBP.operations:
        assert f'"{op.OPERATION_NAME}"(' in shown


def pass_section(name: str) -> str:
    """What the page of passes says about one."""
    return PASS_PAGE.read_text().split(f"\n## `{name}`\n")[1].split("\n## ")[0]


def test_the_pass_page_documents_every_pass_and_no_other() -> None:
    assert sorted(re.findall(r"^## `(.*)`$", PASS_PAGE.read_text(), re.MULTILINE)) == pass_names()


@pytest.mark.parametrize("name", pass_names())
def test_the_pass_page_has_each_option(name: str) -> None:
    documented = re.findall(r"^\| `([\w-]+)` \| (\w+) \| `(.*?)` \|", pass_section(name), re.MULTILINE)
    options = get_pass(name).options()
    assert documented == [(key, kind.__name__, repr(default)) for key, (kind, default) in options.items()]


@pytest.mark.parametrize("name", pass_names())
def test_the_pass_page_shows_what_each_pass_does(name: str) -> None:
    section = pass_section(name)
    example = re.search(r"^`pock-opt (.*)` turns\n", section, re.MULTILINE)
    assert example is not None
    (flag,) = shlex.split(example[1])
    assert flag.startswith(f"--{name}")
    before, after = (parse_module(text, CONTEXT) for text in _FENCE.findall(section))
    run_stage(before, stage_of_flag(flag))
    assert str(before) == str(after)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
