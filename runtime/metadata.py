# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a compiled program says about itself.

The compiler writes one JSON object, format version ``FORMAT``, as the reflection attribute
``pock.metadata`` of the program's ``init`` function; ``Metadata.from_json`` parses and checks it. Keys that
this version does not know are ignored.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, TypeVar

import ml_dtypes
import numpy as np

from .errors import ArtifactError

FORMAT = 1
"""The newest metadata format that this runtime reads."""

KINDS = ("parameter", "buffer", "optimizer", "step", "seed")
"""The kinds of state."""

MODEL_KINDS = ("parameter", "buffer")
"""The kinds of state that prediction reads."""

_MOST_SHARDS, _MOST_RANKS = 1024, 64

_DTYPES: Mapping[str, np.dtype[Any]] = {
    name: np.dtype(getattr(ml_dtypes, name, name))
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "bfloat16"),
    )
}


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of the program's interface: its name, static shape and NumPy (or ml_dtypes) dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stored: np.dtype[Any] | None = field(default=None, kw_only=True)
    """The wider integer that it is on a device that cannot store ``dtype``."""

    @property
    def device_dtype(self) -> np.dtype[Any]:
        """Its dtype on the device."""
        return self.dtype if self.stored is None else self.stored

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Mask:
    """Which part of a state tensor a step updates.

    ``update`` is ``"full"``, ``"range"`` (``indices`` is ``(begin, end)``) or ``"list"`` (``indices`` are the
    channels), the latter two along ``axis``, whose name is ``dimension``.
    """

    update: str = "full"
    dimension: str = ""
    axis: int = 0
    indices: tuple[int, ...] = ()

    def __str__(self) -> str:
        return (
            self.update
            if self.update == "full"
            else f"{self.update} {list(self.indices)} of axis {self.axis}"
        )


@dataclass(frozen=True)
class StateSpec(TensorSpec):
    """A tensor that a step carries to the next one; optimizer state names its ``parameter`` and ``slot``."""

    kind: str
    mask: Mask
    parameter: str | None = None
    slot: str | None = None


@dataclass(frozen=True)
class Hyperparameter:
    """A float32 scalar that each step is given; without a default the caller must give it."""

    name: str
    default: float | None


@dataclass(frozen=True)
class ParameterStorage:
    """Where frozen parameters are: ``"embedded"``, or ``"external"`` in ``file`` beside the program.

    ``scope`` is the scope of IREE's parameter provider and ``sha256`` the digest of the whole file.
    """

    storage: str
    scope: str = ""
    file: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Work:
    """What a step does: dispatches, bytes that they load and store, operations on floating-point numbers."""

    dispatches: int
    bytes: int
    flops: int


@dataclass(frozen=True)
class Shards:
    """How a step is divided among cores: ``gradients`` runs once a shard, then ``update`` adds up.

    A shard is given its part of the batch and leaves partial sums, which no other shard needs.
    """

    count: int
    divided: tuple[bool, ...]
    """For each input, then each target: whether dimension 0 is cut into ``count`` equal parts."""
    whole: tuple[str, ...]
    """Inputs and targets that every shard is given whole besides."""
    state: tuple[str, ...]
    """The state that ``gradients`` reads, in the order of the program's state."""
    partials: tuple[TensorSpec, ...]
    """The sums that each shard leaves for ``update``."""


@dataclass(frozen=True)
class Division:
    """How a tensor is divided among ranks: ``axis`` is ``blocks`` equal blocks, one behind the other.

    A rank has one of as many equal parts of each block as there are ranks, one behind the other.
    """

    axis: int
    blocks: int


@dataclass(frozen=True)
class Ranks:
    """How a program is divided among cores: each computes part of every layer's channels, side by side.

    They exchange what they lack inside the program's functions, through memory that they share.
    """

    count: int
    state: tuple[Division | None, ...]
    """For each state, in order: how it is divided, None if every rank has all of it."""
    exchange: int
    """The bytes that they exchange through."""


@dataclass(frozen=True)
class Metadata:
    """A compiled program's description of itself."""

    format: int
    pock: str
    versions: Mapping[str, str]
    model: str
    target: str
    device: str
    inputs: tuple[TensorSpec, ...]
    targets: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    hyperparameters: tuple[Hyperparameter, ...]
    state: tuple[StateSpec, ...]
    tied: Mapping[str, str]
    scheme: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    parameters: ParameterStorage
    loss_reduction: str | None
    task: str | None
    memory: Mapping[str, Any]
    returned: tuple[int, ...]
    """Indices of the state that a step returns; the rest it leaves where it was."""
    unaligned_inputs: bool = False
    """Whether inputs and targets may lie wherever their elements may, not only at multiples of 64 bytes."""
    work: Work | None = None
    shards: Shards | None = None
    """None for a program whose steps are not divided by the batch."""
    ranks: Ranks | None = None
    """None for a program whose functions are one call."""

    @property
    def batch(self) -> int | None:
        """The leading dimension that all inputs and targets share, None when they share none."""
        sizes = {spec.shape[:1] for spec in (*self.inputs, *self.targets)}
        only = sizes.pop() if len(sizes) == 1 else ()
        return only[0] if only else None

    @staticmethod
    def from_json(text: str) -> "Metadata":
        """Parse and check; raises ``ArtifactError`` that says which key is wrong."""
        try:
            return _metadata(json.loads(text))
        except json.JSONDecodeError as error:
            raise ArtifactError(f"the program's metadata is not JSON: {error}") from None


T = TypeVar("T")


def _metadata(data: Any) -> Metadata:
    fields = _Fields(data, "metadata")
    version = fields.integer("format")
    if version > FORMAT:
        raise ArtifactError(
            f"the program has metadata format {version}, this runtime reads up to {FORMAT}: update pock"
        )
    metadata = Metadata(
        format=version,
        pock=fields.text("pock"),
        versions=fields.texts("versions"),
        model=fields.text("model"),
        target=fields.text("target"),
        device=fields.text("device"),
        inputs=fields.each("inputs", _tensor),
        targets=fields.each("targets", _tensor),
        outputs=fields.each("outputs", _tensor),
        hyperparameters=fields.each("hyperparameters", _hyperparameter),
        state=fields.each("state", _state),
        tied=fields.texts("tied"),
        scheme=fields.mapping("scheme"),
        optimizer=fields.mapping("optimizer"),
        parameters=_storage(_Fields(fields.mapping("parameters"), "parameters")),
        loss_reduction=fields.optional_text("loss_reduction"),
        task=fields.optional_text("task"),
        memory=fields.mapping("memory"),
        returned=_returned(fields),
        unaligned_inputs=fields.flag("unaligned_inputs"),
        work=None
        if fields.data.get("work") is None
        else _work(_Fields(fields.mapping("work"), "metadata.work")),
        shards=None
        if fields.data.get("shards") is None
        else _shards(_Fields(fields.mapping("shards"), "metadata.shards")),
        ranks=None
        if fields.data.get("ranks") is None
        else _ranks(_Fields(fields.mapping("ranks"), "metadata.ranks")),
    )
    _check_names(metadata)
    if metadata.shards is not None:
        _check_shards(metadata, metadata.shards)
    if metadata.ranks is not None:
        _check_ranks(metadata, metadata.ranks)
    return metadata


def _returned(fields: "_Fields") -> tuple[int, ...]:
    """All of the state, unless the field says which."""
    state = [spec.name for spec in fields.each("state", _state)]
    if fields.data.get("returned") is None:
        return tuple(range(len(state)))
    returned = fields.names("returned")
    if [name for name in state if name in returned] != list(returned):
        raise fields.wrong("returned", "names of the program's state in its order")
    return tuple(state.index(name) for name in returned)


def _check_names(metadata: Metadata) -> None:
    _unique("an input or target", [t.name for t in (*metadata.inputs, *metadata.targets)])
    _unique("a hyperparameter", [h.name for h in metadata.hyperparameters])
    _unique("a state", [*(s.name for s in metadata.state), *metadata.tied])
    model = {s.name for s in metadata.state if s.kind in MODEL_KINDS}
    for alias, name in metadata.tied.items():
        if name not in model:
            raise ArtifactError(f"metadata ties '{alias}' to '{name}', which is no parameter or buffer")
    for state in metadata.state:
        if state.kind == "optimizer" and state.parameter not in model:
            raise ArtifactError(
                f"metadata has optimizer state '{state.name}' of the unknown '{state.parameter}'"
            )


def _check_shards(metadata: Metadata, shards: Shards) -> None:
    pairs = (*metadata.inputs, *metadata.targets)
    if len(shards.divided) != len(pairs):
        raise ArtifactError(
            f"metadata.shards.divided must say it of {len(pairs)} inputs and targets, "
            f"got {len(shards.divided)} values"
        )
    if not any(shards.divided):
        raise ArtifactError("metadata.shards.divided must divide an input or target, got none")
    divided = [spec for spec, cut in zip(pairs, shards.divided, strict=True) if cut]
    for spec in (*divided, *metadata.outputs):
        if not spec.shape or spec.shape[0] == 0 or spec.shape[0] % shards.count != 0:
            raise ArtifactError(
                f"metadata.shards cuts '{spec.name}', which is {spec}, into {shards.count} parts: "
                f"dimension 0 must be a multiple"
            )
    _unique("a whole input of shards", shards.whole)
    for name in shards.whole:
        if all(name != spec.name for spec in pairs):
            raise ArtifactError(f"metadata.shards.whole names the unknown input or target '{name}'")
    read = set(shards.state)
    if [s.name for s in metadata.state if s.name in read] != list(shards.state):
        raise ArtifactError("metadata.shards.state must be names of the program's state in its order")


def _check_ranks(metadata: Metadata, ranks: Ranks) -> None:
    if metadata.shards is not None:
        raise ArtifactError("metadata has both shards and ranks, a program has one of them or none")
    if len(ranks.state) != len(metadata.state):
        raise ArtifactError(
            f"metadata.ranks.state must say it of {len(metadata.state)} states, got {len(ranks.state)} values"
        )
    for spec, division in zip(metadata.state, ranks.state, strict=True):
        if division is None:
            continue
        if division.axis >= len(spec.shape):
            raise ArtifactError(
                f"metadata.ranks divides '{spec.name}', which is {spec}, along axis {division.axis}, "
                f"which it has not"
            )
        size, parts = spec.shape[division.axis], division.blocks * ranks.count
        if size == 0 or size % parts != 0:
            raise ArtifactError(
                f"metadata.ranks cuts '{spec.name}', which is {spec}, into {parts} parts: "
                f"axis {division.axis} must be a multiple"
            )


def _unique(what: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ArtifactError(f"metadata names {what} '{name}' twice")


def _tensor(fields: "_Fields") -> TensorSpec:
    return TensorSpec(
        fields.text("name"), fields.integers("shape"), fields.dtype("dtype"), stored=_stored(fields)
    )


def _stored(fields: "_Fields") -> np.dtype[Any] | None:
    if fields.data.get("stored") is None:
        return None
    stored, dtype = fields.dtype("stored"), fields.dtype("dtype")
    if dtype.kind not in "biu" or stored.kind != "i" or stored.itemsize <= dtype.itemsize:
        raise fields.wrong("stored", f"a signed integer wider than {dtype}")
    return stored


def _hyperparameter(fields: "_Fields") -> Hyperparameter:
    return Hyperparameter(fields.text("name"), fields.optional_number("default"))


def _state(fields: "_Fields") -> StateSpec:
    kind = fields.text("kind")
    if kind not in KINDS:
        raise fields.wrong("kind", f"one of {', '.join(KINDS)}")
    return StateSpec(
        fields.text("name"),
        fields.integers("shape"),
        fields.dtype("dtype"),
        kind,
        _mask(_Fields(fields.mapping("mask"), f"{fields.where}.mask")),
        fields.optional_text("parameter"),
        fields.optional_text("slot"),
        stored=_stored(fields),
    )


def _mask(fields: "_Fields") -> Mask:
    update = fields.text("update")
    if update == "full":
        return Mask()
    if update not in ("range", "list"):
        raise fields.wrong("update", "full, range or list")
    return Mask(update, fields.text("dimension"), fields.integer("axis"), fields.integers("indices"))


def _work(fields: "_Fields") -> Work:
    return Work(fields.integer("dispatches"), fields.integer("bytes"), fields.integer("flops"))


def _shards(fields: "_Fields") -> Shards:
    count = fields.integer("count")
    if not 2 <= count <= _MOST_SHARDS:
        raise fields.wrong("count", f"an integer from 2 to {_MOST_SHARDS}")
    partials = fields.each("partials", lambda partial: (partial.integers("shape"), partial.dtype("dtype")))
    return Shards(
        count,
        fields.flags("divided"),
        fields.names("whole"),
        fields.names("state"),
        tuple(TensorSpec(f"partials[{i}]", *partial) for i, partial in enumerate(partials)),
    )


def _ranks(fields: "_Fields") -> Ranks:
    count = fields.integer("count")
    if not 2 <= count <= _MOST_RANKS:
        raise fields.wrong("count", f"an integer from 2 to {_MOST_RANKS}")
    return Ranks(count, fields.each_or_none("state", _division), fields.integer("exchange"))


def _division(fields: "_Fields") -> Division:
    blocks = fields.integer("blocks")
    if blocks == 0:
        raise fields.wrong("blocks", "a positive integer")
    return Division(fields.integer("axis"), blocks)


def _storage(fields: "_Fields") -> ParameterStorage:
    storage = fields.text("storage")
    if storage == "embedded":
        return ParameterStorage(storage)
    if storage != "external":
        raise fields.wrong("storage", "embedded or external")
    file = fields.text("file")
    # The archive is found beside the program and nowhere else, whoever made the program.
    if not file or PurePosixPath(file).name != file or "\\" in file:
        raise fields.wrong("file", "the name of a file beside the program")
    return ParameterStorage(storage, fields.text("scope"), file, fields.text("sha256"))


class _Fields:
    """A JSON object whose fields are read with their types; ``where`` names it in errors."""

    def __init__(self, data: Any, where: str) -> None:
        self.where = where
        if not isinstance(data, Mapping):
            raise ArtifactError(f"{where} must be a JSON object, got {_shown(data)}")
        self.data = data

    def wrong(self, key: str, wanted: str) -> ArtifactError:
        """The error for a field that is not ``wanted``."""
        got = _shown(self.data[key]) if key in self.data else "nothing"
        return ArtifactError(f"{self.where}.{key} must be {wanted}, got {got}")

    def text(self, key: str) -> str:
        value = self.data.get(key)
        if not isinstance(value, str):
            raise self.wrong(key, "a string")
        return value

    def optional_text(self, key: str) -> str | None:
        return None if self.data.get(key) is None else self.text(key)

    def flag(self, key: str) -> bool:
        """False if it is left out."""
        value = self.data.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def flags(self, key: str) -> tuple[bool, ...]:
        value = self.data.get(key)
        if not isinstance(value, list) or not all(type(item) is bool for item in value):
            raise self.wrong(key, "a list of true and false")
        return tuple(value)

    def names(self, key: str) -> tuple[str, ...]:
        value = self.data.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, "a list of strings")
        return tuple(value)

    def integer(self, key: str) -> int:
        value = self.data.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.wrong(key, "an integer that is not negative")
        return value

    def integers(self, key: str) -> tuple[int, ...]:
        value = self.data.get(key)
        if not isinstance(value, list) or not all(type(d) is int and d >= 0 for d in value):
            raise self.wrong(key, "a list of integers that are not negative")
        return tuple(value)

    def optional_number(self, key: str) -> float | None:
        value = self.data.get(key)
        if value is not None and type(value) not in (int, float):
            raise self.wrong(key, "a number or null")
        return None if value is None else float(value)

    def dtype(self, key: str) -> np.dtype[Any]:
        name = self.text(key)
        if name not in _DTYPES:
            raise self.wrong(key, f"one of {', '.join(_DTYPES)}")
        return _DTYPES[name]

    def mapping(self, key: str) -> Mapping[str, Any]:
        value = self.data.get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return MappingProxyType(value)

    def texts(self, key: str) -> Mapping[str, str]:
        value = self.mapping(key)
        if not all(isinstance(item, str) for item in value.values()):
            raise self.wrong(key, "an object of strings")
        return value

    def each(self, key: str, read: Callable[["_Fields"], T]) -> tuple[T, ...]:
        items = enumerate(self._list(key))
        return tuple(read(_Fields(item, f"{self.where}.{key}[{i}]")) for i, item in items)

    def each_or_none(self, key: str, read: Callable[["_Fields"], T]) -> tuple[T | None, ...]:
        items = enumerate(self._list(key))
        return tuple(
            None if item is None else read(_Fields(item, f"{self.where}.{key}[{i}]")) for i, item in items
        )

    def _list(self, key: str) -> list[Any]:
        value = self.data.get(key)
        if not isinstance(value, list):
            raise self.wrong(key, "a list")
        return value


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
