# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Large activations below the layers that are trained are computed a few rows at a time, end to end."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from pock.benchmarks.rows import Strips
from pock.benchmarks.workloads import mobilenet
from pock.compiler import SGD, Scheme, TrainingTask, compile_program, trace
from tests.e2e import zoo
from tests.e2e.check import check_training

_SCHEME = Scheme.from_dict(
    {
        "version": 1,
        "rules": [
            {"match": "classifier.*", "update": "full"},
            {"match": "features.1[67].conv.0.0.weight", "update": "full"},
            {"match": "features.1[67]*.bias", "update": "full"},
        ],
    }
)


@pytest.mark.parametrize("shards", [1, 2])
def test_training_is_pytorchs_in_half_the_memory(tmp_path: Path, shards: int) -> None:
    torch.manual_seed(0)
    model = zoo.settle(mobilenet.MobileNetV2(5, 0.35))
    task = TrainingTask(model, (torch.randn(4, 3, 96, 96),), (torch.tensor([3, 0, 1, 4]),), F.cross_entropy)
    program = trace(task)
    artifact = check_training(
        tmp_path, task, _SCHEME, SGD(momentum=0.9), lambda p: torch.optim.SGD(p, 0.01, momentum=0.9),
        program=program, steps=3, shards=shards, target=Strips(bytes=(1 << 19) // shards),
    )  # fmt: skip
    if shards == 1:
        whole = compile_program(program, _SCHEME, SGD(momentum=0.9), Strips())
        taken, before = (each.metadata["memory"]["transient"] for each in (artifact, whole))
        assert taken < 0.6 * before
