# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``pip install .`` installs every package, the files beside the sources, and working commands."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("benchmarks", "compiler", "dialects", "runtime", "targets", "tools")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def tracked(*patterns: str) -> list[Path]:
    """Files of the packages, relative to the root, without what a build or a run left there."""
    found = [path for package in PACKAGES for pattern in patterns for path in (ROOT / package).rglob(pattern)]
    return sorted(path.relative_to(ROOT) for path in found if "__pycache__" not in path.parts)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the project is installed, without what it depends on."""
    folder = tmp_path_factory.mktemp("install")
    # setuptools builds in the tree it is given, so it gets a copy.
    copy = folder / "sources"
    for name in (*PACKAGES, "pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, copy / name)
    target = folder / "target"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-build-isolation", "--target", str(target), str(copy)]
    subprocess.run(command, check=True, cwd=folder)
    return target


def test_every_module_and_data_file_is_installed(installed: Path) -> None:
    wanted = tracked("*.py", "py.typed", "*.md", "*.json", "*.mlir")
    assert wanted
    missing = [path for path in wanted if not (installed / "pock" / path).is_file()]
    assert not missing


def test_nothing_else_is_installed_beside_the_package(installed: Path) -> None:
    names = {path.name for path in installed.iterdir()}
    assert names == {"pock", "bin", f"pock-{PROJECT['project']['version']}.dist-info"}


def test_every_folder_with_sources_is_a_package_of_the_project() -> None:
    folders = {"pock." + ".".join(path.parent.parts) for path in tracked("*.py")}
    assert folders == set(PROJECT["tool"]["setuptools"]["packages"])


@pytest.mark.parametrize("command", PROJECT["project"]["scripts"])
def test_commands_start_from_the_installed_files(installed: Path, command: str) -> None:
    # Isolated from the checkout: -S keeps its import hook out, the libraries come by their path.
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]; sys.argv = [sys.argv[3], '--help'];"
        f"from {PROJECT['project']['scripts'][command].replace(':', ' import ')} as main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", code, str(installed), libraries, command],
        capture_output=True,
        text=True,
        cwd=installed,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stderr
    assert f"Usage: {command}" in done.stdout
    assert (installed / "bin" / command).is_file()
