# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The Trainer against the same program in NumPy, and everything around a step."""

import math
import time
import weakref
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from pock.runtime import DeviceError, InputError, PockRuntimeError, Trainer, TrainingDiverged
from pock.runtime.device import Device, aligned_empty
from tests.python.runtime.runtime_programs import (
    BATCH,
    CLASSES,
    FEATURES,
    SCALE,
    TRAINED,
    WEIGHT,
    compile_mlir,
    reflection,
    softmax_metadata,
    softmax_program,
    spec,
)

SEED = 17


def batch(number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    x = rng.normal(size=(BATCH, FEATURES)).astype(np.float32)
    return x, rng.integers(0, CLASSES, BATCH)


class Reference:
    """``softmax_program`` in NumPy, float64 but for what is integer."""

    def __init__(self, seed: int = SEED) -> None:
        self.weight, self.bias = WEIGHT.astype(np.float64), np.zeros(CLASSES)
        self.mean, self.momentum = np.zeros(FEATURES), np.zeros((CLASSES, TRAINED))
        self.count, self.seed = 0, seed

    def kept(self) -> np.ndarray:
        i, j = np.arange(BATCH)[:, None], np.arange(FEATURES)[None, :]
        key = (((self.seed + self.count) * 2654435761 + i * 40503) ^ (j * 13)).astype(np.uint64)
        return (key >> np.uint64(7)) & np.uint64(7) != 0

    def forward(self, x: np.ndarray) -> np.ndarray:
        return (x * SCALE) @ self.weight.T + self.bias

    def loss(self, logits: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(BATCH), y]))

    def step(
        self, x: np.ndarray, y: np.ndarray, lr: float, momentum: float = 0.5
    ) -> tuple[float, np.ndarray]:
        dropped = x * self.kept()
        logits = self.forward(dropped)
        grad = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        grad[np.arange(BATCH), y] -= 1
        grad /= BATCH
        self.momentum = self.momentum * momentum + grad.T @ (dropped * SCALE)[:, :TRAINED]
        self.weight[:, :TRAINED] -= lr * self.momentum
        self.bias -= lr * grad.sum(0)
        self.mean += 0.125 * (x.mean(0) - self.mean)
        self.count += 1
        return self.loss(logits, y), logits


def test_steps_are_those_of_numpy(softmax: Path) -> None:
    trainer, reference = Trainer(softmax), Reference()
    for number in range(5):
        x, y = batch(number)
        loss, logits = reference.step(x, y, 0.3, 0.9)
        assert trainer.step(x, y, lr=0.3, momentum=0.9) == pytest.approx(loss, rel=1e-5)
        assert np.allclose(trainer.outputs[0], logits, rtol=1e-5, atol=1e-6)
    state = trainer.state_dict(optimizer=True)
    assert np.allclose(state["fc.weight"], reference.weight, rtol=1e-4, atol=1e-6)
    assert np.allclose(state["fc.bias"], reference.bias, rtol=1e-4, atol=1e-6)
    assert np.allclose(state["norm.mean"], reference.mean, rtol=1e-4, atol=1e-6)
    assert np.allclose(state["fc.weight.momentum"], reference.momentum, rtol=1e-4, atol=1e-6)
    assert np.array_equal(state["fc.weight"][:, TRAINED:], WEIGHT[:, TRAINED:])
    assert (int(state["step"]), int(state["seed"]), trainer.steps) == (5, SEED, 5)


@pytest.mark.parametrize("apart", [False, True])
def test_prediction_and_evaluation_train_nothing(tmp_path: Path, apart: bool) -> None:
    trainer, reference = Trainer(softmax_program(tmp_path / "model.vmfb", apart=apart)), Reference()
    assert trainer.can_evaluate
    x, y = batch()
    logits = reference.forward(x)
    before = trainer.state_dict(optimizer=True)
    assert np.allclose(trainer.predict(x), logits, rtol=1e-5, atol=1e-6)
    loss, outputs = trainer.evaluate(x, y)
    assert loss == pytest.approx(reference.loss(logits, y), rel=1e-5)
    assert np.array_equal(outputs, trainer.predict(x=x))
    # The targets may lie anywhere.
    shifted = np.frombuffer(b"x" + y.tobytes(), np.uint8)[1:].view(y.dtype)
    assert trainer.evaluate(np.asfortranarray(x), y=shifted) == (loss, pytest.approx(outputs))
    for name, array in trainer.state_dict(optimizer=True).items():
        assert np.array_equal(array, before[name])


def test_state_is_updated_where_it_is(softmax: Path) -> None:
    trainer = Trainer(softmax)

    def places() -> list[tuple[int, int]]:
        return [trainer._range(value) for value in trainer._state.refs[0]]

    x, y = batch()
    trainer.step(x, y)
    before = places()
    for _ in range(3):
        trainer.step(x, y)
    assert places() == before


def test_inputs_and_hyperparameters_go_by_name_too(softmax: Path) -> None:
    first, second = Trainer(softmax), Trainer(softmax)
    x, y = batch()
    assert first.step(x, y, lr=0.1, momentum=0.2) == second.step(momentum=0.2, y=y, lr=0.1, x=x)
    assert np.array_equal(first.state_dict()["fc.weight"], second.state_dict()["fc.weight"])


def test_hyperparameters_count_in_each_step(softmax: Path) -> None:
    trainer, reference = Trainer(softmax), Reference()
    x, y = batch()
    for lr, momentum in ((0.1, 0.5), (0.4, 0.5), (0.4, 0.0), (0.1, 0.9)):
        reference.step(x, y, lr, momentum)
        trainer.step(x, y, lr=lr, momentum=momentum)
    assert np.allclose(trainer.state_dict()["fc.weight"], reference.weight, rtol=1e-4, atol=1e-6)


def test_the_learning_rate_has_a_default(softmax: Path) -> None:
    first, second = Trainer(softmax), Trainer(softmax)
    x, y = batch()
    first.step(x, y)
    second.step(x, y, lr=0.01, momentum=0.5)
    assert np.array_equal(first.state_dict()["fc.weight"], second.state_dict()["fc.weight"])


@pytest.mark.parametrize("number", [5, 9])
def test_another_batch_size_is_an_error_that_says_so(softmax: Path, number: int) -> None:
    x, y = np.zeros((number, FEATURES), np.float32), np.zeros(number, np.int64)
    with pytest.raises(InputError, match="the batch size 8 is compiled in"):
        Trainer(softmax).step(x, y)


def test_a_refused_step_changes_nothing(softmax: Path) -> None:
    trainer = Trainer(softmax)
    x, y = batch()
    calls: tuple[tuple[Any, dict[str, Any]], ...] = (
        ((x.astype(np.float64), y), {}),
        ((x, y.astype(np.float32)), {}),
        ((x,), {}),
        ((x, y), {"lr": math.nan}),
        ((x, y), {"decay": 0.1}),
    )
    for arrays, named in calls:
        with pytest.raises(InputError):
            trainer.step(*arrays, **named)
    assert trainer.steps == 0
    assert trainer.step(x, y) == Trainer(softmax).step(x, y)


def test_predict_takes_no_hyperparameters(softmax: Path) -> None:
    with pytest.raises(InputError, match="no input or hyperparameter 'lr'"):
        Trainer(softmax).predict(batch()[0], lr=0.1)


def _layouts(x: np.ndarray) -> dict[str, Any]:
    misaligned = np.empty(x.nbytes + 65, np.uint8)[1:][: x.nbytes].view(np.float32).reshape(x.shape)
    aligned = aligned_empty(x.shape, x.dtype)
    frozen = aligned_empty(x.shape, x.dtype)
    misaligned[...] = aligned[...] = frozen[...] = x
    frozen.flags.writeable = False
    return {
        "aligned": aligned,
        "misaligned": misaligned,
        "read-only": frozen,
        "column-major": np.asfortranarray(x),
        "strided": np.repeat(x, 2, axis=1)[:, ::2],
        "reversed": x[::-1].copy()[::-1],
        "big-endian": x.astype(">f4"),
        "list": x.tolist(),
        "subclass": x.view(np.memmap),
    }


def test_every_layout_is_read_alike(softmax: Path) -> None:
    trainer = Trainer(softmax)
    x, y = batch()
    wanted = trainer.predict(x)
    for name, layout in _layouts(x).items():
        assert np.array_equal(trainer.predict(layout), wanted), name
        assert trainer.evaluate(layout, y.astype(np.uint8))[0] == trainer.evaluate(x, y)[0], name


def test_aligned_inputs_are_not_copied(softmax: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(softmax)
    x, _ = batch()
    shared = []
    imported = Device.imported

    def record(device: Device, array: np.ndarray) -> Any:
        shared.append(array)
        return imported(device, array)

    monkeypatch.setattr(Device, "imported", record)
    aligned = aligned_empty(x.shape, x.dtype)
    aligned[...] = x
    for _ in range(3):
        trainer.predict(aligned)
    assert [array is aligned for array in shared] == [True] * 3
    del shared[:]
    for _ in range(3):
        trainer.predict(_layouts(x)["misaligned"])
    # Its copy is in memory that was shared once, for good.
    assert len(shared) == 1


def test_changing_an_array_after_a_call_changes_nothing(softmax: Path) -> None:
    trainer = Trainer(softmax)
    x, y = batch()
    aligned = _layouts(x)["aligned"]
    trainer.step(aligned, y)
    aligned[...] = np.nan
    other = Trainer(softmax)
    other.step(x, y)
    assert np.array_equal(trainer.outputs[0], other.outputs[0])
    assert np.array_equal(trainer.state_dict()["fc.weight"], other.state_dict()["fc.weight"])


def test_an_array_may_be_given_again_changed(softmax: Path) -> None:
    """What is read is what the array holds, wherever it was read before."""
    again, fresh = Trainer(softmax), Trainer(softmax)
    x, y = batch()
    for name in ("aligned", "misaligned"):
        array = _layouts(x)[name]
        for factor in (1.0, 2.0):
            array[...] = x * np.float32(factor)
            assert again.step(array, y, lr=0.1) == fresh.step(x * np.float32(factor), y, lr=0.1)


def test_another_array_may_lie_where_one_lay(softmax: Path) -> None:
    """With its elements in another order, or unlike the program's: what is remembered is only the place."""
    again, fresh = Trainer(softmax), Trainer(softmax)
    x, y = batch()
    memory = aligned_empty((FEATURES * BATCH,), x.dtype)
    for number in range(3):
        for flat in (x, x[::-1], -x):
            memory[:] = np.ravel(flat)
            there = memory.reshape(x.shape) if number != 1 else memory.reshape(x.T.shape, order="F").T
            assert there.ctypes.data == memory.ctypes.data
            assert again.step(there, y, lr=0.1) == fresh.step(there.copy(), y, lr=0.1)
        turned = memory.reshape(FEATURES, BATCH).T
        assert again.step(turned, y, lr=0.1) == fresh.step(turned.copy(), y, lr=0.1)
        with pytest.raises(InputError, match="'x' is int32"):
            again.step(memory.view(np.int32).reshape(x.shape), y, lr=0.1)
        with pytest.raises(InputError, match="'x' has shape"):
            again.step(memory.reshape(x.T.shape), y, lr=0.1)


def test_arrays_at_more_places_than_are_remembered(softmax: Path) -> None:
    again, fresh = Trainer(softmax), Trainer(softmax)
    x, y = batch()
    arrays = [aligned_empty(x.shape, x.dtype) for _ in range(7)]
    for number in range(20):
        array = arrays[number % len(arrays)]
        array[...] = x * np.float32(number)
        assert again.step(array, y, lr=0.1) == fresh.step(array.tolist(), y, lr=0.1)
    assert len(again._packed) <= 4


def test_no_array_is_kept_alive(softmax: Path) -> None:
    trainer = Trainer(softmax)
    x, y = batch()
    for _ in range(3):
        array = aligned_empty(x.shape, x.dtype)
        array[...] = x
        gone = weakref.ref(array.base)
        trainer.step(array, y)
        del array
        assert gone() is None


def test_steps_see_state_that_is_replaced(softmax: Path) -> None:
    trainer = Trainer(softmax)
    x, y = batch()
    first = [trainer.step(x, y, lr=0.1) for _ in range(3)]
    initial = Trainer(softmax).state_dict(optimizer=True)
    trainer.load_state_dict(initial)
    assert [trainer.step(x, y, lr=0.1) for _ in range(3)] == first
    trainer.reset()
    assert [trainer.step(x, y, lr=0.1) for _ in range(3)] == first


def test_hyperparameters_of_one_step_are_not_the_next_ones(softmax: Path) -> None:
    trainer, fresh = Trainer(softmax), [Trainer(softmax) for _ in range(4)]
    x, y = batch()
    given: list[dict[str, float]] = [{"lr": 0.1}, {"lr": 0.1, "momentum": 0.0}, {"lr": 0.1}, {"lr": 0.3}, {}]
    for count, last in enumerate(fresh, 1):
        trainer.step(x, y, **given[count])
        for options in given[1 : count + 1]:
            last.step(x, y, **options)
        assert np.array_equal(trainer.state_dict()["fc.weight"], last.state_dict()["fc.weight"]), count


def test_state_that_moves_is_taken_over(softmax: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on devices that do not say where a buffer lies."""
    moving, staying = Trainer(softmax), Trainer(softmax)
    monkeypatch.setattr(moving._device, "shares_memory", False, raising=True)
    x, y = batch()
    for _ in range(3):
        assert moving.step(x, y, lr=0.1) == staying.step(x, y, lr=0.1)
    assert staying._state.settled and not moving._state.settled
    kept, other = staying.state_dict(optimizer=True), moving.state_dict(optimizer=True)
    assert all(np.array_equal(kept[name], other[name]) for name in kept)


def test_outputs_are_those_of_the_last_step(softmax: Path) -> None:
    trainer = Trainer(softmax)
    x, y = batch()
    with pytest.raises(PockRuntimeError, match="no outputs before the first step"):
        _ = trainer.outputs
    trainer.step(x, y)
    first = trainer.outputs
    assert trainer.outputs is first
    trainer.predict(-x)
    assert trainer.outputs is first
    kept = first[0].copy()
    trainer.step(-x, y)
    assert not np.array_equal(trainer.outputs[0], kept)
    assert np.array_equal(first[0], kept)


# ---- values of other dtypes, and outputs that are inputs ----------------------------------------------


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program whose outputs are its inputs, of unusual dtypes, and whose state is a bfloat16 and a bool."""
    x, h, b = "tensor<16xf32>", "tensor<3xbf16>", "tensor<5xi1>"
    metadata = softmax_metadata(
        inputs=[spec("x", (16,)), spec("h", (3,), "bfloat16"), spec("b", (5,), "bool")],
        targets=[],
        outputs=[spec("x", (16,)), spec("h", (3,), "bfloat16"), spec("b", (5,), "bool")],
        hyperparameters=[],
        state=[
            {**spec("w", (3,), "bfloat16"), "kind": "parameter", "mask": {"update": "full"}},
            {**spec("on", (5,), "bool"), "kind": "buffer", "mask": {"update": "full"}},
        ],
        tied={},
    )
    text = f"""
    module @pock {{
    func.func @init() -> ({h}, {b}){reflection(metadata)} {{
      %w = arith.constant dense<[1.0, 2.0, 3.0]> : {h}
      %on = arith.constant dense<[true, false, true, false, true]> : {b}
      return %w, %on : {h}, {b}
    }}
    func.func @step(%x: {x}, %h: {h}, %b: {b}, %w: {h} {{iree.abi.output = 4 : index}},
                    %on: {b} {{iree.abi.output = 5 : index}}) -> (tensor<f32>, {x}, {h}, {b}, {h}, {b}) {{
      %loss = arith.constant dense<0.5> : tensor<f32>
      %w1 = arith.addf %w, %h : {h}
      %on1 = arith.xori %on, %b : {b}
      return %loss, %x, %h, %b, %w1, %on1 : tensor<f32>, {x}, {h}, {b}, {h}, {b}
    }}
    func.func @predict(%x: {x}, %h: {h}, %b: {b}, %w: {h}, %on: {b}) -> ({x}, {h}, {b}) {{
      return %x, %h, %b : {x}, {h}, {b}
    }}
    }}"""
    return compile_mlir(text, tmp_path_factory.mktemp("echo") / "echo.vmfb")


def _echo_batch(number: float) -> tuple[np.ndarray, ...]:
    x = aligned_empty((16,), np.dtype(np.float32))
    x[:] = number
    h = np.array([number, 2, 3], ml_dtypes.bfloat16)
    return x, h, np.array([True, True, False, False, number > 1])


def test_outputs_that_are_inputs_stay_what_they_were(echo: Path) -> None:
    trainer = Trainer(echo)
    for number in (1.0, 2.0):
        x, h, b = _echo_batch(number)
        trainer.step(x, h, b)
        x[:] = -1.0
        trainer.predict(*_echo_batch(7.0))
        outputs = trainer.outputs
        assert (outputs[0] == number).all()
        assert float(outputs[1][0]) == number
        assert bool(outputs[2][4]) == (number > 1)


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program whose state becomes the input and the learning rate, whose memory IREE returns as it is."""
    x, scalar = "tensor<16xf32>", "tensor<f32>"
    full = {"kind": "buffer", "mask": {"update": "full"}}
    metadata = softmax_metadata(
        inputs=[spec("x", (16,))],
        targets=[],
        outputs=[spec("last", (16,))],
        hyperparameters=[{"name": "lr", "default": 0.5}],
        state=[{**spec("last", (16,)), **full}, {**spec("rate", ()), **full}],
        tied={},
    )
    text = f"""
    module @pock {{
    func.func @init() -> ({x}, {scalar}){reflection(metadata)} {{
      %last = arith.constant dense<0.0> : {x}
      %rate = arith.constant dense<0.0> : {scalar}
      return %last, %rate : {x}, {scalar}
    }}
    func.func @step(%x: {x}, %lr: {scalar}, %last: {x}, %rate: {scalar})
        -> ({scalar}, {x}, {x}, {scalar}) {{
      %loss = arith.addf %lr, %rate : {scalar}
      %sum = arith.addf %x, %last : {x}
      return %loss, %sum, %x, %lr : {scalar}, {x}, {x}, {scalar}
    }}
    func.func @predict(%x: {x}, %last: {x}, %rate: {scalar}) -> {x} {{
      return %last : {x}
    }}
    }}"""
    return compile_mlir(text, tmp_path_factory.mktemp("keeper") / "keeper.vmfb")


def test_state_that_is_an_input_does_not_change_with_it(keeper: Path) -> None:
    """IREE returns the argument itself, which is the caller's array, or memory for the next value."""
    trainer = Trainer(keeper)
    x = aligned_empty((16,), np.dtype(np.float32))
    rate = last = 0.0
    for number in (1.0, 2.0, 3.0):
        x[:] = number
        assert trainer.step(x, lr=number / 4) == number / 4 + rate
        assert trainer.outputs[0].tolist() == [number + last] * 16
        last, rate = number, number / 4
        x[:] = -1.0
        assert trainer.predict(x).tolist() == [last] * 16
        assert float(trainer.state_dict()["rate"]) == rate


def test_bfloat16_and_bool_go_through(echo: Path, tmp_path: Path) -> None:
    trainer = Trainer(echo)
    predicted = trainer.predict(*_echo_batch(3.0))
    assert [p.dtype for p in predicted] == [np.float32, ml_dtypes.bfloat16, np.bool_]
    assert predicted[1].tolist() == [3.0, 2.0, 3.0]
    trainer.step(*_echo_batch(1.0))
    state = trainer.state_dict()
    assert state["w"].tolist() == [2.0, 4.0, 6.0]
    assert state["on"].tolist() == [False, True, True, False, True]
    trainer.save(tmp_path / "echo.ckpt")
    restored = Trainer.restore(echo, tmp_path / "echo.ckpt")
    assert restored.state_dict()["w"].tolist() == [2.0, 4.0, 6.0]
    assert restored.state_dict()["on"].tolist() == [False, True, True, False, True]


def test_steps_are_counted_for_a_program_that_does_not(echo: Path, tmp_path: Path) -> None:
    trainer = Trainer(echo)
    for _ in range(3):
        trainer.step(*_echo_batch(1.0))
    assert trainer.steps == 3
    trainer.save(tmp_path / "echo.ckpt")
    assert Trainer.restore(echo, tmp_path / "echo.ckpt").steps == 3


def test_a_program_without_evaluate_says_so(echo: Path) -> None:
    trainer = Trainer(echo)
    assert not trainer.can_evaluate
    with pytest.raises(PockRuntimeError, match="no function 'evaluate' or 'loss'"):
        trainer.evaluate(*_echo_batch(1.0))


def test_contents_of_unmappable_buffers_are_staged() -> None:
    device = Device("local-task")
    array = np.arange(7, dtype=np.float32)
    staging = device.staged(device.put(array).get_buffer())
    assert np.array_equal(staging.map().asarray([7], array.dtype), array)


def test_states_that_begin_equal_are_apart(wide: Path) -> None:
    """IREE returns one buffer for all the zeros that ``init`` returns."""
    trainer = Trainer(wide)
    for _ in range(3):
        trainer.step(np.ones((4, 16), np.float32), lr=0.25)
    for name, array in trainer.state_dict().items():
        assert array.tolist() == [-3.0] * 16, name


# ---- state ------------------------------------------------------------------------------------------


def test_a_state_dict_goes_back_and_forth(softmax: Path) -> None:
    trained, fresh = Trainer(softmax), Trainer(softmax)
    x, y = batch()
    for _ in range(3):
        trained.step(x, y, lr=0.3)
    state = trained.state_dict()
    assert set(state) == {"fc.weight", "fc.bias", "norm.mean", "head.bias"}
    assert np.array_equal(state["head.bias"], state["fc.bias"])
    fresh.load_state_dict(state)
    assert np.array_equal(fresh.predict(x), trained.predict(x))
    assert fresh.steps == 0
    fresh.load_state_dict(trained.state_dict(optimizer=True))
    assert fresh.step(x, y) == trained.step(x, y)
    assert np.array_equal(fresh.state_dict()["fc.weight"], trained.state_dict()["fc.weight"])


def test_a_state_dict_is_a_copy(softmax: Path) -> None:
    trainer = Trainer(softmax)
    trainer.state_dict()["fc.weight"][...] = 9
    assert np.array_equal(trainer.state_dict()["fc.weight"], WEIGHT)


def test_a_tied_parameter_is_loaded_under_either_name(softmax: Path) -> None:
    trainer = Trainer(softmax)
    state = trainer.state_dict()
    del state["fc.bias"]
    state["head.bias"] = np.ones(CLASSES, np.float32)
    trainer.load_state_dict(state)
    assert trainer.state_dict()["fc.bias"].tolist() == [1.0] * CLASSES


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stem.weight": np.zeros(1)}, "'stem.weight' is no parameter or state that the program trains"),
        ({"fc.bias": None}, "'fc.bias' is missing from the state"),
        (
            {"fc.weight": np.zeros((3, 5), np.float32)},
            "'fc.weight' has shape [3, 5], float32[3, 6] is wanted",
        ),
        ({"fc.weight": np.zeros((3, 6))}, "'fc.weight' is float64"),
        (
            {"head.bias": np.ones(3, np.float32), "fc.bias": np.zeros(3, np.float32)},
            "tied to 'fc.bias' but differs",
        ),
        ({"step": 3}, "'fc.weight.momentum' is missing from the state"),
    ],
)
def test_a_wrong_state_dict_changes_nothing(softmax: Path, change: dict[str, Any], message: str) -> None:
    trainer = Trainer(softmax)
    state: dict[str, Any] = {"fc.weight": np.ones_like(WEIGHT), **trainer.state_dict(), **change}
    state["fc.weight"] = change.get("fc.weight", np.ones_like(WEIGHT))
    if state["fc.bias"] is None:
        del state["fc.bias"], state["head.bias"]
    with pytest.raises(InputError) as caught:
        trainer.load_state_dict(state)
    assert message in str(caught.value)
    assert np.array_equal(trainer.state_dict()["fc.weight"], WEIGHT)


def test_a_loose_state_dict_takes_what_it_knows(softmax: Path) -> None:
    trainer = Trainer(softmax)
    trainer.load_state_dict({"stem.weight": 1, "fc.bias": np.ones(3, np.float32)}, strict=False)
    assert trainer.state_dict()["fc.bias"].tolist() == [1.0] * 3
    assert np.array_equal(trainer.state_dict()["fc.weight"], WEIGHT)


def test_seeds_choose_what_is_dropped(softmax: Path) -> None:
    x, y = batch()
    assert Trainer(softmax, seed=SEED).step(x, y) == Trainer(softmax).step(x, y)
    loss, logits = Reference(seed=5).step(x, y, 0.1)
    trainer = Trainer(softmax, seed=5)
    assert trainer.step(x, y) == pytest.approx(loss, rel=1e-5)
    assert np.allclose(trainer.outputs[0], logits, rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match="'seed'"):
        Trainer(softmax, seed=2**70)


def test_pytorch_tensors_are_arrays(softmax: Path) -> None:
    torch = pytest.importorskip("torch")
    trainer = Trainer(softmax)
    x, y = batch()
    assert trainer.step(torch.from_numpy(x), torch.from_numpy(y)) == Trainer(softmax).step(x, y)
    trainer.load_state_dict({"fc.bias": torch.ones(CLASSES)}, strict=False)
    assert trainer.state_dict()["fc.bias"].tolist() == [1.0] * CLASSES
    with pytest.raises(
        InputError, match=r"'x' is no array: Can't call numpy\(\) on Tensor that requires grad"
    ):
        trainer.predict(torch.zeros(BATCH, FEATURES, requires_grad=True))


def test_reset_starts_anew(softmax: Path) -> None:
    trainer = Trainer(softmax)
    x, y = batch()
    losses = [trainer.step(x, y, lr=0.5) for _ in range(3)]
    trainer.reset()
    assert trainer.steps == 0
    assert [trainer.step(x, y, lr=0.5) for _ in range(3)] == losses
    trainer.reset(seed=4)
    assert int(trainer.state_dict(optimizer=True)["seed"]) == 4


# ---- going wrong ------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_is_returned_or_raised(softmax: Path) -> None:
    x, y = batch()
    x[0, 0] = np.inf
    assert math.isnan(Trainer(softmax).step(x, y))
    with pytest.raises(TrainingDiverged, match="the loss became nan in step 1"):
        Trainer(softmax).step(x, y, check_finite=True)


def test_a_device_that_fails_takes_the_state_with_it(softmax: Path, tmp_path: Path) -> None:
    trainer = Trainer(softmax)
    x, y = batch()
    trainer.step(x, y)
    trainer.save(tmp_path / "good.ckpt")
    context = trainer._program._context

    class Failing:
        def invoke(self, *arguments: Any) -> None:
            raise RuntimeError("Error invoking function: c/x/y.c:7: ABORTED; lost the device; while\nthere")

    trainer._program._context = Failing()
    with pytest.raises(
        DeviceError, match=r"^'step' failed on local-task: lost the device; while; the state is"
    ):
        trainer.step(x, y)
    trainer._program._context = context
    for use in (
        lambda: trainer.step(x, y),
        lambda: trainer.predict(x),
        lambda: trainer.save(tmp_path / "bad"),
    ):
        with pytest.raises(PockRuntimeError, match=r"load a checkpoint or reset\(\)"):
            use()
    assert not (tmp_path / "bad").exists()
    trainer.load_checkpoint(tmp_path / "good.ckpt")
    assert trainer.step(x, y) == Trainer.restore(softmax, tmp_path / "good.ckpt").step(x, y)


def test_a_step_costs_little_beside_the_program(wide: Path) -> None:
    """Less than 0.2 ms with 100 state tensors: the median of what is around the invocation."""
    trainer = Trainer(wide, device="local-sync")
    x = np.ones((4, 16), np.float32)
    context, inside, around = trainer._program._context, [], []

    class Timed:
        def invoke(self, *arguments: Any) -> None:
            begin = time.perf_counter()
            context.invoke(*arguments)
            inside.append(time.perf_counter() - begin)

    trainer._program._context = Timed()
    for _ in range(500):
        begin = time.perf_counter()
        trainer.step(x, lr=0.1)
        around.append(time.perf_counter() - begin)
    overhead = np.median(np.array(around) - np.array(inside))
    assert overhead < 0.2e-3, f"{overhead * 1e3:.3f} ms"
