# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The runtime of pock: what a device installs to train compiled programs.

Imports NumPy, ml_dtypes, safetensors and iree.runtime, and nothing of PyTorch, torch-mlir or the compiler.
"""

from .errors import (
    ArtifactError,
    CheckpointError,
    DataError,
    DeviceError,
    InputError,
    PockRuntimeError,
    TrainingDiverged,
)
from .metadata import Metadata
from .trainer import Trainer

__all__ = [
    "ArtifactError",
    "CheckpointError",
    "DataError",
    "DeviceError",
    "InputError",
    "Metadata",
    "PockRuntimeError",
    "Trainer",
    "TrainingDiverged",
]
