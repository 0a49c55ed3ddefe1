# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Showing what a command is doing: live on a terminal, a line for what took long otherwise."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text

from .supervised import note

WORTH_A_LINE = 10.0
"""Seconds that a phase has to take to be mentioned where nobody watches."""

WORTH_SHOWING = 0.1
"""Seconds that a phase has to take to stay on the terminal, and in the sum."""


class _Seconds(ProgressColumn):
    """How long a phase has taken so far."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_time or task.elapsed or 0:6.1f} s", style="dim")


class Phases:
    """A context in which phases follow each other; called with the name of each when it begins."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._name = ""
        self._since = time.perf_counter()
        self.seconds: dict[str, float] = {}
        """How long each phase has taken that has ended; those of one name together."""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            columns = (SpinnerColumn(finished_text=" "), TextColumn("{task.description}"), _Seconds())
            self._live = Progress(*columns, console=self._console)
            self._live.start()
        return self

    def __call__(self, name: str) -> None:
        self._end()
        note(name)
        self._name, self._since = name, time.perf_counter()
        if self._live is not None:
            self._task = self._live.add_task(name, total=1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._end()
        if self._live is not None:
            self._live.stop()

    def _end(self) -> None:
        if not self._name:
            return
        taken = time.perf_counter() - self._since
        self.seconds[self._name] = self.seconds.get(self._name, 0) + taken
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=1, visible=taken >= WORTH_SHOWING)
        elif taken >= WORTH_A_LINE:
            self._console.print(f"{self._name}: {taken:.1f} s", soft_wrap=True, markup=False)

    def summary(self) -> str:
        """The time of all phases, and of those that took any."""
        shown = [f"{name} {taken:.1f} s" for name, taken in self.seconds.items() if taken >= WORTH_SHOWING]
        return f"{sum(self.seconds.values()):.1f} s: {', '.join(shown)}"
