# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""NVIDIA GPUs, Jetsons among them, through CUDA."""

from dataclasses import dataclass
from typing import ClassVar

from .base import Target


@dataclass(frozen=True)
class CUDA(Target):
    """An NVIDIA GPU. ``arch`` is its compute capability: ``sm_87`` is a Jetson Orin, ``sm_53`` a Nano."""

    name: ClassVar[str] = "cuda"
    device: ClassVar[str] = "cuda"
    supports_f64: ClassVar[bool] = True

    arch: str = "sm_87"

    def compile_flags(self) -> list[str]:
        return ["--iree-hal-target-device=cuda", f"--iree-cuda-target={self.arch}"]
