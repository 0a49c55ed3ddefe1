# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checkpoints: a safetensors file whose metadata says what it is and proves that it is whole."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from .device import Array
from .errors import CheckpointError, reason
from .files import write_durably
from .metadata import Metadata, StateSpec

FORMAT = 1
"""The newest checkpoint format that this runtime reads."""

_KEY = "pock"
_DIGEST = "pock.sha256"

_SAFETENSORS = {
    "bool": "BOOL",
    "bfloat16": "BF16",
    **{f"{kind}{bits}": f"{kind[0].upper()}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"F{bits}" for bits in (16, 32, 64)},
}


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training run.

    ``tensors`` are all of the program's state under the states' names. ``state`` describes them
    (``describe``), ``steps`` counts the training steps taken and ``extra`` belongs to whoever drives the
    training: anything that JSON holds.
    """

    model: str
    steps: int
    state: tuple[Mapping[str, Any], ...]
    tensors: Mapping[str, Array]
    extra: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write durably in ``path``'s place or not at all; raises ``CheckpointError``."""
        try:
            write_durably(path, self._write)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            kept = " (the one before it is untouched)" if path.exists() else ""
            raise CheckpointError(f"cannot write checkpoint {path}: {why}{kept}") from None

    def _write(self, file: IO[bytes]) -> None:
        about = {
            "format": FORMAT,
            "model": self.model,
            "steps": self.steps,
            "state": [dict(s) for s in self.state],
            "extra": dict(self.extra),
        }
        text = json.dumps(about)
        entries: dict[str, Any] = {"__metadata__": {_KEY: text, _DIGEST: _digest(text, self.tensors)}}
        end = 0
        for name, array in _ordered(self.tensors):
            begin, end = end, end + array.nbytes
            entries[name] = {
                "dtype": _SAFETENSORS[array.dtype.name],
                "shape": list(array.shape),
                "data_offsets": [begin, end],
            }
        header = json.dumps(entries).encode()
        header += b" " * (-len(header) % 8)
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for _, array in _ordered(self.tensors):
            file.write(_bytes(array))

    @staticmethod
    def load(path: Path) -> "Checkpoint":
        """Read and check; raises ``CheckpointError``."""
        try:
            with safe_open(path, framework="np") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except FileNotFoundError:
            raise CheckpointError(f"no checkpoint {path}") from None
        except OSError as error:
            raise CheckpointError(f"cannot read checkpoint {path}: {error.strerror or error}") from None
        # A damaged header makes the reader raise errors of NumPy's and of decoding, too.
        except (SafetensorError, ValueError, TypeError, KeyError) as error:
            raise CheckpointError(f"{path} is no checkpoint, or is damaged: {reason(error)}") from None
        text = about.get(_KEY)
        if text is None:
            raise CheckpointError(f"{path} is a safetensors file but no checkpoint of pock's")
        if about.get(_DIGEST) != _digest(text, tensors):
            raise CheckpointError(f"checkpoint {path} is damaged: its checksum does not match")
        return _parse(path, json.loads(text), tensors)

    def check_fits(self, metadata: Metadata, path: Path) -> None:
        """Check that this is a checkpoint of the program; raises ``CheckpointError`` naming what differs."""
        given = {s["name"]: s for s in self.state}
        wanted = {s.name: describe(s) for s in metadata.state}
        for name in given:
            if name not in wanted:
                raise CheckpointError(f"{path} is of another program: it has '{name}', the program has not")
        for name, description in wanted.items():
            if name not in given:
                raise CheckpointError(f"{path} is of another program: it lacks '{name}'")
            for key, value in description.items():
                if given[name].get(key) != value:
                    raise CheckpointError(
                        f"{path} is of another program: '{name}' has {key} {given[name].get(key)}, "
                        f"the program's has {value}"
                    )


def describe(state: StateSpec) -> dict[str, Any]:
    """What must agree between a checkpoint's tensor and a program's state."""
    return {
        "name": state.name,
        "kind": state.kind,
        "shape": list(state.shape),
        "dtype": state.dtype.name,
        "mask": str(state.mask),
    }


def _parse(path: Path, about: Mapping[str, Any], tensors: Mapping[str, Array]) -> Checkpoint:
    if about["format"] > FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {about['format']}, this runtime reads up to {FORMAT}: update pock"
        )
    return Checkpoint(about["model"], about["steps"], tuple(about["state"]), tensors, about["extra"])


def _ordered(tensors: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    # Larger elements first keeps every tensor aligned, which the format asks for.
    yield from sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))


def _bytes(array: Array) -> memoryview:
    # The buffer protocol knows no bfloat16.
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _digest(text: str, tensors: Mapping[str, Array]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, array in _ordered(tensors):
        digest.update(json.dumps([name, array.dtype.name, list(array.shape)]).encode())
        digest.update(_bytes(array))
    return digest.hexdigest()
