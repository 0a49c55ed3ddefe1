# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Whole networks against PyTorch: every model, scheme and batch size.

The default run covers each model, scheme and batch size at least once; `pytest -m slow` runs the rest.
"""

from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import nn
from torch.nn import functional as F

from pock.compiler import SGD, Scheme, TrainingProgram, TrainingTask, trace
from tests.e2e import zoo
from tests.e2e.check import check_training

_SIZE = 64


def _efficientnet() -> nn.Module:
    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    network._fc = nn.Linear(network._fc.in_features, 10)
    return network


_MODELS: dict[str, Callable[[], nn.Module]] = {
    "efficientnet-lite0": _efficientnet,
    "mobilenet-v2": lambda: zoo.MobileNetV2(10),
    "resnet-18": lambda: zoo.resnet18(10),
    "resnet-50": lambda: zoo.resnet50(10),
}

_SPARSE: dict[str, list[tuple[str, object]]] = {
    "efficientnet-lite0": [
        ("_blocks.1[0-5].*.bias", "full"),
        ("_blocks.1[2-5]._expand_conv.weight", {"channels": 0.5}),
        ("_blocks.14._depthwise_conv.weight", {"channels": "100:300"}),
        ("_fc.*", "full"),
    ],
    "mobilenet-v2": [
        ("features.1[1-8].*.bias", "full"),
        ("features.1[1-7].conv.0.0.weight", {"channels": 0.5}),
        ("classifier.*", "full"),
    ],
    "resnet-18": [
        ("layer[34].*.bias", "full"),
        ("layer4.*.conv1.weight", {"channels": 0.5}),
        ("fc.*", "full"),
    ],
    "resnet-50": [
        ("layer[34].*.bias", "full"),
        ("layer4.*.conv[12].weight", {"channels": 0.25}),
        ("fc.*", "full"),
    ],
}


def _scheme(model: str, name: str) -> Scheme:
    if name == "sparse":
        rules = [{"match": pattern, "update": update} for pattern, update in _SPARSE[model]]
        return Scheme.from_dict({"version": 1, "rules": rules})
    return Scheme.full() if name == "full" else Scheme.bias_only()


@cache
def _traced(model: str, batch: int) -> tuple[TrainingTask, TrainingProgram]:
    torch.manual_seed(0)
    network = zoo.settle(_MODELS[model]())
    task = TrainingTask(
        network, (torch.randn(batch, 3, _SIZE, _SIZE),), (torch.arange(batch) % 10,), F.cross_entropy
    )
    return task, trace(task)


_DEFAULT = {
    ("efficientnet-lite0", 8, "sparse"),
    ("mobilenet-v2", 8, "full"),
    ("resnet-18", 1, "full"),
    ("resnet-50", 1, "bias-only"),
}
_CASES = [
    pytest.param(*case, marks=() if case in _DEFAULT else pytest.mark.slow)
    for case in product(_MODELS, (1, 8), ("full", "bias-only", "sparse"))
]


@pytest.mark.parametrize(("model", "batch", "scheme"), _CASES)
def test_models(tmp_path: Path, model: str, batch: int, scheme: str) -> None:
    task, program = _traced(model, batch)
    check_training(
        tmp_path,
        task,
        _scheme(model, scheme),
        SGD(),
        lambda leaves: torch.optim.SGD(leaves, lr=0.01),
        program=program,
    )
