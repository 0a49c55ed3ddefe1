# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``TrainingProgram``: the traced model as MLIR and its initial values.

A saved program is one ZIP file of MLIR text, safetensors and JSON: any scheme can be compiled from
it without PyTorch.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy
from torch_mlir import ir

from pock.dialects import sparsebp

from .errors import PassFailure, PockError
from .files import write_bytes
from .opt import parse_module

FORMAT = 1
_MODULE, _PARAMETERS, _METADATA = "program.mlir", "parameters.safetensors", "metadata.json"


class ProgramError(PockError):
    """A file that is no training program."""


@dataclass(frozen=True)
class TensorSpec:
    """A named input, target or output: shape and numpy (or ml_dtypes) dtype name."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Signature:
    """What a training program takes and gives besides its state."""

    model: str
    inputs: tuple[TensorSpec, ...]
    targets: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    tied: dict[str, str] = field(default_factory=dict)
    """Other names of tied parameters -> the name that the program uses."""

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> "Signature":
        def specs(key: str) -> tuple[TensorSpec, ...]:
            return tuple(TensorSpec(s["name"], tuple(s["shape"]), s["dtype"]) for s in data[key])

        return Signature(
            data["model"], specs("inputs"), specs("targets"), specs("outputs"), dict(data["tied"])
        )


@dataclass
class TrainingProgram:
    """A training program in which every parameter is trained and nothing is pruned.

    ``module`` holds ``@step``, ``@predict`` and ``@evaluate`` in the torch and sparsebp dialects;
    ``parameters`` the initial value of every parameter and buffer by PyTorch's name.
    """

    module: ir.Module
    parameters: dict[str, np.ndarray]
    signature: Signature
    versions: dict[str, str] = field(default_factory=dict)

    def copy_module(self) -> ir.Module:
        """A copy of the module in the same context, for passes to transform."""
        with self.module.context:
            return ir.Module.parse(self.text())

    def text(self) -> str:
        """The module as text, with locations."""
        return str(self.module.operation.get_asm(enable_debug_info=True, assume_verified=True))

    def save(self, path: str | Path) -> None:
        """Write the program to one file, whole or not at all. The same program gives the same bytes."""
        metadata = {"format": FORMAT, "signature": asdict(self.signature), "versions": self.versions}
        members = {
            _METADATA: json.dumps(metadata, indent=1, sort_keys=True).encode(),
            _MODULE: self.text().encode(),
            _PARAMETERS: parameter_bytes(self.parameters),
        }
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in members.items():
                # A fixed date keeps the bytes the same from one run to the next.
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
        write_bytes(str(path), file.getvalue())

    @staticmethod
    def load(path: str | Path, context: ir.Context | None = None) -> "TrainingProgram":
        """Read a saved program; raises ``ProgramError`` for anything else."""
        path = Path(path)
        try:
            with zipfile.ZipFile(path) as archive:
                members = {name: archive.read(name) for name in (_METADATA, _MODULE, _PARAMETERS)}
            metadata = json.loads(members[_METADATA])
            if metadata["format"] != FORMAT:
                raise ProgramError(
                    f"{path}: training program of format {metadata['format']}, this pock reads {FORMAT}"
                )
            signature = Signature.from_dict(metadata["signature"])
            parameters = _parameters_of(members[_PARAMETERS])
            text = members[_MODULE].decode()
        except FileNotFoundError:
            raise ProgramError(f"{path}: no such file") from None
        except (
            zipfile.BadZipFile, KeyError, ValueError, TypeError, NotImplementedError, EOFError, OSError,
            RuntimeError, safetensors.SafetensorError,
        ) as error:  # fmt: skip
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ProgramError(f"{path}: not a whole training program of pock: {reason}") from None
        try:
            module = parse_module(text, context or sparsebp.context(), f"{path}:{_MODULE}")
        except PassFailure as error:
            raise ProgramError(f"{path}: its MLIR is not valid: {error.diagnostics[:1]}") from None
        program = TrainingProgram(module, parameters, signature, metadata.get("versions", {}))
        program.check(str(path))
        return program

    def check(self, where: str) -> None:
        """Every declaration has a value of its shape and the other way round; raises ``ProgramError``."""
        declared = {
            name: tuple(ir.RankedTensorType(ir.TypeAttr(op.operation.attributes["type"]).value).shape)
            for name, op in sparsebp.declarations(self.module).items()
            if op.operation.name == "sparsebp.parameter"
        }
        for name, shape in declared.items():
            if name not in self.parameters:
                raise ProgramError(f"{where}: parameter {name} is declared but has no value")
            if self.parameters[name].shape != shape:
                got = list(self.parameters[name].shape)
                raise ProgramError(
                    f"{where}: parameter {name} is declared {list(shape)} but its value is {got}"
                )


def archive_key(name: str) -> str:
    """The name of a parameter in archives, where %XX stands for what JSON would escape.

    The names of safetensors are JSON's strings, but IREE's reader knows no escapes.
    """
    return re.sub(r'[%"\\\x00-\x1f]', lambda match: f"%{ord(match[0]):02X}", name)


def parameter_bytes(parameters: Mapping[str, np.ndarray]) -> bytes:
    """Parameters as safetensors, in the order of their names."""
    # np.ascontiguousarray would make vectors of scalars.
    return safetensors.numpy.save(
        {archive_key(name): np.asarray(parameters[name], order="C") for name in sorted(parameters)}
    )


_DTYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "I64": np.int64,
    "I32": np.int32, "I16": np.int16, "I8": np.int8, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip


def _parameters_of(data: bytes) -> dict[str, np.ndarray]:
    """The parameters that ``parameter_bytes`` has written; safetensors' own reader knows no bfloat16."""
    return {
        unquote(key): np.frombuffer(tensor["data"], _DTYPES[tensor["dtype"]]).reshape(tensor["shape"]).copy()
        for key, tensor in safetensors.deserialize(data)
    }


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
