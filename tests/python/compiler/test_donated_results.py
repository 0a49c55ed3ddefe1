# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Functions that do not return what lies in storage of their caller's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from iree.compiler import ir
from torch import nn
from torch.nn import functional as F

from pock.compiler import SGD, TrainingTask, compile_program, trace
from pock.compiler.donated_results import drop_donated
from pock.compiler.in_place import InPlaceModule
from pock.runtime import Trainer

STREAM = """
util.func public @step(%x: !hal.buffer_view, %w: !hal.buffer_view, %b: !hal.buffer_view)
    -> (!hal.buffer_view, !hal.buffer_view, !hal.buffer_view)
    attributes {iree.reflection = {iree.abi.declaration = "sync func @step", other = "kept"}} {
  %size = arith.constant 64 : index
  %zero = arith.constant 0 : index
  %0 = stream.tensor.import %x : !hal.buffer_view -> tensor<16xf32> in !stream.resource<external>{%size}
  %1 = stream.tensor.import consume %w : !hal.buffer_view
    -> tensor<16xf32> in !stream.resource<external>{%size}
  %2 = stream.tensor.import consume %b : !hal.buffer_view
    -> tensor<16xf32> in !stream.resource<external>{%size}
  %loss, %now = stream.resource.alloca uninitialized : !stream.resource<external>{%size} => !stream.timepoint
  %done = stream.timepoint.immediate => !stream.timepoint
  %3:3 = stream.timepoint.await %done => %loss, WHERE, %2 : !stream.resource<external>{%size},
    !stream.resource<external>{%size}, !stream.resource<external>{%size}
  %4 = stream.timepoint.await %WAIT => %2 : !stream.resource<external>{%size}
  %part = stream.resource.subview %3#0[%zero] : !stream.resource<external>{%size}
    -> !stream.resource<external>{%size}
  %5 = stream.tensor.export %part : tensor<16xf32> in !stream.resource<external>{%size} -> !hal.buffer_view
  %6 = stream.tensor.export %3#1 : tensor<16xf32> in !stream.resource<external>{%size} -> !hal.buffer_view
  %7 = stream.tensor.export RESULT : tensor<16xf32> in !stream.resource<external>{%size} -> !hal.buffer_view
  util.return %5, %6, %7 : !hal.buffer_view, !hal.buffer_view, !hal.buffer_view
}
"""


def dropped(donated: dict[int, int], where: str = "%1", result: str = "%3#2") -> tuple[bool, str]:
    """Whether results are dropped, and the module then."""
    with ir.Context() as context:
        context.allow_unregistered_dialects = True
        text = STREAM.replace("WHERE", where).replace("WAIT", "now").replace("RESULT", result)
        module = ir.Module.parse(text)
        found = drop_donated(module, {"step": donated, "init": {}})
        assert module.operation.verify()
        return found, str(module)


def test_what_lies_in_donated_storage_is_not_returned() -> None:
    found, text = dropped({1: 1, 2: 2})
    assert found and text.count("stream.tensor.export") == 1
    assert "-> !hal.buffer_view attributes" in text and 'iree.reflection = {other = "kept"}' in text
    found, text = dropped({2: 2})
    assert found and text.count("stream.tensor.export") == 2
    # State that a step does not touch waits for nothing.
    assert dropped({2: 2}, result="%2")[0]


@pytest.mark.parametrize(
    ("donated", "where", "result"),
    [
        ({1: 1, 2: 2}, "%2", "%3#2"),
        ({2: 1}, "%1", "%3#2"),
        ({1: 1, 2: 2}, "%1", "%4"),
        ({1: 0, 2: 2}, "%1", "%3#2"),
    ],
    ids=["it is elsewhere", "it is in other storage", "nothing else waits for it", "it is a part"],
)
def test_all_is_returned_where_a_result_may_not_be_there(
    donated: dict[int, int], where: str, result: str
) -> None:
    found, text = dropped(donated, where, result)
    assert not found and text.count("stream.tensor.export") == 3


def _task() -> TrainingTask:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 16))
    return TrainingTask(model, (torch.randn(8, 32),), (torch.randn(8, 16),), F.mse_loss)


def _trained(path: Path) -> tuple[list[float], dict[str, np.ndarray], bool]:
    """Losses and state of a few steps, and whether they are known to update everything in place."""
    batch = np.ones((8, 32), np.float32), np.ones((8, 16), np.float32)
    trainer = Trainer(path)
    losses = [trainer.step(*batch, lr=0.1) for _ in range(3)]
    return losses, trainer.state_dict(optimizer=True), trainer._state.settled


@pytest.mark.parametrize("way", [{}, {"shards": 2}, {"ranks": 2}], ids=["whole", "shards", "ranks"])
def test_a_step_returns_no_state(tmp_path: Path, way: dict[str, int]) -> None:
    artifact = compile_program(trace(_task()), optimizer=SGD(momentum=0.9), **way)
    assert artifact.metadata["returned"] == []
    artifact.save(tmp_path / "model.vmfb")
    losses, _, settled = _trained(tmp_path / "model.vmfb")
    assert settled and losses == sorted(losses, reverse=True)


def test_state_that_is_copied_is_returned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(self: InPlaceModule, text: str) -> None:
        plainly(self, text)
        # Behind input, target and learning rate: the second of the state.
        self.copied = {4: "that is so here"}

    program = trace(_task())
    compile_program(program, optimizer=SGD(momentum=0.9)).save(tmp_path / "plain.vmfb")
    plainly = InPlaceModule.__init__
    monkeypatch.setattr(InPlaceModule, "__init__", prepare)
    artifact = compile_program(program, optimizer=SGD(momentum=0.9))
    artifact.save(tmp_path / "copied.vmfb")
    assert artifact.metadata["returned"] == [artifact.metadata["state"][1]["name"]]
    plain, copied = _trained(tmp_path / "plain.vmfb"), _trained(tmp_path / "copied.vmfb")
    assert plain[0] == copied[0] and plain[2] and not copied[2]
    for name, value in plain[1].items():
        np.testing.assert_array_equal(copied[1][name], value)
