# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""CPUs, through LLVM."""

import platform
import sys
from dataclasses import dataclass
from typing import ClassVar

from .base import Target
from .cpu_tiling import tiling
from .loops import LoopNest, Tiling


@dataclass(frozen=True)
class CPU(Target):
    """A CPU. The default is this machine's; others are named as LLVM does, e.g. ``cpu:cortex-a72``.

    ``triple`` is needed for another architecture, e.g. ``aarch64-linux-gnu`` for a Raspberry Pi;
    ``features`` are LLVM's, separated by ``+``.
    """

    name: ClassVar[str] = "cpu"
    device: ClassVar[str] = "local-task"
    supports_f64: ClassVar[bool] = True

    cpu: str = "host"
    triple: str = ""
    features: str = ""

    @property
    def scheduler(self) -> str:
        architecture, system = (
            (self.triple.split("-")[0], self.triple) if self.triple else (platform.machine(), sys.platform)
        )
        return architecture if architecture in ("x86_64", "aarch64") and "linux" in system else ""

    @property
    def panel(self) -> int:
        return 32

    @property
    def winograd(self) -> int:
        return 64

    @property
    def strip(self) -> int:
        # ``python -m pock.benchmarks.rows`` prints what strips of this and other sizes gain.
        return 7 << 17

    @property
    def fused_rows(self) -> int:
        return 8

    @property
    def is_host(self) -> bool:
        return self == CPU()

    def compile_flags(self) -> list[str]:
        flags = [
            "--iree-hal-target-device=local",
            "--iree-hal-local-target-device-backends=llvm-cpu",
            f"--iree-llvmcpu-target-cpu={self.cpu}",
        ]
        if self.triple:
            flags.append(f"--iree-llvmcpu-target-triple={self.triple}")
        if self.features:
            enabled = ",".join(f"+{feature}" for feature in self.features.split("+") if feature)
            flags.append(f"--iree-llvmcpu-target-cpu-features={enabled}")
        return flags

    def tiling(self, nest: LoopNest, vector_bytes: int, alone: bool = False) -> Tiling | None:
        return tiling(nest, vector_bytes, alone)

    def tuning_flags(self) -> list[str]:
        return [
            # Padding is part of the convolution that needs it, and no copy.
            "--iree-dispatch-creation-enable-fuse-padding-into-linalg-consumer-ops",
            # Sums along rows are made of vectors, not element after element.
            "--iree-llvmcpu-reassociate-fp-reductions",
        ]
