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

WORTH_A_LINE = 0.5
"""Seconds that a phase has to take to be mentioned where it cannot be watched."""


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
        self._since = self.started = time.perf_counter()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            columns = (SpinnerColumn(finished_text=" "), TextColumn("{task.description}"), _Seconds())
            self._live = Progress(*columns, console=self._console)
            self._live.start()
        return self

    def __call__(self, name: str) -> None:
        note(name)
        self._end()
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
        taken = time.perf_counter() - self._since
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=1)
        elif self._live is None and self._name and taken >= WORTH_A_LINE:
            self._console.print(f"{self._name}: {taken:.1f} s", soft_wrap=True, markup=False)
