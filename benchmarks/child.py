# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A child process: one contestant, built and warm, that runs steps when the parent says so."""

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, TextIO

from .errors import reason
from .memory import forget_peak, peak, resident
from .protocol import Job, Ran, Ready


def main() -> NoReturn:
    """Serve standard input until it ends."""
    # What a framework prints must not get between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        _serve(Job(**json.loads(sys.stdin.readline())), sys.stdin, answers)
    except ModuleNotFoundError as error:
        _say(
            answers,
            {"error": f"{error.name} is not installed (the extras 'benchmarks…' have what peers need)"},
        )
    except Exception as error:
        _say(answers, {"error": reason(error)})
    answers.close()
    # Frameworks' threads and destructors have nothing to do any more, and some crash doing it.
    os._exit(0)


def _serve(job: Job, questions: TextIO, answers: TextIO) -> None:
    from .peers import PEERS
    from .peers.base import Work

    peer = PEERS[job.peer].make(job.threads)
    base = resident()
    began = time.perf_counter()
    step = peer.build(Work(Path(job.folder), job.optimizer))
    losses = [step(job.checked_rate)]
    build_seconds = time.perf_counter() - began
    # What the compiler inside a framework needed is not what training needs.
    forget_peak()
    losses += [step(job.checked_rate) for _ in range(job.checked_steps - 1)]
    warm: list[float] = []
    started = time.perf_counter()
    while not warm or time.perf_counter() - started < job.warm_up:
        warm.append(_timed(step, job.timed_rate)[0])
    ready = Ready(peer.version(), build_seconds, sorted(warm)[len(warm) // 2], tuple(losses))
    _say(answers, asdict(ready))
    for line in questions:
        question = json.loads(line)
        if "measure" in question:
            further = dict(peer.measure(step, question["measure"]))
            _say(answers, asdict(Ran((), 0.0, peak(), base, further)))
            continue
        seconds, loss = [], 0.0
        for _ in range(question["run"]):
            taken, loss = _timed(step, job.timed_rate)
            seconds.append(taken)
        _say(answers, asdict(Ran(tuple(seconds), loss, peak(), base)))


def _timed(step: Any, rate: float) -> tuple[float, float]:
    began = time.perf_counter()
    loss = step(rate)
    return time.perf_counter() - began, loss


def _say(answers: TextIO, message: Any) -> None:
    print(json.dumps(message), file=answers, flush=True)


if __name__ == "__main__":
    main()
