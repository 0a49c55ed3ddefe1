# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One core or all of them, for a program that a CPU runs.

``local-task`` shares the work of each dispatch among the cores, which have to meet before the next one may
begin: some microseconds, and much of what the first one left in its cache. ``local-sync`` runs everything on
the caller's thread, and leaves the other cores to others. What ``python -m pock.benchmarks.devices`` printed
on two cores of x86-64 with AVX-512 (kB are those of ``weight``):

| workload | batch | scheme | dispatches | kB each | one core, ms | all, ms | chosen |
| --- | --- | --- | --- | --- | --- | --- | --- |
| tiny | 1 | sparse | 32 | 1 | 0.02 | 0.09 | one |
| tiny | 1 | full | 54 | 1 | 0.03 | 0.09 | one |
| tiny | 8 | sparse | 31 | 5 | 0.03 | 0.11 | one |
| tiny | 8 | full | 59 | 5 | 0.05 | 0.15 | one |
| mobilenetv2-0.35 | 1 | sparse | 129 | 313 | 1.34 | 1.39 | one |
| mobilenetv2-0.35 | 1 | full | 495 | 196 | 3.58 | 3.95 | one |
| mobilenetv2-0.35 | 8 | sparse | 128 | 1157 | 5.99 | 4.93 | all |
| mobilenetv2-0.35 | 8 | full | 600 | 902 | 42.31 | 33.86 | all |
| mobilenetv2-128 | 1 | sparse | 135 | 719 | 3.67 | 3.53 | all |
| mobilenetv2-128 | 1 | full | 488 | 505 | 10.86 | 10.12 | all |
| mobilenetv2-128 | 8 | sparse | 134 | 3303 | 29.06 | 19.49 | all |
| mobilenetv2-128 | 8 | full | 593 | 2359 | 129.23 | 94.47 | all |
| bert-small | 1 | sparse | 202 | 2872 | 63.00 | 34.82 | all |
| bert-small | 1 | full | 379 | 3054 | 114.21 | 66.76 | all |
| bert-small | 8 | sparse | 210 | 17346 | 448.50 | 242.82 | all |
| bert-small | 8 | full | 406 | 16130 | 762.80 | 429.64 | all |
"""

import os
import warnings

from .metadata import Metadata, Work

_ALL_CORES, _ONE_CORE = "local-task", "local-sync"

#: What a dispatch has to do on average for more than one core to gain, in bytes.
WORTH_SHARING = 400_000

#: Operations that a core does while it moves one byte, each multiplication with its addition as two.
FLOPS_PER_BYTE = 16


def weight(work: Work) -> float:
    """What a dispatch of a step does on average, in bytes, with time for computing added."""
    return (work.bytes + work.flops / FLOPS_PER_BYTE) / max(work.dispatches, 1)


def default_device(metadata: Metadata) -> str:
    """The device to run a program on if its user names none: its own, but one core where more do not pay.

    A rank has one core however much it does.
    """
    if metadata.ranks is not None:
        return _ONE_CORE
    if metadata.device != _ALL_CORES or metadata.work is None:
        return metadata.device
    return _ALL_CORES if _cores() > 1 and weight(metadata.work) >= WORTH_SHARING else _ONE_CORE


def lanes(shards: int, device: str, named: bool) -> int:
    """The threads to run ``shards`` on, for a program on ``device``, which its user has ``named`` or not.

    One shard does not wait for another, so they are worth a core each whatever their dispatches do.
    """
    if not device.startswith("local-") or (named and device.startswith(_ONE_CORE)):
        return 1
    return min(shards, _cores())


def check_ranks(count: int) -> None:
    """Warn if ``count`` ranks, which wait for one another, have to share cores."""
    available = _cores()
    if available < count:
        warnings.warn(
            f"the program is compiled for {count} cores and this process may use {available}, which is slow: "
            f"compile it with --cores {available}",
            stacklevel=4,
        )


def _cores() -> int:
    """The cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # Not on Linux.
        return os.cpu_count() or 1
