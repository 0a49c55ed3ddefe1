# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``TrainingTask``: what the user wants to train, in PyTorch's terms."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import torch
from torch.export import ExportedProgram

from pock.compiler.errors import PockError

BatchNorm = Literal["frozen", "train"]


class TaskError(PockError):
    """A training task that cannot be traced."""


@dataclass
class TrainingTask:
    """A model, an example batch and a loss.

    ``model`` is a module, an ``ExportedProgram`` or the path of a ``.pt2`` file of ``torch.export``.
    ``inputs`` and ``targets`` are example tensors: their shapes and dtypes are compiled in.
    ``loss`` is called as ``loss(outputs, *targets)`` with what the model returns and gives a scalar.

    ``batch_norm`` says what batch normalization does during a training step: ``"frozen"`` (the
    default, usual for fine-tuning on a device) uses the running statistics and leaves them as they
    are, so that the compiler can fold them into the convolution; ``"train"`` uses the batch's and
    updates the running ones, as ``model.train()`` does. Everything else is in training mode in a
    training step and in evaluation mode in prediction.
    """

    model: torch.nn.Module | ExportedProgram | str | Path
    inputs: Sequence[torch.Tensor]
    targets: Sequence[torch.Tensor]
    loss: Callable[..., torch.Tensor]
    batch_norm: BatchNorm = "frozen"
    name: str | None = None
    input_names: Sequence[str] | None = None
    target_names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        self.inputs, self.targets = tuple(self.inputs), tuple(self.targets)
        for kind, tensors in (("input", self.inputs), ("target", self.targets)):
            for i, tensor in enumerate(tensors):
                if not isinstance(tensor, torch.Tensor):
                    raise TaskError(f"{kind} {i} must be a tensor, got {type(tensor).__name__}")
        if not self.inputs:
            raise TaskError("inputs is empty: give one example batch, e.g. inputs=(x,)")
        if self.batch_norm not in ("frozen", "train"):
            raise TaskError(f"batch_norm must be 'frozen' or 'train', got {self.batch_norm!r}")
        if not callable(self.loss):
            raise TaskError(f"loss must be callable as loss(outputs, *targets), got {self.loss!r}")
        if isinstance(self.model, str | Path):
            self.model = _load_pt2(Path(self.model))
        if not isinstance(self.model, torch.nn.Module | ExportedProgram):
            kind = type(self.model).__name__
            raise TaskError(f"model must be a torch.nn.Module, an ExportedProgram or a .pt2 path, got {kind}")

    @property
    def model_name(self) -> str:
        if self.name is not None:
            return self.name
        return "exported" if isinstance(self.model, ExportedProgram) else type(self.model).__name__


def _load_pt2(path: Path) -> ExportedProgram:
    if not path.is_file():
        raise TaskError(f"{path}: no such file; expected a .pt2 written by torch.export.save")
    try:
        with _no_unpickling():
            return torch.export.load(path)
    except Exception as error:  # torch.export.load raises whatever its zip and JSON readers raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TaskError(f"{path}: cannot be read as a .pt2 file of torch.export: {reason}") from None


@contextmanager
def _no_unpickling() -> Iterator[None]:
    """Make ``torch.export.load`` refuse what it would unpickle: a model file must not run code.

    It has no option for that: tensors are loaded with ``weights_only=False`` where the file says so.
    """
    load = torch.load

    def tensors_only(*args: Any, **options: Any) -> Any:
        return load(*args, **{**options, "weights_only": True})

    def refuse(*args: Any, **options: Any) -> Any:
        raise ValueError("it holds pickled Python objects, which are not loaded")

    with (
        patch.object(torch, "load", tensors_only),
        patch.object(pickle, "loads", refuse),
        patch.object(torch._C, "_pickle_load_obj", refuse),
    ):
        yield
