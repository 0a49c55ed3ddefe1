# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``Workload``: a model, its data, and the update schemes that it is trained under."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

Loss = Callable[["Tensor", "Tensor"], "Tensor"]

SCHEMES = ("full", "bias-only", "sparse")
"""The names of the schemes that every workload has."""


@dataclass(frozen=True)
class Built:
    """A workload in PyTorch: the model in evaluation mode, a batch, and the loss of output and target."""

    model: "nn.Module"
    inputs: "Tensor"
    targets: "Tensor"
    loss: Loss


@dataclass(frozen=True)
class Workload:
    """Something to train.

    ``builder`` is ``module:function`` in ``pock.benchmarks.workloads``; the function takes the batch size
    and ``options`` and returns a ``Built``. It is imported when it is called, as it needs PyTorch.
    ``schemes`` are the patterns, globs over PyTorch's parameter names, of what each but ``full`` trains.
    """

    name: str
    about: str
    builder: str
    schemes: Mapping[str, Sequence[str]]
    options: Mapping[str, int | float]
    hidden: bool = False
    """Whether only its exact name selects it."""

    def build(self, batch: int) -> Built:
        """The workload for a batch size; the same weights and data at every call."""
        module, _, function = self.builder.partition(":")
        built: Built = getattr(import_module(f"pock.benchmarks.workloads.{module}"), function)(
            batch, **self.options
        )
        return built

    def patterns(self, scheme: str) -> Sequence[str]:
        """The globs of what ``scheme`` trains."""
        return ("*",) if scheme == "full" else self.schemes[scheme]

    def trained(self, scheme: str, names: Sequence[str]) -> list[str]:
        """Those of ``names`` that ``scheme`` trains, in order."""
        return [n for n in names if any(fnmatchcase(n, pattern) for pattern in self.patterns(scheme))]
