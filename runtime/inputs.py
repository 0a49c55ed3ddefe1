# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checking what a caller passes against what a program takes.

An array fits when its shape is the program's and its dtype casts to the program's without loss *within
its kind*: integers to wider integers, floats to wider floats. Nothing else is cast: float64, which NumPy
makes by default, is refused where the program wants float32, and so are uint8 pixels, which someone has to
scale. Python numbers and lists have no dtype of their own and take the program's.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .device import Array
from .errors import InputError
from .metadata import Hyperparameter, TensorSpec


def as_array(value: Any, spec: TensorSpec) -> Array:
    """``value`` as an array of the spec's shape, cast only if it is a Python number or list.

    Raises ``InputError``.
    """
    array = value if type(value) is np.ndarray else _converted(value, spec)
    check(array, spec)
    return array


def check(array: Array, spec: TensorSpec) -> None:
    """Raise ``InputError`` if ``array`` does not fit."""
    if array.shape != spec.shape:
        raise InputError(f"'{spec.name}' has shape {list(array.shape)}, {spec} is wanted{_hint(array, spec)}")
    if array.dtype != spec.dtype and not fits(array.dtype, spec.dtype):
        raise InputError(
            f"'{spec.name}' is {array.dtype}, {spec} is wanted: convert it with .astype('{spec.dtype}')"
        )


def fits(given: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    """Whether every value of ``given`` is one of ``wanted``, of the same kind."""
    return _kind(given) == _kind(wanted) and np.can_cast(given, wanted, "safe")


def _kind(dtype: np.dtype[Any]) -> str:
    # ml_dtypes' floats are of kind V.
    return {"u": "i", "V": "f"}.get(dtype.kind, dtype.kind)


def _converted(value: Any, spec: TensorSpec) -> Array:
    try:
        array = np.asarray(value)
        if not hasattr(value, "dtype") and np.can_cast(array.dtype, spec.dtype, "same_kind"):
            array = np.asarray(value, spec.dtype)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"'{spec.name}' is no array: {first} ({spec} is wanted)") from None
    return array


def _hint(array: Array, spec: TensorSpec) -> str:
    if array.ndim == len(spec.shape) > 0 and array.shape[1:] == spec.shape[1:]:
        return f": the batch size {spec.shape[0]} is compiled in, so drop or pad a last partial batch"
    return ""


def bind(specs: Sequence[TensorSpec], arrays: Sequence[Any], named: dict[str, Any]) -> list[Array]:
    """One array a spec, from ``arrays`` in order and then by name; takes those out of ``named``.

    Whether they fit is not checked. Raises ``InputError``.
    """
    values = arrays if len(arrays) == len(specs) and not named else _in_order(specs, arrays, named)
    pairs = zip(values, specs, strict=True)
    return [value if type(value) is np.ndarray else _converted(value, spec) for value, spec in pairs]


def _in_order(specs: Sequence[TensorSpec], arrays: Sequence[Any], named: dict[str, Any]) -> list[Any]:
    if len(arrays) > len(specs):
        raise InputError(f"{len(arrays)} arrays given, {_listed(specs)} wanted")
    for spec in specs[: len(arrays)]:
        if spec.name in named:
            raise InputError(f"'{spec.name}' is given twice, by position and by name")
    for spec in specs[len(arrays) :]:
        if spec.name not in named:
            raise InputError(f"'{spec.name}' is missing: {_listed(specs)} wanted")
    return [*arrays, *(named.pop(spec.name) for spec in specs[len(arrays) :])]


def _listed(specs: Sequence[TensorSpec]) -> str:
    listed = ", ".join(f"{spec.name}: {spec}" for spec in specs)
    return f"{len(specs)} ({listed})"


def hyperparameters(known: Sequence[Hyperparameter], given: Mapping[str, Any]) -> list[float]:
    """The value of every hyperparameter; raises ``InputError`` for one unknown, missing or not finite."""
    for name in given:
        if all(name != h.name for h in known):
            names = ", ".join(h.name for h in known) or "none"
            raise InputError(f"no input or hyperparameter '{name}' (hyperparameters: {names})")
    return [_number(h, given.get(h.name, h.default)) for h in known]


def _number(hyperparameter: Hyperparameter, value: Any) -> float:
    if value is None:
        raise InputError(f"hyperparameter '{hyperparameter.name}' has no default: give it a value")
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"hyperparameter '{hyperparameter.name}' must be a finite number, got {value!r}")
    return number
