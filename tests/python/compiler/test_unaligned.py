# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Programs that read a caller's arrays wherever they lie."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from iree.compiler import ir
from torch import nn

from pock.compiler import SGD, Scheme, TrainingTask, compile_program, trace
from pock.compiler.unaligned import accept_unaligned
from pock.runtime import Trainer

STREAM = """
stream.executable private @kernels {
  builtin.module {
    func.func @sum(%a: i32, %x: !stream.binding {stream.alignment = 64 : index},
                   %y: !stream.binding {stream.alignment = 64 : index, stream.other}) {
      return
    }
  }
}
util.func public @step(%x: !hal.buffer_view, %w: !hal.buffer_view) -> !hal.buffer_view {
  %size = arith.constant 64 : index
  %zero = arith.constant 0 : index
  %number = arith.constant 1 : i32
  %type = hal.element_type<f32> : i32
  %encoding = hal.encoding_type<dense_row_major> : i32
  hal.buffer_view.assert<%x : !hal.buffer_view> message("x") shape([%size]) type(%type) encoding(%encoding)
  %0 = stream.tensor.import %x : !hal.buffer_view -> tensor<16xf32> in !stream.resource<external>{%size}
  %1 = stream.tensor.import %w : !hal.buffer_view -> tensor<16xf32> in !stream.resource<external>{%size}
  %done = stream.cmd.execute with(%0 as %a: !stream.resource<external>{%size},
                                  %1 as %b: !stream.resource<external>{%size}) {
    stream.cmd.dispatch @kernels::@sum(%number : i32) {
      rw %b[%zero for %size] : !stream.resource<external>{%size},
      ro %a[%zero for %size] : !stream.resource<external>{%size}
    }
  } => !stream.timepoint
  %2 = stream.timepoint.await %done => %1 : !stream.resource<external>{%size}
  %3 = stream.tensor.export %RESULT : tensor<16xf32> in !stream.resource<external>{%size} -> !hal.buffer_view
  util.return %3 : !hal.buffer_view
}
"""


def accepted(arguments: dict[str, int], result: str = "2") -> tuple[bool, str]:
    """Whether the arguments may be unaligned, and the kernel's signature then."""
    with ir.Context() as context:
        context.allow_unregistered_dialects = True
        module = ir.Module.parse(STREAM.replace("RESULT", result))
        return accept_unaligned(module, arguments), str(module).split("func.func @sum")[1].split("{\n")[0]


def test_only_the_bindings_of_the_callers_arrays_lose_their_alignment() -> None:
    found, signature = accepted({"step": 1})
    _, x, y = signature.split(", %arg")
    assert found and "stream.alignment" in x and "stream.alignment" not in y and "stream.other" in y
    assert accepted({"step": 0}) == (True, accepted({"step": 1}, "0")[1])


@pytest.mark.parametrize(
    ("arguments", "result"),
    [({"step": 1}, "0"), ({"step": 1, "evaluate": 1}, "2")],
    ids=["it is returned", "no such function"],
)
def test_nothing_changes_where_an_array_cannot_be_followed(arguments: dict[str, int], result: str) -> None:
    found, signature = accepted(arguments, result)
    assert not found and signature.count("stream.alignment") == 2


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1)
        self.last = nn.Linear(16 * 64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.conv(x)).flatten(1))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    task = TrainingTask(
        Net(), (torch.randn(4, 3, 8, 8),), (torch.zeros(4, dtype=torch.int64),), nn.functional.cross_entropy
    )
    path = tmp_path_factory.mktemp("unaligned") / "model.vmfb"
    compile_program(trace(task), Scheme.full(), SGD()).save(path)
    return path


def placed(array: np.ndarray, offset: int) -> np.ndarray:
    """A copy that begins so many bytes behind a multiple of 64."""
    memory = np.empty(array.nbytes + 128, np.uint8)
    start = -memory.ctypes.data % 64 + offset
    there = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    there[...] = array
    return there


def test_a_small_program_runs_on_one_core_unless_told_otherwise(program: Path) -> None:
    assert Trainer(program)._device.uri == "local-sync"
    assert Trainer(program, device="local-task")._device.uri == "local-task"


def test_one_core_and_all_compute_the_same_numbers(program: Path) -> None:
    one, every = (Trainer(program, device=device) for device in ("local-sync", "local-task"))
    rng = np.random.default_rng(1)
    for _ in range(4):
        x, y = rng.standard_normal((4, 3, 8, 8), dtype=np.float32), rng.integers(0, 5, 4)
        assert one.step(x, y, lr=0.1) == every.step(x, y, lr=0.1)
    kept, other = one.state_dict(), every.state_dict()
    assert all(np.array_equal(kept[name], other[name]) for name in kept)


@pytest.mark.parametrize("device", ["local-sync", "local-task"])
def test_arrays_are_read_wherever_they_lie(program: Path, device: str) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 3, 8, 8), dtype=np.float32), rng.integers(0, 5, 4)
    trainer, aligned = Trainer(program, device=device), Trainer(program, device=device)
    assert trainer.metadata.unaligned_inputs
    for offset in range(0, 64, 4):
        there = placed(x, offset), placed(y, 8 * (offset // 8))
        given: tuple[Any, Any] = placed(x, 0), placed(y, 0)
        assert np.array_equal(trainer.predict(there[0]), aligned.predict(given[0]))
        assert trainer.evaluate(*there)[0] == aligned.evaluate(*given)[0]
        assert trainer.step(*there, lr=0.1) == aligned.step(*given, lr=0.1)
    # None of them was copied.
    assert all(feed._staging is None for feed in trainer._feeds)
    # Within an element they may not lie: such an array is.
    assert trainer.step(placed(x, 2), y, lr=0.1) == aligned.step(x, y, lr=0.1)
    assert trainer._feeds[0]._staging is not None
