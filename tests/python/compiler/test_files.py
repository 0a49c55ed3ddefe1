# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Results are written whole or not at all."""

from pathlib import Path

import pytest

from pock.compiler.errors import PockError
from pock.compiler.files import read_bytes, replacing, write_bytes


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "data"
    write_bytes(str(path), b"first")
    write_bytes(str(path), b"2nd")
    assert read_bytes(str(path)) == b"2nd"
    assert list(tmp_path.iterdir()) == [path]


def test_nobody_sees_the_file_before_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"old")
    with replacing(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_an_exception_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), replacing(path) as stream:
        stream.write(b"new")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_goes_on_being_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_bytes(str(tmp_path / "link"), b"data")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"data"


def test_failures_name_the_file_and_the_reason(tmp_path: Path) -> None:
    with pytest.raises(PockError, match=r"^cannot read .*/data: No such file or directory$"):
        read_bytes(str(tmp_path / "data"))
    with pytest.raises(PockError, match=r"^cannot write .*: Is a directory$"):
        write_bytes(str(tmp_path), b"")
    with pytest.raises(PockError, match=r"^cannot write /dev/full: No space left on device$"):
        write_bytes("/dev/full", b"data")
