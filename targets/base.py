# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a target is: options, iree-compile's flags and the runtime device."""

import dataclasses
from abc import ABC, abstractmethod
from typing import ClassVar, Self

from .loops import LoopNest, Tiling


class TargetError(ValueError):
    """A target or an option of one that does not exist."""


@dataclasses.dataclass(frozen=True)
class Target(ABC):
    """A place for a compiled program to run. Fields of subclasses are options with defaults.

    On the command line a target is ``name`` or ``name:option=value,option=value``; the first option may
    be given by its value alone, as in ``cuda:sm_87``.
    """

    name: ClassVar[str]
    device: ClassVar[str]
    """The IREE runtime device that runs programs of this target by default."""
    supports_f64: ClassVar[bool] = False
    """Whether the target computes in double precision."""

    @property
    def is_host(self) -> bool:
        """Whether programs of the target run on this machine's own processor."""
        return False

    @property
    def is_local(self) -> bool:
        """Whether programs run on the cores and in the memory of the process that loads them."""
        return self.device.startswith("local-")

    @property
    def storage_bits(self) -> int:
        """The width of the narrowest integers that programs of the target load and store."""
        return 8

    @property
    def scheduler(self) -> str:
        """How a kernel lets other threads run: ``x86_64`` or ``aarch64`` for Linux's, empty for no way."""
        return ""

    @property
    def panel(self) -> int:
        """Columns of the panels into which matrices are packed for products; 0 leaves them rows."""
        return 0

    @property
    def winograd(self) -> int:
        """Tiles of 2 x 2 outputs from which 3 x 3 convolutions are computed as Winograd does; 0 never."""
        return 0

    @property
    def strip(self) -> int:
        """Bytes of an activation from which it is computed a few rows at a time, and of these; 0 never."""
        return 0

    @property
    def fused_rows(self) -> int:
        """Rows of an output gradient up to which one loop makes an input gradient and updates the weight."""
        return 0

    @abstractmethod
    def compile_flags(self) -> list[str]:
        """The flags of ``iree-compile`` that select the target and how code is generated for it."""

    def tuning_flags(self) -> list[str]:
        """Flags that make faster code; a program that IREE cannot compile with them is compiled without."""
        return []

    def tiling(self, nest: LoopNest, vector_bytes: int, alone: bool = False) -> Tiling | None:
        """How code for a loop nest is to be generated, or None to leave it to IREE.

        ``alone`` says that one of the target's cores runs all of it.
        """
        return None

    def __str__(self) -> str:
        given = {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)
            if getattr(self, f.name) != f.default
        }
        options = ",".join(f"{key}={value}" for key, value in given.items())
        return f"{self.name}:{options}" if options else self.name

    @classmethod
    def from_options(cls, text: str) -> Self:
        """A target from ``option=value,…``; raises ``TargetError`` naming the options that exist."""
        names = [f.name for f in dataclasses.fields(cls)]
        values: dict[str, str] = {}
        for i, item in enumerate(part.strip() for part in text.split(",")):
            key, equals, value = item.partition("=")
            if not equals and i == 0 and names:
                key, value = names[0], item
            if key not in names or not value:
                known = ", ".join(names) or "none"
                raise TargetError(f"target '{cls.name}' cannot read option '{item}'; its options are {known}")
            values[key] = value
        return cls(**values)
