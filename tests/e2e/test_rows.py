# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Activations below the layers that are trained are computed a few rows at a time, end to end."""

from functools import cache, partial
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from pock.benchmarks.rows import Strips
from pock.benchmarks.workloads import mobilenet
from pock.compiler import SGD, Emit, Scheme, TrainingProgram, TrainingTask, compile_program, emit, trace
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


_OURS, _THEIRS = SGD(momentum=0.9), partial(torch.optim.SGD, lr=0.01, momentum=0.9)


@cache
def _traced(batch: int) -> tuple[TrainingTask, TrainingProgram]:
    torch.manual_seed(0)
    model, x = zoo.settle(mobilenet.MobileNetV2(5, 0.35)), torch.randn(batch, 3, 96, 96)
    task = TrainingTask(model, (x,), (torch.tensor([3, 0, 1, 4][:batch]),), F.cross_entropy)
    return task, trace(task)


@pytest.mark.parametrize("shards", [1, 2])
def test_training_is_pytorchs_in_half_the_memory(tmp_path: Path, shards: int) -> None:
    task, program = _traced(4)
    artifact = check_training(
        tmp_path, task, _SCHEME, _OURS, _THEIRS,
        program=program, steps=3, shards=shards, target=Strips(bytes=(1 << 19) // shards),
    )  # fmt: skip
    if shards == 1:
        whole = compile_program(program, _SCHEME, _OURS, Strips())
        taken, before = (each.metadata["memory"]["transient"] for each in (artifact, whole))
        assert taken < 0.6 * before


def test_training_is_pytorchs_where_ranks_share_rows(tmp_path: Path) -> None:
    """The rows of a rank, in strips too."""
    task, program = _traced(1)
    text = emit(program, Emit.PRUNED, _SCHEME, _OURS, ranks=2)
    assert 'axis = 2 : i64, mask = #sparsebp.mask<"range", "positions"' in text
    artifact = check_training(
        tmp_path, task, _SCHEME, _OURS, _THEIRS,
        program=program, steps=3, ranks=2, target=Strips(bytes=1 << 17),
    )  # fmt: skip
    assert artifact.metadata["ranks"]["count"] == 2
