# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which layer an operation comes from: in shared modules, sums of gradients, losses and exported programs."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pock.compiler import TrainingProgram, TrainingTask, trace
from pock.compiler.source import LOSS, MODEL, Part, Source, sources_of
from pock.compiler.torch_ir import functions, operations

X, Y = torch.randn(2, 4), torch.tensor([0, 2])


class Net(nn.Module):
    """A layer that is used twice, a residual, and a layer that is named like the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(4, 4)
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
        self.loss = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.shared(torch.sin(self.shared(x)))
        return self.loss(y + self.inner(y))


class Loss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Linear(3, 3)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(self.scale(output), target)


def found(program: TrainingProgram, name: str) -> dict[str, set[Source]]:
    """The sources of each kind of operation in a step."""
    sources: dict[str, set[Source]] = {}
    for op in operations(functions(program.module)["step"]):
        if op.operation.name == name:
            sources.setdefault(name, set()).update(sources_of(op.operation.location))
    return sources


def layers(program: TrainingProgram, part: Part) -> set[str]:
    step = operations(functions(program.module)["step"])
    return {s.layer for op in step for s in sources_of(op.operation.location) if s.part == part}


def test_layers_have_their_paths() -> None:
    program = trace(TrainingTask(Net(), (X,), (Y,), F.cross_entropy))
    own = {"shared", "inner.0", "inner.1", "loss"}
    assert layers(program, Part.FORWARD) == {*own, MODEL, LOSS}
    assert layers(program, Part.BACKWARD) == {*own, MODEL, LOSS}
    assert layers(program, Part.UPDATE) == {"shared", "inner.0", "loss"}


def test_every_operation_of_the_step_has_a_layer() -> None:
    program = trace(TrainingTask(Net(), (X,), (Y,), F.cross_entropy))
    computing = [
        op
        for op in operations(functions(program.module)["step"])
        if op.operation.name.startswith("torch.aten.") or op.operation.name == "sparsebp.update"
    ]
    assert len(computing) > 30
    assert all(len(sources_of(op.operation.location)) == 1 for op in computing)


def test_the_model_itself_is_what_no_layer_is() -> None:
    program = trace(TrainingTask(Net(), (X,), (Y,), F.cross_entropy))
    assert found(program, "torch.aten.sin") == {"torch.aten.sin": {Source(Part.FORWARD, MODEL)}}
    assert found(program, "torch.aten.cos") == {"torch.aten.cos": {Source(Part.BACKWARD, MODEL)}}


def test_layers_of_a_loss() -> None:
    program = trace(TrainingTask(nn.Sequential(nn.Linear(4, 3)), (X,), (Y,), Loss()))
    assert "loss.scale" in layers(program, Part.BACKWARD)
    assert layers(program, Part.UPDATE) == {"0", "loss.scale"}


def test_layers_of_an_exported_program() -> None:
    exported = torch.export.export(Net(), (X,))
    program = trace(TrainingTask(exported, (X,), (Y,), F.cross_entropy))
    own = {"shared", "inner.0", "inner.1", "loss"}
    assert own <= layers(program, Part.FORWARD) and own <= layers(program, Part.BACKWARD)
    assert layers(program, Part.UPDATE) == {"shared", "inner.0", "loss"}


def test_a_saved_program_has_its_layers(tmp_path: object) -> None:
    program = trace(TrainingTask(Net(), (X,), (Y,), F.cross_entropy))
    program.save(f"{tmp_path}/net.pock")
    loaded = TrainingProgram.load(f"{tmp_path}/net.pock")
    for part in Part:
        assert layers(loaded, part) == layers(program, part)
