# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What is accepted as an input, and what the error says otherwise."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pock.runtime import InputError
from pock.runtime.inputs import as_array, bind, fits, hyperparameters
from pock.runtime.metadata import Hyperparameter, TensorSpec


def tensor(shape: tuple[int, ...], dtype: Any, name: str = "x") -> TensorSpec:
    return TensorSpec(name, shape, np.dtype(dtype))


@pytest.mark.parametrize(
    ("given_", "wanted", "accepted"),
    [
        ("int32", "int64", True),
        ("uint8", "int64", True),
        ("int64", "int32", False),
        ("uint64", "int64", False),
        ("float16", "float32", True),
        (ml_dtypes.bfloat16, "float32", True),
        ("float32", ml_dtypes.bfloat16, False),
        ("float64", "float32", False),
        ("uint8", "float32", False),
        ("bool", "int64", False),
        ("int8", "bool", False),
        (">f4", "float32", True),
        ("complex64", "float32", False),
    ],
)
def test_casts_keep_every_value_and_the_kind(given_: Any, wanted: Any, accepted: bool) -> None:
    assert fits(np.dtype(given_), np.dtype(wanted)) is accepted


@pytest.mark.parametrize(
    ("value", "spec", "message"),
    [
        (
            np.zeros((5, 2), np.float32),
            tensor((8, 2), np.float32),
            "'x' has shape [5, 2], float32[8, 2] is wanted: the batch size 8 is compiled in, so drop or pad "
            "a last partial batch",
        ),
        (
            np.zeros((8, 3), np.float32),
            tensor((8, 2), np.float32),
            "'x' has shape [8, 3], float32[8, 2] is wanted",
        ),
        (
            np.zeros((8, 2)),
            tensor((8, 2), np.float32),
            "'x' is float64, float32[8, 2] is wanted: convert it with .astype('float32')",
        ),
        ([1.5, 2.0], tensor((2,), np.int64), "'x' is float64, int64[2] is wanted"),
        ([2**70], tensor((1,), np.int64), "'x' is object, int64[1] is wanted"),
        ([300], tensor((1,), np.uint8), "'x' is int64, uint8[1] is wanted"),
        ([2**40], tensor((1,), np.int32), "'x' is no array: Python integer 1099511627776 out of bounds"),
        ([[1], [2, 3]], tensor((2,), np.int64), "'x' is no array"),
        (None, tensor((), np.float32), "'x' is object, float32[] is wanted"),
    ],
)
def test_what_does_not_fit_is_named(value: Any, spec: TensorSpec, message: str) -> None:
    with pytest.raises(InputError) as caught:
        as_array(value, spec)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_python_values_take_the_dtype() -> None:
    assert as_array([0.1, 1], tensor((2,), np.float32)).dtype == np.float32
    assert as_array([1, 2], tensor((2,), np.int32)).dtype == np.int32
    assert as_array(3, tensor((), np.float32)).dtype == np.float32


@given(
    arrays.arrays(arrays.scalar_dtypes(), arrays.array_shapes(min_dims=0, max_dims=2, max_side=3)), st.data()
)
def test_any_array_is_accepted_as_it_is_or_refused(array: np.ndarray, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(["bool", "int32", "int64", "float32", "float64"]))
    shape = data.draw(st.sampled_from([array.shape, (2, 3)]))
    try:
        accepted = as_array(array, tensor(shape, dtype))
    except InputError:
        assert array.shape != shape or not fits(array.dtype, np.dtype(dtype))
    else:
        assert accepted is array
        cast = array.astype(dtype)
        assert np.array_equal(cast, array, equal_nan=array.dtype.kind == "f")


SPECS = (tensor((1,), np.float32, "a"), tensor((1,), np.int64, "b"))


def test_arrays_bind_by_position_and_name() -> None:
    named: dict[str, Any] = {"b": [2], "lr": 0.1}
    assert [float(a[0]) for a in bind(SPECS, ([1.0],), named)] == [1.0, 2.0]
    assert named == {"lr": 0.1}


@pytest.mark.parametrize(
    ("arrays_", "named", "message"),
    [
        (([1.0],), {}, "'b' is missing: 2 (a: float32[1], b: int64[1]) wanted"),
        (([1.0], [1], [1]), {}, "3 arrays given, 2 (a: float32[1], b: int64[1]) wanted"),
        (([1.0], [1]), {"a": [1.0]}, "'a' is given twice"),
    ],
)
def test_the_number_of_arrays_is_checked(arrays_: Any, named: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        bind(SPECS, arrays_, named)
    assert message in str(caught.value)


KNOWN = (Hyperparameter("lr", None), Hyperparameter("momentum", 0.9))


def test_hyperparameters_have_defaults() -> None:
    assert hyperparameters(KNOWN, {"lr": 1}) == [1.0, 0.9]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "hyperparameter 'lr' has no default"),
        ({"lr": 1, "momntum": 1}, "no input or hyperparameter 'momntum' (hyperparameters: lr, momentum)"),
        ({"lr": "fast"}, "hyperparameter 'lr' must be a finite number, got 'fast'"),
        ({"lr": float("nan")}, "hyperparameter 'lr' must be a finite number, got nan"),
    ],
)
def test_hyperparameters_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        hyperparameters(KNOWN, values)
    assert message in str(caught.value)
