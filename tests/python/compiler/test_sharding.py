# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where it pays to divide a batch."""

import torch
from torch import nn
from torch.nn import functional as F

from pock.compiler import (
    SGD,
    Division,
    Scheme,
    TrainingProgram,
    TrainingTask,
    trace,
    worthwhile_division,
)
from pock.compiler.opt import run_pipeline
from pock.compiler.passes.split_batch import SplitBatch
from pock.compiler.sharding import largest_activation, weights_and_activations
from pock.compiler.stages import masked, pruned
from tests.e2e import zoo


def _images(batch: int, size: int) -> TrainingProgram:
    model, x = zoo.settle(zoo.ConvNet()), torch.randn(batch, 3, size, size)
    return trace(TrainingTask(model, (x,), (torch.zeros(batch).long(),), F.cross_entropy))


def test_a_batch_is_divided_where_that_is_possible_and_there_is_enough_to_do() -> None:
    large, small = _images(8, 128), _images(8, 32)
    assert [worthwhile_division(large, Scheme.full(), SGD(), cores).shards for cores in (1, 2, 3, 8)] == [
        1,
        2,
        1,
        8,
    ]
    assert worthwhile_division(small, Scheme.full(), SGD(), 2).shards == 1


def test_a_batch_is_not_divided_where_weights_are_most_of_what_a_step_reads() -> None:
    model = nn.Sequential(*(nn.Linear(512, 512) for _ in range(8)))
    task = TrainingTask(model, (torch.randn(256, 512),), (torch.zeros(256).long(),), F.cross_entropy)
    wide = TrainingTask(model, (torch.randn(4096, 512),), (torch.zeros(4096).long(),), F.cross_entropy)
    assert [worthwhile_division(trace(each), Scheme.full(), SGD(), 2).shards for each in (task, wide)] == [
        1,
        2,
    ]


def test_a_batch_is_not_divided_where_each_product_is_large() -> None:
    tasks = [
        TrainingTask(
            nn.Sequential(*(nn.Linear(width, width) for _ in range(4))),
            (torch.randn(16384, width),),
            (torch.zeros(16384).long(),),
            F.cross_entropy,
        )
        for width in (256, 1024)
    ]
    assert [worthwhile_division(trace(each), Scheme.full(), SGD(), 2).shards for each in tasks] == [2, 1]


def test_a_table_that_rows_are_looked_up_in_is_not_read_whole() -> None:
    model = nn.Sequential(nn.Embedding(1000, 8), nn.Flatten(), nn.Linear(16, 4, bias=False))
    task = TrainingTask(model, (torch.zeros(4, 2).long(),), (torch.zeros(4).long(),), F.cross_entropy)
    module = trace(task).copy_module()
    run_pipeline(module, [*masked(Scheme.full()), *pruned(), SplitBatch(2)])
    # The linear layer's weight; of both halves its output, its input's gradient and its weight's.
    assert weights_and_activations(module, 2) == (16 * 4 * 4, (4 * 4 + 4 * 16 + 2 * 16 * 4) * 4)


def test_channels_are_shared_where_there_is_no_batch_and_no_norm_over_gradients() -> None:
    program = _images(1, 128)
    wide = trace(
        TrainingTask(
            nn.Sequential(nn.Linear(512, 2048), nn.ReLU(), nn.Linear(2048, 512)),
            (torch.randn(64, 512),),
            (torch.randn(64, 512),),
            F.mse_loss,
        )
    )
    assert worthwhile_division(wide, Scheme.full(), SGD(), 1) == Division()
    assert worthwhile_division(wide, Scheme.full(), SGD(), 2) == Division(ranks=2)
    assert worthwhile_division(wide, Scheme.full(), SGD(), 3) == Division()
    assert worthwhile_division(wide, Scheme.full(), SGD(clip_grad_norm=1.0), 2) == Division()
    # Of few channels at many positions, what is exchanged is most of what there is to do.
    assert worthwhile_division(program, Scheme.full(), SGD(), 2) == Division()


def test_parts_are_smaller_than_there_are_cores_where_activations_are_large() -> None:
    # The first convolution makes 8 channels at half the height and width.
    def divisions(batch: int, size: int) -> Division:
        return worthwhile_division(_images(batch, size), Scheme.full(), SGD(), 2)

    module = _images(16, 512).copy_module()
    run_pipeline(module, [*masked(Scheme.full()), *pruned(), SplitBatch(2)])
    assert largest_activation(module) == 8 * 8 * 256 * 256 * 4
    assert [divisions(16, size).shards for size in (128, 512, 1024)] == [2, 4, 16]
    # No smaller part is left, or the batch has none.
    assert [divisions(batch, 1024).shards for batch in (2, 6)] == [2, 2]


def test_a_batch_comes_before_channels() -> None:
    assert worthwhile_division(_images(8, 128), Scheme.full(), SGD(), 2) == Division(shards=2)
