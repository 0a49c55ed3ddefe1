# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Metadata: what is read, and one line naming the key for everything that is wrong."""

import copy
import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from pock.runtime import ArtifactError, Metadata
from pock.runtime.metadata import Division
from tests.python.runtime.ranked_programs import ranked_metadata
from tests.python.runtime.runtime_programs import shards_metadata, softmax_metadata, spec


def test_everything_is_read() -> None:
    metadata = Metadata.from_json(json.dumps(softmax_metadata()))
    assert (metadata.model, metadata.target, metadata.device) == ("Softmax", "cpu", "local-task")
    assert metadata.inputs[0].shape == (8, 6)
    assert metadata.targets[0].dtype == np.int64
    assert [(h.name, h.default) for h in metadata.hyperparameters] == [("lr", None), ("momentum", 0.5)]
    assert [s.kind for s in metadata.state] == [
        "parameter",
        "parameter",
        "buffer",
        "optimizer",
        "step",
        "seed",
    ]
    weight, momentum = metadata.state[0], metadata.state[3]
    assert (weight.mask.update, weight.mask.axis, weight.mask.indices) == ("range", 1, (0, 4))
    assert (momentum.parameter, momentum.slot) == ("fc.weight", "momentum")
    assert metadata.tied == {"head.bias": "fc.bias"}
    assert metadata.loss_reduction == "mean"
    assert metadata.batch == 8


def test_a_program_may_have_no_common_batch_dimension() -> None:
    metadata = Metadata.from_json(json.dumps(softmax_metadata(inputs=[spec("x", (8, 6)), spec("z", ())])))
    assert metadata.batch is None


def test_ml_dtypes_are_dtypes() -> None:
    metadata = Metadata.from_json(json.dumps(softmax_metadata(inputs=[spec("x", (8, 6), "bfloat16")])))
    assert metadata.inputs[0].dtype == ml_dtypes.bfloat16


def test_a_device_may_store_wider_integers() -> None:
    given = [{**spec("x", (8, 6), "uint8"), "stored": "int16"}, spec("z", (8,), "uint8")]
    x, z = Metadata.from_json(json.dumps(softmax_metadata(inputs=given))).inputs
    assert (x.dtype, x.device_dtype) == (np.uint8, np.int16)
    assert z.device_dtype == np.uint8


def test_all_state_is_returned_unless_a_program_says_which() -> None:
    assert Metadata.from_json(json.dumps(softmax_metadata())).returned == (0, 1, 2, 3, 4, 5)
    returned = softmax_metadata(returned=["fc.bias", "seed"])
    assert Metadata.from_json(json.dumps(returned)).returned == (1, 5)


def test_programs_take_aligned_inputs_unless_they_say_otherwise() -> None:
    assert not Metadata.from_json(json.dumps(softmax_metadata())).unaligned_inputs
    assert Metadata.from_json(json.dumps(softmax_metadata(unaligned_inputs=True))).unaligned_inputs


def test_steps_may_be_divided() -> None:
    shards = Metadata.from_json(json.dumps(shards_metadata(4))).shards
    assert shards is not None
    assert (shards.count, shards.divided, shards.whole) == (4, (True, True), ("x",))
    assert shards.state == ("fc.weight", "fc.bias")
    assert [(p.shape, p.dtype) for p in shards.partials] == [(s, np.float32) for s in ((), (3, 6), (3,))]
    assert Metadata.from_json(json.dumps(softmax_metadata())).shards is None


def test_programs_may_be_divided() -> None:
    ranks = Metadata.from_json(json.dumps(ranked_metadata(2))).ranks
    assert ranks is not None
    assert (ranks.count, ranks.exchange) == (2, 256)
    assert ranks.state == (Division(1, 1), Division(1, 1), Division(0, 2), None, None, None)
    assert Metadata.from_json(json.dumps(softmax_metadata())).ranks is None


def test_unknown_keys_are_left_alone() -> None:
    Metadata.from_json(json.dumps(softmax_metadata(colour="green")))


def _state(index: int, **changes: Any) -> dict[str, Any]:
    states = copy.deepcopy(softmax_metadata()["state"])
    states[index].update(changes)
    return {"state": states}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "metadata format 2, this runtime reads up to 1: update pock"),
        ({"format": "1"}, 'metadata.format must be an integer that is not negative, got "1"'),
        ({"model": None}, "metadata.model must be a string, got null"),
        ({"inputs": {}}, "metadata.inputs must be a list"),
        ({"work": {"dispatches": 1, "bytes": -1, "flops": 0}}, "metadata.work.bytes must be an integer"),
        ({"unaligned_inputs": 1}, "metadata.unaligned_inputs must be true or false, got 1"),
        (
            {"returned": ["step", "fc.bias"]},
            'metadata.returned must be names of the program\'s state in its order, got ["step", "fc.bias"]',
        ),
        ({"returned": "step"}, 'metadata.returned must be a list of strings, got "step"'),
        ({"inputs": [3]}, "metadata.inputs[0] must be a JSON object, got 3"),
        ({"inputs": [spec("x", (2, -1))]}, "metadata.inputs[0].shape must be a list of integers"),
        ({"inputs": [spec("x", (2,), "float33")]}, "metadata.inputs[0].dtype must be one of bool, int8"),
        (
            {"inputs": [{**spec("x", (2,)), "stored": "int32"}]},
            'metadata.inputs[0].stored must be a signed integer wider than float32, got "int32"',
        ),
        (
            {"inputs": [{**spec("x", (2,), "bool"), "stored": "int8"}]},
            'metadata.inputs[0].stored must be a signed integer wider than bool, got "int8"',
        ),
        ({"inputs": [spec("y", (2,))]}, "names an input or target 'y' twice"),
        (
            {"hyperparameters": [{"name": "lr", "default": "1"}]},
            "hyperparameters[0].default must be a number",
        ),
        ({"tied": {"a": "b"}}, "ties 'a' to 'b', which is no parameter or buffer"),
        ({"tied": {"fc.weight": "fc.bias"}}, "names a state 'fc.weight' twice"),
        (
            {"parameters": {"storage": "cloud"}},
            'parameters.storage must be embedded or external, got "cloud"',
        ),
        (
            {"parameters": {"storage": "external", "scope": "m", "file": "../x", "sha256": ""}},
            "parameters.file must be the name of a file beside the program",
        ),
        (_state(0, kind="weights"), "metadata.state[0].kind must be one of parameter, buffer"),
        (_state(0, mask={"update": "some"}), "metadata.state[0].mask.update must be full, range or list"),
        (_state(3, parameter="nobody"), "optimizer state 'fc.weight.momentum' of the unknown 'nobody'"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        Metadata.from_json(json.dumps(softmax_metadata(**changes)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


_DIVIDED = ranked_metadata(2)["ranks"]["state"]


def _axis(axis: int, blocks: int = 1) -> dict[str, Any]:
    return {"state": [{"axis": axis, "blocks": blocks}, *_DIVIDED[1:]]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 1}, "metadata.shards.count must be an integer from 2 to 1024, got 1"),
        ({"count": 2**40}, "metadata.shards.count must be an integer from 2 to 1024"),
        ({"count": 2.0}, "metadata.shards.count must be an integer that is not negative, got 2.0"),
        ({"count": 3}, "cuts 'x', which is float32[8, 6], into 3 parts: dimension 0 must be a multiple"),
        ({"divided": [True]}, "metadata.shards.divided must say it of 2 inputs and targets, got 1 values"),
        ({"divided": [True, 1]}, "metadata.shards.divided must be a list of true and false"),
        ({"divided": [False, False]}, "metadata.shards.divided must divide an input or target, got none"),
        ({"whole": ["z"]}, "metadata.shards.whole names the unknown input or target 'z'"),
        ({"whole": ["x", "x"]}, "names a whole input of shards 'x' twice"),
        ({"whole": "x"}, "metadata.shards.whole must be a list of strings"),
        ({"state": ["nobody"]}, "metadata.shards.state must be names of the program's state in its order"),
        ({"state": ["fc.bias", "fc.weight"]}, "must be names of the program's state in its order"),
        ({"state": ["fc.bias", "fc.bias"]}, "must be names of the program's state in its order"),
        (
            {"partials": [{"shape": [3], "dtype": "float33"}]},
            "metadata.shards.partials[0].dtype must be one of bool",
        ),
        (
            {"partials": [{"shape": [-3], "dtype": "float32"}]},
            "metadata.shards.partials[0].shape must be a list of integers",
        ),
    ],
)
def test_what_is_wrong_with_shards_is_named(changes: dict[str, Any], message: str) -> None:
    data = shards_metadata(4)
    with pytest.raises(ArtifactError) as caught:
        Metadata.from_json(json.dumps({**data, "shards": {**data["shards"], **changes}}))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 1}, "metadata.ranks.count must be an integer from 2 to 64, got 1"),
        ({"count": 65}, "metadata.ranks.count must be an integer from 2 to 64, got 65"),
        ({"count": "2"}, "metadata.ranks.count must be an integer that is not negative"),
        ({"count": 3}, "cuts 'fc.weight', which is float32[4, 8], into 3 parts: axis 1 must be a multiple"),
        ({"count": 16}, "cuts 'fc.weight', which is float32[4, 8], into 16 parts"),
        ({"exchange": -1}, "metadata.ranks.exchange must be an integer that is not negative, got -1"),
        ({"exchange": None}, "metadata.ranks.exchange must be an integer that is not negative, got null"),
        ({"state": None}, "metadata.ranks.state must be a list, got null"),
        ({"state": _DIVIDED[:5]}, "metadata.ranks.state must say it of 6 states, got 5 values"),
        ({"state": [*_DIVIDED, None]}, "metadata.ranks.state must say it of 6 states, got 7 values"),
        ({"state": [3, *_DIVIDED[1:]]}, "metadata.ranks.state[0] must be a JSON object, got 3"),
        (_axis(2), "divides 'fc.weight', which is float32[4, 8], along axis 2, which it has not"),
        (_axis(-1), "metadata.ranks.state[0].axis must be an integer that is not negative, got -1"),
        (_axis(1, 0), "metadata.ranks.state[0].blocks must be a positive integer, got 0"),
        (_axis(1, 3), "cuts 'fc.weight', which is float32[4, 8], into 6 parts: axis 1 must be a multiple"),
        (_axis(1, 2**70), "cuts 'fc.weight'"),
        ({"state": [{"axis": 1}, *_DIVIDED[1:]]}, "metadata.ranks.state[0].blocks must be an integer"),
        (
            {"state": [*_DIVIDED[:5], {"axis": 0, "blocks": 1}]},
            "divides 'seed', which is int64[], along axis 0",
        ),
    ],
)
def test_what_is_wrong_with_ranks_is_named(changes: dict[str, Any], message: str) -> None:
    data = ranked_metadata(2)
    with pytest.raises(ArtifactError) as caught:
        Metadata.from_json(json.dumps({**data, "ranks": {**data["ranks"], **changes}}))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_empty_has_no_parts() -> None:
    data = ranked_metadata(2)
    data["state"][0]["shape"] = [4, 0]
    with pytest.raises(ArtifactError, match=r"cuts 'fc.weight', which is float32\[4, 0\], into 2 parts"):
        Metadata.from_json(json.dumps(data))


def test_shards_have_no_ranks() -> None:
    both = {**shards_metadata(2), "ranks": {"count": 2, "state": [None] * 4, "exchange": 0}}
    with pytest.raises(ArtifactError, match="has both shards and ranks"):
        Metadata.from_json(json.dumps(both))


@pytest.mark.parametrize("shape", [(), (0, 3), (6, 3)])
def test_outputs_of_shards_have_parts(shape: tuple[int, ...]) -> None:
    with pytest.raises(ArtifactError, match=r"cuts 'mean', which is .*, into 4 parts"):
        Metadata.from_json(json.dumps(shards_metadata(4, outputs=[spec("mean", shape)])))


def test_what_is_no_json_is_an_error() -> None:
    with pytest.raises(ArtifactError, match="not JSON"):
        Metadata.from_json("{")


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [path, *(p for key in keys for p in _places(value[key], (*path, key)))]


_DESCRIBED = {"shards": shards_metadata, "ranks": ranked_metadata}


@pytest.mark.parametrize(
    ("kind", "place"),
    [(kind, place) for kind, made in _DESCRIBED.items() for place in _places(made(2))[1:]],
    ids=str,
)
def test_any_other_value_is_read_or_refused_in_a_line(kind: str, place: tuple[Any, ...]) -> None:
    for value in (None, "", "x", -1, 2**70, 1.5, True, [], {}, [None], {"a": 1}):
        data = _DESCRIBED[kind](2)
        inner: Any = data
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        try:
            Metadata.from_json(json.dumps(data))
        except ArtifactError as error:
            assert "\n" not in str(error)
