# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""GPUs of Apple devices, through Metal."""

from dataclasses import dataclass
from typing import ClassVar

from .base import Target


@dataclass(frozen=True)
class Metal(Target):
    """An Apple GPU. ``platform`` is ``macos``: iree-compile 3.13.0 crashes on ``ios``.

    Shaders are stored as Metal source, which the device compiles when it loads them: making a
    ``metallib`` needs Apple's tools.
    """

    name: ClassVar[str] = "metal"
    device: ClassVar[str] = "metal"

    platform: str = "macos"

    def compile_flags(self) -> list[str]:
        return [
            "--iree-hal-target-device=metal",
            f"--iree-metal-target-platform={self.platform}",
            "--iree-metal-compile-to-metallib=false",
        ]
