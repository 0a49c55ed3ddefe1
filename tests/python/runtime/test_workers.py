# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Threads that are kept."""

import pytest

from pock.runtime.workers import Worker


def _half(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2


def test_a_worker_answers_what_it_was_asked_last_however_often_it_was_woken() -> None:
    worker = Worker(_half)
    worker.wake()
    assert not worker.running
    for number in (4, 6):
        worker.ask(number)
        worker.wake()
        worker.wake()
        assert worker.answer() == number // 2
    worker.ask(3)
    with pytest.raises(ValueError, match="3 is odd"):
        worker.answer()
    worker.ask(8)
    worker.settle()
    worker.wake()
    worker.close()
    assert not worker.running
    worker.ask(2)
    assert worker.answer() == 1
    worker.close()
