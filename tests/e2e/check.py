# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compile a task, train it for a few steps, and compare everything with PyTorch."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pock.compiler import Artifact, Optimizer, Scheme, TrainingProgram, TrainingTask, compile_program, trace
from pock.dialects.sparsebp import Mask, MaskKind
from pock.runtime import Trainer
from pock.targets import Target
from tests.e2e import reference

Torch = Callable[[list[Tensor]], torch.optim.Optimizer]


def batches_like(
    task: TrainingTask, count: int, draw: Callable[[int], reference.Batch] | None = None
) -> list[reference.Batch]:
    """``count`` batches of the task's shapes; floats are normal, integers up to the largest example."""
    return (
        [(_like(task.inputs, i), _like(task.targets, 100 + i)) for i in range(count)]
        if draw is None
        else [draw(i) for i in range(count)]
    )


def _like(tensors: Sequence[Tensor], seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(t.shape, generator=generator)
        if t.is_floating_point()
        else torch.randint(0, int(t.max()) + 1, t.shape, generator=generator).to(t.dtype)
        for t in tensors
    ]


def masks_of(artifact: Artifact) -> dict[str, tuple[Mask, int]]:
    """The mask and its axis of each trained parameter, from the artifact's metadata."""
    masks = {}
    for entry in artifact.metadata["state"]:
        if entry["kind"] == "parameter":
            mask = entry["mask"]
            masks[entry["name"]] = (
                Mask(MaskKind(mask["update"]), mask.get("dimension", ""), tuple(mask.get("indices", ()))),
                mask.get("axis", 0),
            )
    return masks


def check_training(
    folder: Path,
    task: TrainingTask,
    scheme: Scheme,
    optimizer: Optimizer,
    torch_optimizer: Torch,
    *,
    program: TrainingProgram | None = None,
    lr: float = 0.01,
    steps: int = 5,
    loss_tolerance: float = 1e-5,
    tolerance: float = 1e-4,
    shards: int = 1,
    ranks: int = 1,
    target: str | Target = "cpu",
) -> Artifact:
    """Train ``steps`` steps in both and compare losses, trained tensors, frozen channels, and an evaluation.

    Losses agree within ``loss_tolerance`` relative. Of every trained tensor, the value agrees within
    ``tolerance`` of its largest element, and so does what training changed, within ten times that of
    the largest change: a wrong gradient cannot hide behind a large weight. Frozen channels keep their bits.
    """
    program = program or trace(task)
    artifact = compile_program(program, scheme, optimizer, target, shards=shards, ranks=ranks)
    path = folder / "model.vmfb"
    artifact.save(path)
    trainer = Trainer(path, seed=7)
    batches = batches_like(task, steps)
    masks = masks_of(artifact)
    expected = reference.train(task, masks, torch_optimizer, batches, optimizer.clip_grad_norm, seed=7)

    losses = [
        trainer.step(*(t.numpy() for t in inputs), *(t.numpy() for t in targets), lr=lr)
        for inputs, targets in batches
    ]
    np.testing.assert_allclose(losses, expected.losses, rtol=loss_tolerance, atol=1e-7)
    state = trainer.state_dict()
    assert set(masks) <= set(state)
    for name, value in state.items():
        if name in expected.tensors:
            mask, axis = masks.get(name, (Mask.full(), 0))
            compare(name, value, expected.tensors[name], program.parameters.get(name), mask, axis, tolerance)
    _check_evaluation(task, trainer, batches[-1], loss_tolerance)
    return artifact


def _check_evaluation(
    task: TrainingTask, trainer: Trainer, batch: reference.Batch, loss_tolerance: float
) -> None:
    """Compare the loss and the outputs for a batch with PyTorch's for the same state."""
    arrays = [t.numpy() for tensors in batch for t in tensors]
    loss, outputs = trainer.evaluate(*arrays)
    found = outputs if isinstance(outputs, tuple) else (outputs,)
    wanted, expected = reference.evaluate(task, trainer.state_dict(), batch, seed=7, step=trainer.steps)
    np.testing.assert_allclose(loss, wanted, rtol=loss_tolerance, atol=1e-7)
    predicted = trainer.predict(*arrays[: len(task.inputs)])
    for got, again, want in zip(
        found, predicted if isinstance(predicted, tuple) else (predicted,), expected, strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4 * max(float(np.abs(want).max()), 1e-3))
        np.testing.assert_array_equal(got, again)


def compare(
    name: str,
    got: np.ndarray,
    want: np.ndarray,
    initial: np.ndarray | None,
    mask: Mask,
    axis: int,
    tolerance: float,
) -> None:
    """One tensor after training against PyTorch's."""
    if not np.issubdtype(want.dtype, np.floating):
        np.testing.assert_array_equal(got, want, err_msg=name)
        return
    scale = float(np.abs(want).max())
    assert float(np.abs(got - want).max()) <= tolerance * scale + 1e-7, name
    if initial is None:
        return
    if mask.is_sliced:
        kept = [i for i in range(got.shape[axis]) if i not in set(mask.positions())]
        np.testing.assert_array_equal(
            got.take(kept, axis), initial.take(kept, axis), err_msg=f"frozen part of {name}"
        )
    change, wanted = got - initial, want - initial
    # The difference of two f32 numbers cannot be better than their own rounding, step after step.
    rounding = 16 * np.finfo(np.float32).eps * scale
    largest = float(np.abs(wanted).max())
    assert float(np.abs(change - wanted).max()) <= 10 * tolerance * largest + rounding, f"change of {name}"
