# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Data sets: every source, every mistake, and the order of the samples."""

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pock.runtime import DataError, Metadata
from pock.runtime.data import ArrayData, IterableData, open_data, order
from tests.python.runtime.runtime_programs import softmax_metadata, spec

METADATA = Metadata.from_json(json.dumps(softmax_metadata()))


def samples(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples that can be told apart: the first feature is the sample's number."""
    x = np.zeros((count, 6), np.float32)
    x[:, 0] = np.arange(count)
    return x, np.arange(count) % 3


def numbers(data: Any, epoch: int = 0, skip: int = 0) -> list[list[int]]:
    return [batch[0][:, 0].astype(int).tolist() for batch, _ in data.training(epoch, skip)]


def array_data(count: int, **options: Any) -> ArrayData:
    return ArrayData.of(samples(count), METADATA, **{"shuffle": True, "seed": 0, **options})


# ---- sources ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("x", "y"), ("image", "label")])
def test_an_archive_has_the_programs_names_or_x_and_y(tmp_path: Path, names: Sequence[str]) -> None:
    metadata = Metadata.from_json(
        json.dumps(softmax_metadata(inputs=[spec("image", (8, 6))], targets=[spec("label", (8,), "int64")]))
    )
    arrays: dict[str, Any] = dict(zip(names, samples(20), strict=True))
    np.savez(tmp_path / "d.npz", **arrays)
    data = open_data(str(tmp_path / "d.npz"), metadata, shuffle=False)
    assert (data.samples, data.steps) == (20, 2)
    assert numbers(data) == [list(range(8)), list(range(8, 16)), list(range(16, 20))]


def test_files_are_taken_in_order(tmp_path: Path) -> None:
    for name, array in zip("ab", samples(16), strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    data = open_data(f"{tmp_path}/a.npy,{tmp_path}/b.npy", METADATA, shuffle=False)
    assert numbers(data) == [list(range(8)), list(range(8, 16))]


def test_labels_may_be_of_a_narrower_type(tmp_path: Path) -> None:
    x, y = samples(8)
    np.savez(tmp_path / "d.npz", x=x, y=y.astype(np.uint8))
    assert open_data(str(tmp_path / "d.npz"), METADATA).samples == 8


MODULE = """
import numpy as np
from neighbour import SIZE

def batches(epoch):
    for start in range(0, 20, SIZE):
        x = np.zeros((min(SIZE, 20 - start), 6), np.float32)
        x[:, 0] = np.arange(start, start + len(x)) + 100 * epoch
        yield x, np.arange(start, start + len(x)) % 3

def always():
    return [(np.ones((8, 6), np.float32), [0] * 8)]

def broken():
    yield np.ones((8, 6), np.float32), [0] * 8
    raise KeyError("no more")

def short():
    return [(np.ones((8, 6), np.float32),)]

def long():
    return [(np.ones((9, 6), np.float32), [0] * 9)]

def uneven():
    return [(np.ones((8, 6), np.float32), [0] * 7)]

def wrong():
    return [(np.ones((8, 6)), [0] * 8)]
"""


@pytest.fixture
def module(tmp_path: Path) -> str:
    (tmp_path / "neighbour.py").write_text("SIZE = 8\n")
    (tmp_path / "make.py").write_text(MODULE)
    return str(tmp_path / "make.py")


def test_a_function_makes_the_batches_of_each_epoch(module: str) -> None:
    data = open_data(f"{module}:batches", METADATA)
    assert isinstance(data, IterableData)
    assert (data.samples, data.steps) == (None, None)
    assert numbers(data, epoch=2) == [[*range(200, 208)], [*range(208, 216)], [*range(216, 220)]]
    assert numbers(data, epoch=2, skip=1) == [[*range(208, 216)], [*range(216, 220)]]
    assert [real for _, real in data.evaluation()] == [8, 8, 4]
    assert len(numbers(open_data(f"{module}:always", METADATA))) == 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("broken", "make.py:broken raised KeyError: 'no more'"),
        ("short", "batch 0 of .*make.py:short must be a tuple of 2 arrays .x, y."),
        ("long", "the arrays of batch 0 .* must all have 1 to 8 samples, the compiled size"),
        ("uneven", "the arrays of batch 0 .* must all have 1 to 8 samples"),
        ("wrong", "batch 0 of .*make.py:wrong: 'x' is float64, float32.8, 6. is wanted"),
    ],
)
def test_a_functions_mistakes_are_named(module: str, function: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        numbers(open_data(f"{module}:{function}", METADATA))


def test_modules_and_functions_must_be_there(module: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no function 'none'"):
        open_data(f"{module}:none", METADATA)
    with pytest.raises(DataError, match=r"no Python file .*gone\.py"):
        open_data(f"{tmp_path}/gone.py:f", METADATA)
    (tmp_path / "bad.py").write_text("import nothing_of_that_name")
    with pytest.raises(DataError, match=r"importing .*bad\.py raised ModuleNotFoundError: No module"):
        open_data(f"{tmp_path}/bad.py:f", METADATA)


class Exploding:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("suffix", ["npz", "npy"])
def test_nothing_is_unpickled(tmp_path: Path, suffix: str) -> None:
    x, _ = samples(8)
    exploding = Exploding(tmp_path / "was-unpickled")
    objects = np.array([exploding] * 8, object)
    if suffix == "npz":
        np.savez(tmp_path / "d.npz", x=x, y=objects)
        source = f"{tmp_path}/d.npz"
    else:
        np.save(tmp_path / "x.npy", x)
        np.save(tmp_path / "y.npy", objects)
        source = f"{tmp_path}/x.npy,{tmp_path}/y.npy"
    with pytest.raises(DataError, match=r"(?i)object arrays|python object"):
        open_data(source, METADATA)
    (tmp_path / "p.npz").write_bytes(pickle.dumps(exploding))
    with pytest.raises(DataError, match=r"cannot read .*p\.npz"):
        open_data(str(tmp_path / "p.npz"), METADATA)
    assert not exploding.mark.exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros(3)}, "d.npz holds 'a', and 'x', 'y' are wanted"),
        ({"x": np.zeros((8, 5), np.float32)}, r"'x' has shape \[8, 5\], \[samples, 6\] is wanted"),
        ({"x": np.zeros((8, 6))}, "'x' is float64, float32 is wanted: convert it when you save it"),
        ({"x": np.zeros((8, 6), np.uint8)}, "'x' is uint8, float32 is wanted"),
        ({"y": np.zeros(8, np.float32)}, "'y' is float32, int64 is wanted"),
        ({"y": np.zeros(7, np.int64)}, "different numbers of samples: 8 in 'x', 7 in 'y'"),
        ({"y": np.int64(7)}, r"'y' has shape \[\], \[samples\] is wanted"),
        ({"x": np.zeros((0, 6), np.float32), "y": np.zeros(0, np.int64)}, "no samples"),
    ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    x, y = samples(8)
    np.savez(tmp_path / "d.npz", **(arrays if "a" in arrays else {"x": x, "y": y, **arrays}))
    with pytest.raises(DataError, match=message):
        open_data(str(tmp_path / "d.npz"), METADATA)


def test_files_that_are_not_there_or_damaged_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^no file .*none\.npz$"):
        open_data(str(tmp_path / "none.npz"), METADATA)
    with pytest.raises(DataError, match=r"'digits' is no data set: give file\.npz, x\.npy,y\.npy or"):
        open_data("digits", METADATA)
    np.save(tmp_path / "x.npy", samples(8)[0])
    with pytest.raises(DataError, match=r"1 \.npy files given, 2 wanted \(x, y\)"):
        open_data(str(tmp_path / "x.npy"), METADATA)
    np.savez_compressed(tmp_path / "d.npz", x=samples(800)[0], y=samples(800)[1])
    raw = bytearray((tmp_path / "d.npz").read_bytes())
    raw[len(raw) // 3] ^= 0xFF
    (tmp_path / "d.npz").write_bytes(raw)
    with pytest.raises(DataError, match=r"cannot read 'x' of .*d\.npz: [^\n]*$"):
        open_data(str(tmp_path / "d.npz"), METADATA)
    (tmp_path / "d.npz").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(DataError, match=r"cannot read .*d\.npz: [^\n]*$"):
        open_data(str(tmp_path / "d.npz"), METADATA)


def test_a_program_without_a_batch_dimension_is_refused(tmp_path: Path) -> None:
    metadata = Metadata.from_json(json.dumps(softmax_metadata(targets=[spec("y", (), "int64")])))
    np.savez(tmp_path / "d.npz", x=samples(8)[0], y=samples(8)[1])
    with pytest.raises(DataError, match="share no batch dimension: x: float32"):
        open_data(str(tmp_path / "d.npz"), metadata)


# ---- order ------------------------------------------------------------------------------------------


def test_the_order_is_written_in_stone() -> None:
    """Resuming on another machine, with another NumPy, sees the same samples."""
    assert order(10, seed=0, epoch=0).tolist() == [3, 2, 1, 8, 6, 0, 7, 4, 5, 9]
    assert order(10, seed=3, epoch=7).tolist() == [9, 5, 3, 2, 1, 0, 6, 8, 7, 4]


@given(count=st.integers(1, 60), seed=st.integers(0, 5), epoch=st.integers(0, 5), skip=st.integers(0, 8))
def test_an_epoch_has_every_sample_once_and_can_be_entered_anywhere(
    count: int, seed: int, epoch: int, skip: int
) -> None:
    data = array_data(count, seed=seed)
    batches = numbers(data, epoch)
    assert sorted(n for batch in batches for n in batch) == list(range(count))
    assert [len(batch) for batch in batches[:-1]] == [8] * (len(batches) - 1)
    skip = min(skip, data.steps)
    assert numbers(data, epoch, skip) == batches[skip:]


def test_epochs_and_seeds_differ() -> None:
    orders = {str(numbers(array_data(40, seed=seed), epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_without_shuffling_the_order_is_the_files() -> None:
    assert numbers(array_data(16, shuffle=False), epoch=3) == [list(range(8)), list(range(8, 16))]


def test_targets_stay_with_their_inputs() -> None:
    for (x, y), _ in array_data(30).training(1, 0):
        assert np.array_equal(x[:, 0].astype(int) % 3, y)


@given(count=st.integers(4, 50), fraction=st.floats(0.1, 0.9), seed=st.integers(0, 3))
def test_a_split_parts_the_samples(count: int, fraction: float, seed: int) -> None:
    data = array_data(count, seed=seed)
    try:
        train, validation = data.split(fraction)
    except DataError:
        assert round(fraction * count) in (0, count)
        return
    parts = [train.indices.tolist(), validation.indices.tolist()]
    assert sorted(parts[0] + parts[1]) == list(range(count))
    assert len(parts[1]) == round(fraction * count)
    assert [p.indices.tolist() for p in data.split(fraction)] == parts


def test_a_split_that_leaves_nothing_is_an_error() -> None:
    with pytest.raises(DataError, match=r"a validation split of 0\.01 leaves 0 of 10 samples"):
        array_data(10).split(0.01)


def test_evaluation_fills_the_last_batch_up() -> None:
    batches = list(array_data(19).evaluation())
    assert [real for _, real in batches] == [8, 8, 3]
    x, y = batches[2][0]
    assert x[:, 0].tolist() == [16, 17, 18, 18, 18, 18, 18, 18]
    assert y.tolist() == [1, 2, 0, 0, 0, 0, 0, 0]
