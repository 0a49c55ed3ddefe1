# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Measuring a compiled program, on this machine's processor."""

import math
import resource
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pock.benchmarks.machine import processor
from pock.benchmarks.process import busy_seconds
from pock.compiler.analysis.commands import DISPATCH, Command
from pock.runtime import PockRuntimeError, Trainer
from pock.runtime.metadata import Metadata, TensorSpec

from .errors import ProfileError
from .results import Measured, Peaks, Profile
from .tools import Call, Event, Step, argument, scratch, typed

_RATE = 1e-7
"""The learning rate: it costs what any other costs, and keeps the steps, which repeat one batch, alike."""

#: Steps that are timed, and once more with a profile: as many as take so many seconds.
_SECONDS, _FEWEST, _MOST = 2.0, 6, 200

Array = NDArray[Any]
T = TypeVar("T")


def profile(
    program: Path,
    commands: Sequence[Command],
    threads: int,
    peaks: Peaks,
    batch: Sequence[Array] | None = None,
    about: Mapping[str, Any] | None = None,
) -> Profile:
    """Measure a step of the program in a file, whose ``commands`` its compilation has told.

    It begins with the initial state, and with ``batch``, or else random numbers: normal ones, and 0 or 1 for
    integers, which may be labels or rows of a table. Raises ``ProfileError``.
    """
    metadata, state = _initial(program)
    with scratch() as folder:
        arguments = _arguments(metadata, state, batch or _random(metadata), folder)
        call = Call(program, "step", arguments, threads, _parameters(program, metadata))
        count = max(_FEWEST, min(_MOST, math.ceil(_SECONDS / min(call.seconds(_FEWEST)))))
        unprofiled = _fastest(call.seconds(count), float)
        kernels = [command.name for command in commands if command.kind == DISPATCH]
        steps, others = _watched(lambda: call.profiled(count, folder, kernels))
    fastest = _fastest(steps, _span)
    times = iter(np.mean([shares(dispatches) for dispatches, _ in fastest], axis=0).tolist())
    return Profile(
        metadata.model,
        about or {},
        processor(),
        threads,
        len(fastest),
        float(np.mean([_span(step) for step in fastest])),
        float(np.mean(unprofiled)),
        others,
        peaks,
        tuple(Measured(command, next(times) if command.kind == DISPATCH else None) for command in commands),
    )


def _initial(program: Path) -> tuple[Metadata, dict[str, Array]]:
    """The program's metadata and initial state."""
    try:
        trainer = Trainer(program, device="local-sync")
        return trainer.metadata, trainer.state_dict(optimizer=True)
    except PockRuntimeError as error:
        raise ProfileError(str(error)) from None


def _arguments(
    metadata: Metadata, state: Mapping[str, Array], batch: Sequence[Array], folder: Path
) -> list[str]:
    """The arguments of a step, whose arrays are files in ``folder``."""
    specs = [*metadata.inputs, *metadata.targets]
    given = [array.astype(spec.device_dtype) for array, spec in zip(batch, specs, strict=True)]
    own = [state[spec.name].astype(spec.device_dtype) for spec in metadata.state]
    values = {h.name: h.default or 0.0 for h in metadata.hyperparameters} | {"lr": _RATE}
    scalars = [f"{typed((), 'float32')}={values[h.name]}" for h in metadata.hyperparameters]
    first, rest = (
        [argument(array, folder / f"{kind}{i}.bin") for i, array in enumerate(arrays)]
        for kind, arrays in (("batch", given), ("state", own))
    )
    return [*first, *scalars, *rest]


def _random(metadata: Metadata) -> list[Array]:
    generator = np.random.default_rng(0)

    def array(spec: TensorSpec) -> Array:
        if spec.dtype.kind in "biu":
            return generator.integers(0, 2, spec.shape).astype(spec.dtype)
        return generator.standard_normal(spec.shape).astype(spec.dtype)

    return [array(spec) for spec in (*metadata.inputs, *metadata.targets)]


def _parameters(program: Path, metadata: Metadata) -> str:
    storage = metadata.parameters
    return "" if storage.storage == "embedded" else f"{storage.scope}={program.parent / storage.file}"


# -- times --------------------------------------------------------------------------------------


def _fastest(measured: Sequence[T], time: Callable[[T], float]) -> list[T]:
    """The faster half: other processes slow some."""
    return sorted(measured, key=time)[: (len(measured) + 1) // 2]


def _watched(run: Callable[[], T]) -> tuple[T, float]:
    """What ``run`` gives, and the part of the processors that was used by others than its children."""
    before, own = busy_seconds(), _children_seconds()
    result = run()
    after = busy_seconds()
    used = after[0] - before[0] - (_children_seconds() - own)
    return result, max(0.0, used) / max(after[1] - before[1], 1e-9)


def _children_seconds() -> float:
    """The processor time of child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _span(step: Step) -> float:
    """From the beginning of the first event to the end of the last."""
    events = [event for kind in step for event in kind]
    return max((e.end for e in events), default=0.0) - min((e.start for e in events), default=0.0)


def shares(events: Sequence[Event]) -> list[float]:
    """The time of each event, where every moment is divided among those that last then.

    So the shares add up to the time in which there is any.
    """
    moments = sorted({moment for event in events for moment in (event.start, event.end)})
    position = {moment: i for i, moment in enumerate(moments)}
    running = np.zeros(len(moments))
    for event in events:
        running[position[event.start]] += 1
        running[position[event.end]] -= 1
    lasting = np.maximum(np.cumsum(running)[:-1], 1)
    divided = np.concatenate([[0.0], np.cumsum(np.diff(moments) / lasting)])
    return [float(divided[position[e.end]] - divided[position[e.start]]) for e in events]
