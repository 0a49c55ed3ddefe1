# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Data sets for training: arrays in files, or batches that a Python function makes.

A data set hands out batches of the size that is compiled into the program, each a tuple of arrays: the
inputs and then the targets.
"""

import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from .device import Array, aligned_empty
from .errors import DataError, InputError, reason
from .inputs import as_array, fits
from .metadata import Metadata, TensorSpec

Batch = tuple[Array, ...]

_SPLIT = 2**32 - 1
"""Stands for the epoch in the seed of the order that a validation split is drawn from."""


class Data(Protocol):
    """What the training loop wants of a data set."""

    @property
    def samples(self) -> int | None:
        """How many samples there are, None if unknown."""

    @property
    def steps(self) -> int | None:
        """How many whole batches an epoch has, None if unknown."""

    def training(self, epoch: int, skip: int) -> Iterator[tuple[Batch, int]]:
        """The batches of an epoch and how many samples each has, without the first ``skip`` whole ones.

        A batch is good until the next one is asked for.
        """

    def evaluation(self) -> Iterator[tuple[Batch, int]]:
        """All batches in order, and how many samples of each are real.

        A last partial batch is filled up with copies of its last sample.
        """


def interface(metadata: Metadata) -> tuple[TensorSpec, ...]:
    """The arrays of a batch."""
    return (*metadata.inputs, *metadata.targets)


def batch_size(metadata: Metadata) -> int:
    """The batch size compiled into the program; raises ``DataError`` if it has none."""
    if metadata.batch is None:
        listed = ", ".join(f"{s.name}: {s}" for s in interface(metadata))
        raise DataError(f"the program's inputs and targets share no batch dimension: {listed}")
    return metadata.batch


def order(count: int, seed: int, epoch: int) -> Array:
    """The order of the samples in an epoch: the same for the same arguments, with any NumPy.

    NumPy keeps the raw output of its bit generators stable, but not its permutations.
    """
    keys = np.random.PCG64([seed, epoch]).random_raw(count)
    return np.argsort(keys, kind="stable")


@dataclass(frozen=True)
class ArrayData:
    """Samples in arrays, of which ``indices`` belong to this set.

    ``shuffle`` orders each epoch anew, by ``seed`` and the epoch's number.
    """

    arrays: tuple[Array, ...]
    specs: tuple[TensorSpec, ...]
    batch: int
    indices: Array
    shuffle: bool = True
    seed: int = 0

    @staticmethod
    def of(arrays: Sequence[Array], metadata: Metadata, shuffle: bool, seed: int) -> "ArrayData":
        """Check arrays against the program; raises ``DataError``."""
        specs, batch = interface(metadata), batch_size(metadata)
        for array, spec in zip(arrays, specs, strict=True):
            _check_samples(array, spec)
        counts = {spec.name: len(array) for array, spec in zip(arrays, specs, strict=True)}
        if len(set(counts.values())) > 1:
            raise DataError(f"the arrays have different numbers of samples: {_counts(counts)}")
        count = next(iter(counts.values()))
        if count == 0:
            raise DataError("there are no samples in the data")
        return ArrayData(tuple(arrays), specs, batch, np.arange(count), shuffle, seed)

    @property
    def samples(self) -> int:
        return len(self.indices)

    @property
    def steps(self) -> int:
        return len(self.indices) // self.batch

    def split(self, fraction: float) -> "tuple[ArrayData, ArrayData]":
        """This set without ``fraction`` of its samples, drawn by the seed, and those samples."""
        count = round(fraction * self.samples)
        if not 0 < count < self.samples:
            raise DataError(f"a validation split of {fraction} leaves {count} of {self.samples} samples")
        shuffled = self.indices[order(self.samples, self.seed, _SPLIT)]
        return (
            replace(self, indices=np.sort(shuffled[count:])),
            replace(self, indices=np.sort(shuffled[:count])),
        )

    def training(self, epoch: int, skip: int) -> Iterator[tuple[Batch, int]]:
        indices = self.indices[order(self.samples, self.seed, epoch)] if self.shuffle else self.indices
        # One set of aligned buffers, which a program on the CPU reads without a copy.
        buffers = tuple(aligned_empty(spec.shape, array.dtype) for array, spec in self._columns())
        for step in range(skip, self.steps):
            chosen = indices[step * self.batch : (step + 1) * self.batch]
            for buffer, array in zip(buffers, self.arrays, strict=True):
                np.take(array, chosen, axis=0, out=buffer, mode="clip")
            yield buffers, self.batch
        if len(rest := indices[self.steps * self.batch :]):
            yield tuple(array[rest] for array in self.arrays), len(rest)

    def evaluation(self) -> Iterator[tuple[Batch, int]]:
        for start in range(0, self.samples, self.batch):
            chosen = self.indices[start : start + self.batch]
            yield padded(tuple(array[chosen] for array in self.arrays), self.batch), len(chosen)

    def _columns(self) -> Iterator[tuple[Array, TensorSpec]]:
        return zip(self.arrays, self.specs, strict=True)


@dataclass(frozen=True)
class IterableData:
    """Batches of a Python function's making, in the order that it makes them.

    ``make`` is called anew each epoch and returns an iterable of tuples of arrays. It may take the epoch's
    number as ``epoch``, to shuffle by; to be resumed exactly it must give the same batches each time.
    """

    make: Callable[..., Iterable[Any]]
    name: str
    specs: tuple[TensorSpec, ...]
    batch: int

    @property
    def samples(self) -> None:
        return None

    @property
    def steps(self) -> None:
        return None

    def training(self, epoch: int, skip: int) -> Iterator[tuple[Batch, int]]:
        for batch, real in self._batches(epoch):
            if real == self.batch and skip > 0:
                skip -= 1
            else:
                yield batch, real

    def evaluation(self) -> Iterator[tuple[Batch, int]]:
        for batch, real in self._batches(0):
            yield padded(batch, self.batch), real

    def _batches(self, epoch: int) -> Iterator[tuple[Batch, int]]:
        for number, batch in enumerate(self._call(epoch)):
            yield self._checked(batch, number)

    def _call(self, epoch: int) -> Iterator[Any]:
        # Whatever the user's function raises is the data's fault, in one line, with its traceback behind it.
        try:
            takes_epoch = "epoch" in inspect.signature(self.make).parameters
            yield from self.make(epoch=epoch) if takes_epoch else self.make()
        except Exception as error:
            raise DataError(f"{self.name} raised {type(error).__name__}: {reason(error)}") from error

    def _checked(self, batch: Any, number: int) -> tuple[Batch, int]:
        where = f"batch {number} of {self.name}"
        if not isinstance(batch, tuple | list) or len(batch) != len(self.specs):
            names = ", ".join(spec.name for spec in self.specs)
            raise DataError(f"{where} must be a tuple of {len(self.specs)} arrays ({names})")
        lengths = {len(array) if np.ndim(array) else 0 for array in batch}
        real = lengths.pop() if len(lengths) == 1 else 0
        if not 0 < real <= self.batch:
            raise DataError(
                f"the arrays of {where} must all have 1 to {self.batch} samples, the compiled size"
            )
        try:
            return tuple(
                as_array(array, replace(spec, shape=(real, *spec.shape[1:])))
                for array, spec in zip(batch, self.specs, strict=True)
            ), real
        except InputError as error:
            raise DataError(f"{where}: {error}") from None


def padded(batch: Batch, size: int) -> Batch:
    """``batch`` filled up to ``size`` samples with copies of its last one."""
    missing = size - len(batch[0])
    return tuple(np.concatenate([a, np.repeat(a[-1:], missing, axis=0)]) for a in batch) if missing else batch


def open_data(
    source: str, metadata: Metadata, shuffle: bool = True, seed: int = 0
) -> ArrayData | IterableData:
    """The data set that ``source`` names; raises ``DataError``.

    * ``file.npz`` with an array for each of the program's inputs and targets, by name (or ``x`` and ``y`` if
      there is one of each);
    * ``x.npy,y.npy``: a file for each input and target, in order, read from the disk as they are needed;
    * ``file.py:function``: batches (``IterableData``).

    Nothing is ever unpickled.
    """
    if ".py:" in source:
        path, _, function = source.rpartition(":")
        make = getattr(_module(Path(path)), function, None)
        if not callable(make):
            raise DataError(f"{path} has no function '{function}'")
        return IterableData(make, source, interface(metadata), batch_size(metadata))
    if source.endswith(".npz"):
        arrays = _from_npz(Path(source), metadata)
    elif all(part.endswith(".npy") for part in source.split(",")):
        arrays = _from_npy([Path(part) for part in source.split(",")], metadata)
    else:
        raise DataError(f"'{source}' is no data set: give file.npz, x.npy,y.npy or file.py:function")
    try:
        return ArrayData.of(arrays, metadata, shuffle, seed)
    except DataError as error:
        raise DataError(f"{source}: {error}") from None


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise DataError(f"no Python file {path}")
    module = importlib.util.module_from_spec(spec)
    # Its neighbours are importable, as when the file is run.
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise DataError(f"importing {path} raised {type(error).__name__}: {reason(error)}") from error
    finally:
        sys.path.pop(0)
    return module


def _from_npz(path: Path, metadata: Metadata) -> list[Array]:
    names = [spec.name for spec in interface(metadata)]
    loaded = _load(path)
    if isinstance(loaded, np.ndarray):
        raise DataError(f"{path} is no .npz archive")
    with loaded as archive:
        have = set(archive.files)
        if not have.issuperset(names) and len(metadata.inputs) == len(metadata.targets) == 1:
            names = ["x", "y"]
        if not have.issuperset(names):
            raise DataError(f"{path} holds {_listed(have)}, and {_listed(names)} are wanted")
        return [_member(path, archive, name) for name in names]


def _member(path: Path, archive: Any, name: str) -> Array:
    try:
        member: Array = archive[name]
    # A damaged archive makes zipfile and zlib raise nearly anything.
    except Exception as error:
        raise DataError(f"cannot read '{name}' of {path}: {reason(error)}") from None
    return member


def _from_npy(paths: Sequence[Path], metadata: Metadata) -> list[Array]:
    specs = interface(metadata)
    if len(paths) != len(specs):
        names = ", ".join(spec.name for spec in specs)
        raise DataError(f"{len(paths)} .npy files given, {len(specs)} wanted ({names})")
    arrays = [_load(path) for path in paths]
    for path, array in zip(paths, arrays, strict=True):
        if not isinstance(array, np.ndarray):
            raise DataError(f"{path} is no .npy file")
    return arrays


def _load(path: Path) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"no file {path}") from None
    # NumPy reports a damaged file by whatever its parser stumbles over.
    except Exception as error:
        raise DataError(f"cannot read {path}: {reason(error)}") from None


def _check_samples(array: Array, spec: TensorSpec) -> None:
    if array.ndim == 0 or array.shape[1:] != spec.shape[1:]:
        wanted = ", ".join(["samples", *map(str, spec.shape[1:])])
        raise DataError(f"'{spec.name}' has shape {list(array.shape)}, [{wanted}] is wanted")
    if not fits(array.dtype, spec.dtype):
        raise DataError(
            f"'{spec.name}' is {array.dtype}, {spec.dtype} is wanted: convert it when you save it"
        )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} in '{name}'" for name, count in counts.items())


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names)) or "nothing"
