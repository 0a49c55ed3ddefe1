# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A thread that is kept, and called without waiting for it."""

import atexit
import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any


class Worker:
    """Calls one function on a thread of its own, as often as it is asked to.

    The thread starts with the first call and ends when the worker is no more. A forked process, to which
    threads do not go along, starts one of its own.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        """``function`` takes one argument. It must not keep the worker alive."""
        self._function = function
        self._process: int | None = None
        self._asked = 0

    @property
    def running(self) -> bool:
        """Whether there is a thread, which does what it is asked to."""
        return self._process == os.getpid()

    def wake(self) -> None:
        """Have the thread look up, if there is one: it starts sooner on what it is asked for soon."""
        if self.running:
            self._requests.put(_WAKE)

    def ask(self, argument: Any) -> None:
        """Have the function called; ``answer`` is to be asked for before the next call."""
        if not self.running:
            self._start()
        self._asked += 1
        self._requests.put((self._asked, argument))

    def answer(self) -> Any:
        """What the function returned in the call that was asked for last; raises what it raised."""
        asked = 0
        # An interrupt may have left answers that nobody took.
        while asked != self._asked:
            asked, result, error = self._answers.get()
        if error is not None:
            raise error
        return result

    def settle(self) -> None:
        """Wait until the thread does nothing, whatever was asked for and whatever interrupts."""
        while self.running:
            # Even if it is not known whether the last request came through, this one is behind it.
            with suppress(BaseException):
                self._asked += 1
                self._requests.put((self._asked, _NOTHING))
                self.answer()
                return

    def close(self) -> None:
        """End the thread, once it has nothing to do. It starts again if it is asked again."""
        if self.running:
            self._end()
            self._thread.join()
        self._process = None

    def _start(self) -> None:
        # Waiting on these costs nothing, and interrupts end it; locks would have to be given back then.
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self._answers: SimpleQueue[Any] = SimpleQueue()
        queues = (self._requests, self._answers)
        self._thread = Thread(target=_serve, args=(self._function, *queues), name="pock-shards", daemon=True)
        self._end = weakref.finalize(self, self._requests.put, None)
        self._thread.start()
        _RUNNING[self._thread] = self._end
        self._process = os.getpid()


_NOTHING: Any = object()
_WAKE: Any = object()


def _serve(function: Callable[[Any], Any], requests: "SimpleQueue[Any]", answers: "SimpleQueue[Any]") -> None:
    while _serve_one(function, requests, answers):
        pass


def _serve_one(
    function: Callable[[Any], Any], requests: "SimpleQueue[Any]", answers: "SimpleQueue[Any]"
) -> bool:
    """Answer one request; nothing of it is kept until the next."""
    request = requests.get()
    if request is _WAKE:
        return True
    if request is None:
        return False
    number, argument = request
    try:
        answers.put((number, None if argument is _NOTHING else function(argument), None))
    except BaseException as error:
        answers.put((number, None, error))
    return True


_RUNNING: "weakref.WeakKeyDictionary[Thread, Callable[[], Any]]" = weakref.WeakKeyDictionary()


@atexit.register
def _end_all() -> None:
    """Wait for threads whose worker is no more, too: what they hold must go before the interpreter does."""
    for thread, end in list(_RUNNING.items()):
        end()
        thread.join()
