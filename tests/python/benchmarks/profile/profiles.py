# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A profile by hand, for tests of what is made of profiles."""

from pock.benchmarks.profile.results import Measured, Peaks, Profile
from pock.compiler.analysis.commands import Command
from pock.compiler.source import Part, Source

PEAKS = Peaks(100e9, {1_000: 100e9, 1_000_000: 10e9})
"""100 GFLOP/s; 100 GB/s of up to a kilobyte and 10 GB/s of more."""

FORWARD, BACKWARD = Source(Part.FORWARD, "blocks.0.conv"), Source(Part.BACKWARD, "blocks.0.conv")
UPDATE = Source(Part.UPDATE, "head")


def dispatch(name: str, *sources: Source, flops: int = 0, size: int = 800, us: float = 10.0) -> Measured:
    """A dispatch that reads three quarters of ``size`` bytes and takes so many microseconds."""
    read = size * 3 // 4
    return Measured(Command("dispatch", name, sources, flops, read, size - read), us * 1e-6)


COMMANDS = (
    # 0.8 ms at least for the bytes, 1 ms for the operations.
    dispatch("conv_1", FORWARD, flops=100_000_000, size=8_000_000, us=2000),
    dispatch("conv_2", BACKWARD, UPDATE, flops=48_000_000, size=8_000_000, us=1600),
    dispatch("conv_2", BACKWARD, UPDATE, flops=48_000_000, size=8_000_000, us=1600),
    dispatch("update", UPDATE, flops=800, size=800, us=0.1),
    dispatch("lost"),
    Measured(Command("fill", "fill", (FORWARD,), 0, 0, 4096), None),
    Measured(Command("copy", "copy", (), 0, 512, 512), None),
)


def profile(*commands: Measured, step: float = 6e-3, others: float = 0.0) -> Profile:
    """A profile of ``commands``, or of ``COMMANDS``."""
    about = {"scheme": "full", "optimizer": "sgd"}
    return Profile("Net", about, "Some CPU", 2, 10, step, 6.5e-3, others, PEAKS, commands or COMMANDS)
