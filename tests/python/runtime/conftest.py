# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiled programs, one of each a session."""

from pathlib import Path

import pytest

from pock.runtime.files import sha256
from tests.python.runtime.ranked_programs import ranked_program
from tests.python.runtime.runtime_programs import (
    external_program,
    sharded_program,
    softmax_program,
    wide_program,
    write_archive,
)


@pytest.fixture(scope="session")
def softmax(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return softmax_program(tmp_path_factory.mktemp("softmax") / "model.vmfb")


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wide_program(tmp_path_factory.mktemp("wide") / "model.vmfb", states=100)


@pytest.fixture(scope="session")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With two shards."""
    return sharded_program(tmp_path_factory.mktemp("sharded") / "two.vmfb", 2)


@pytest.fixture(scope="session")
def sharded4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With four shards."""
    return sharded_program(tmp_path_factory.mktemp("sharded") / "four.vmfb", 4)


@pytest.fixture(scope="session")
def unranked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of ``ranked`` without ranks."""
    return ranked_program(tmp_path_factory.mktemp("ranked") / "one.vmfb", 1)


@pytest.fixture(scope="session")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With two ranks."""
    return ranked_program(tmp_path_factory.mktemp("ranked") / "two.vmfb", 2)


@pytest.fixture(scope="session")
def ranked4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With four ranks."""
    return ranked_program(tmp_path_factory.mktemp("ranked") / "four.vmfb", 4)


@pytest.fixture(scope="session")
def external(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("external")
    archive = write_archive(folder / "model.safetensors")
    storage = {
        "storage": "external",
        "scope": "model",
        "file": archive.name,
        "sha256": sha256(archive),
    }
    return external_program(folder / "model.vmfb", storage)
