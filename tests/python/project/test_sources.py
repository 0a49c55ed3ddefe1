# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The rules that every source file keeps, and the tests that every operation and pass has."""

import ast
import tomllib
from pathlib import Path

import pytest

from pock.compiler.passes import pass_names
from pock.dialects import sparsebp

ROOT = Path(__file__).parents[3]
PACKAGES = ("benchmarks", "compiler", "dialects", "runtime", "targets", "tools")
FOLDERS = (*PACKAGES, "tests", "examples")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
HEADER = (
    "# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.\n"
    "# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception\n"
)

#: package -> what it may import of the others
MAY_IMPORT = {
    "benchmarks": {"compiler", "dialects", "runtime", "targets"},
    "compiler": {"dialects", "targets"},
    "dialects": set(),
    "runtime": set(),
    "targets": set(),
    "tools": {"benchmarks", "compiler", "dialects", "runtime", "targets"},
}


def imports(path: Path) -> set[str]:
    """The full names of the modules that a file imports, or imports from."""
    package = ["pock", *path.relative_to(ROOT).parent.parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_begins_with_the_licence(path: Path) -> None:
    assert path.read_text().startswith(HEADER)


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        parts = {name.split(".")[1] for name in imports(path) if name.startswith("pock.")}
        foreign = (parts & set(PACKAGES)) - MAY_IMPORT[package] - {package}
        assert not foreign, f"{path.relative_to(ROOT)} imports {', '.join(foreign)}"


@pytest.mark.parametrize("name", sorted(op.OPERATION_NAME for op in sparsebp.SparseBP.operations))
def test_every_operation_has_tests_for_what_is_valid_and_what_is_not(name: str) -> None:
    folder = ROOT / "tests/filecheck/dialects/sparsebp"
    short = name.removeprefix("sparsebp.")
    assert (folder / f"{short}.mlir").exists()
    assert (folder / f"{short}-invalid.mlir").exists()


@pytest.mark.parametrize("name", pass_names())
def test_every_pass_has_a_filecheck_test(name: str) -> None:
    assert (ROOT / f"tests/filecheck/passes/{name.removeprefix('sparsebp-')}.mlir").exists()


def test_the_changelog_has_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"## [{version}] - " in (ROOT / "CHANGELOG.md").read_text()
