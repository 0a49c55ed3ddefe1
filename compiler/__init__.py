# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The compiler of pock: PyTorch models to sparse-training programs.

Everything here works without PyTorch except ``TrainingTask`` and ``trace``, which are imported when
they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import PassFailure, PockError, UsageError

if TYPE_CHECKING:
    from .frontend.task import TrainingTask
    from .frontend.trace import trace
    from .optimizers import SGD, Adam, AdamW, Lion, Optimizer
    from .pipeline import Artifact, Emit, compile_program, emit
    from .program import TrainingProgram
    from .scheme import Scheme
    from .sharding import Division, worthwhile_division

#: public name -> submodule; MLIR's bindings take a second to load and not every caller needs them
_LAZY = {
    "TrainingTask": "frontend.task",
    "trace": "frontend.trace",
    "SGD": "optimizers",
    "Adam": "optimizers",
    "AdamW": "optimizers",
    "Lion": "optimizers",
    "Optimizer": "optimizers",
    "Artifact": "pipeline",
    "Emit": "pipeline",
    "compile_program": "pipeline",
    "emit": "pipeline",
    "TrainingProgram": "program",
    "Scheme": "scheme",
    "Division": "sharding",
    "worthwhile_division": "sharding",
}

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Artifact",
    "Division",
    "Emit",
    "Lion",
    "Optimizer",
    "PassFailure",
    "PockError",
    "Scheme",
    "TrainingProgram",
    "TrainingTask",
    "UsageError",
    "compile_program",
    "emit",
    "trace",
    "worthwhile_division",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
