# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""GPUs of phones and boards, through Vulkan and SPIR-V."""

from dataclasses import dataclass
from typing import ClassVar

from .base import Target


@dataclass(frozen=True)
class Vulkan(Target):
    """A Vulkan device. ``arch`` is IREE's name of a GPU: ``adreno``, ``valhall4``, ``rdna3``, …"""

    name: ClassVar[str] = "vulkan"
    device: ClassVar[str] = "vulkan"

    arch: str = "adreno"

    def compile_flags(self) -> list[str]:
        return ["--iree-hal-target-device=vulkan", f"--iree-vulkan-target={self.arch}"]
