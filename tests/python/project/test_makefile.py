# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The Makefile from nothing, with tools that only note how they are called."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

#: Python, pip and what is installed, by the name it is called by. Like the real ones: Python's ``-m venv``
#: makes an environment, ``-m pip install`` brings the tools, and pip takes no option before its command.
TOOL = """#!/bin/sh
name=${0##*/}
echo "$name $*" >> "$CALLS"
case "$name $*" in
  "python3 -m venv "*) mkdir -p "$3/bin" && ln -sf "$TOOL" "$3/bin/python" && ln -sf "$TOOL" "$3/bin/pip" ;;
  "python -m pip install "*)
    test -z "$OFFLINE" && for tool in ruff mypy lit pytest; do ln -sf "$TOOL" "${0%/*}/$tool"; done ;;
  "pip -"*) echo "no such option: $1" >&2; exit 2 ;;
esac
"""


class Project:
    """A folder with the project's Makefile, and what its rules have called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)
        self.python = folder / "python3"
        self.python.write_text(TOOL)
        self.python.chmod(0o755)
        self.log = folder / "calls"

    def run(self, *arguments: str, status: int = 0, **environment: str) -> str:
        """What ``make`` says. It knows nothing of a ``make`` that these tests run in."""
        environment |= {"PATH": os.environ["PATH"], "TOOL": str(self.python), "CALLS": str(self.log)}
        done = subprocess.run(
            ["make", f"PYTHON={self.python}", *arguments],
            cwd=self.folder, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def make(self, *arguments: str, status: int = 0, **environment: str) -> list[str]:
        """What ``make`` calls, without the check of Python's version."""
        self.log.write_text("")
        self.run(*arguments, status=status, **environment)
        calls = re.sub(r"python3 -c .*?(?=^\w+ -m)", "", self.log.read_text(), flags=re.DOTALL | re.MULTILINE)
        return [call.rstrip() for call in calls.splitlines()]


VENV = "python3 -m venv .venv"
DEV = "python -m pip install --quiet --editable .[dev]"
EXAMPLES = "python -m pip install --quiet --editable .[examples]"
DEMO = "python examples/finetune_digits.py"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_what_the_makefile_names_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"dev", "examples"} <= set(extras)
    assert (ROOT / "examples/finetune_digits.py").exists()


def test_the_demo_installs_what_it_needs_once(project: Project) -> None:
    assert project.make("demo") == [VENV, EXAMPLES, DEMO]
    assert project.make("demo", "DEMO_ARGS=--quick") == [f"{DEMO} --quick"]


def test_the_checks_install_what_they_need_once(project: Project) -> None:
    checks = [
        "ruff format --check --diff --quiet .",
        "ruff check .",
        "mypy -p pock",
        "lit -j2 --quiet tests/filecheck",
        "pytest -n auto --dist worksteal",
    ]
    assert project.make("test") == [VENV, DEV, *checks]
    assert project.make("test", "PYTEST_ARGS=-x") == [*checks[:-1], f"{checks[-1]} -x"]
    # The tools for development are more than the examples need.
    assert project.make("demo") == [DEMO]


def test_a_changed_project_is_installed_again(project: Project) -> None:
    project.make("lint")
    with (project.folder / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    assert project.make("lint") == [DEV, "ruff check ."]


def test_an_installation_that_failed_is_repeated(project: Project) -> None:
    assert project.make("demo", status=2, OFFLINE="1") == [VENV, EXAMPLES]
    assert project.make("demo") == [EXAMPLES, DEMO]


def test_help_lists_every_command(project: Project) -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert {line.split()[0] for line in project.run("help").splitlines()} == set(phony[1].split())
