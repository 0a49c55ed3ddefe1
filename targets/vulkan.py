# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""GPUs of phones and boards, through Vulkan and SPIR-V."""

from dataclasses import dataclass
from typing import ClassVar

from .base import Target

#: The narrowest integers in storage buffers, as IREE has it in KnownTargets.cpp, by the name up to the first
#: dash; 8 bits elsewhere.
_STORAGE_BITS = {"adreno": 16, "vp_android_baseline_2022": 32}


@dataclass(frozen=True)
class Vulkan(Target):
    """A Vulkan device. ``arch`` is IREE's name of a GPU: ``adreno``, ``valhall4``, ``rdna3``, …"""

    name: ClassVar[str] = "vulkan"
    device: ClassVar[str] = "vulkan"

    arch: str = "adreno"

    def compile_flags(self) -> list[str]:
        return ["--iree-hal-target-device=vulkan", f"--iree-vulkan-target={self.arch}"]

    @property
    def storage_bits(self) -> int:
        return _STORAGE_BITS.get(self.arch.lower().partition("-")[0], super().storage_bits)
