# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What README.md tells the reader to type works, in the order in which it stands there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
README = ROOT / "README.md"

#: What these commands do is tested elsewhere, or is not pock's: they fetch, install, or run all tests.
NOT_RUN = (
    "git ",
    "make",
    "pip ",
    "python -m pip ",
    "python -m venv ",
    "python3 -m venv ",
    ". ",
    "source ",
    "cd ",
    "apt",
)

_BLOCK = re.compile(r"^```(console|bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def steps(text: str) -> list[str]:
    """The shell commands and Python programs of a page, in order, as shell commands.

    In ``console`` and ``bash`` blocks a command is a line that begins with ``$ ``, with the lines that a
    backslash continues it on; the others are output.
    """
    found = []
    for kind, content in _BLOCK.findall(text):
        if kind == "python":
            found.append(f"python - <<'END_OF_PROGRAM'\n{content}END_OF_PROGRAM")
        else:
            found += [m[1] for m in re.finditer(r"^\$ ((?:.*\\\n)*.*)$", content, re.MULTILINE)]
    return [step for step in found if not step.startswith(NOT_RUN)]


def test_steps_are_found() -> None:
    page = (
        "```console\n$ a \\\n    b\noutput\n$ git clone x\n$ c\n```\n```python\nd()\n```\n```text\n$ e\n```\n"
    )
    assert steps(page) == ["a \\\n    b", "c", "python - <<'END_OF_PROGRAM'\nd()\nEND_OF_PROGRAM"]


@pytest.mark.skipif(not README.exists(), reason="there is no README.md")
def test_the_commands_in_the_readme_run(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for step in steps(README.read_text()):
        command = ["bash", "-eo", "pipefail", "-c", step]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"$ {step}\n{done.stdout}{done.stderr}"
