# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tracing: what a training program holds, checked by running it with PyTorch."""

import copy
import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pock.compiler import TrainingProgram, TrainingTask, trace
from pock.compiler.frontend import trace as tracing
from pock.compiler.frontend.task import BatchNorm, TaskError
from pock.compiler.lowering import source_line
from pock.compiler.program import ProgramError
from pock.compiler.torch_ir import functions, operations
from pock.dialects.sparsebp import declarations
from tests.e2e import zoo
from tests.python.compiler.torch_interpreter import Interpreter


def interpreter(program: TrainingProgram) -> Interpreter:
    declared = declarations(program.module)
    return Interpreter(
        program.module, {n: torch.from_numpy(v) for n, v in program.parameters.items() if n in declared}
    )


def gradients(model: nn.Module, task: TrainingTask) -> tuple[Tensor, dict[str, Tensor]]:
    """PyTorch's loss and gradients; the model is in the mode that it is in."""
    model = copy.deepcopy(model)
    loss = task.loss(model(*task.inputs), *task.targets)
    loss.backward()
    return loss.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def check_against_pytorch(model: nn.Module, task: TrainingTask) -> Interpreter:
    program = trace(task)
    run = interpreter(program)
    got = run.run("step", *task.inputs, *task.targets)
    loss, expected = gradients(model, task)
    torch.testing.assert_close(got[0], loss, rtol=1e-5, atol=1e-6)
    assert set(run.gradients) == set(expected)
    for name, gradient in expected.items():
        torch.testing.assert_close(run.gradients[name], gradient, rtol=1e-4, atol=1e-5, msg=name)
    return run


class TwoInputs(nn.Module):
    """Several inputs, several outputs, a buffer, a parameter without a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 3), nn.Linear(5, 3)
        self.unused = nn.Linear(2, 2)
        self.register_buffer("offset", torch.arange(3.0))

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        x = torch.tanh(self.left(a)) * self.right(b) + self.offset
        return x, {"squared": x * x}


def two_targets(outputs: tuple[Tensor, dict[str, Tensor]], wanted: Tensor, label: Tensor) -> Tensor:
    return F.mse_loss(outputs[0], wanted) + F.cross_entropy(outputs[1]["squared"], label)


def test_several_inputs_targets_and_outputs() -> None:
    model = TwoInputs()
    task = TrainingTask(
        model,
        (torch.randn(6, 4), torch.randn(6, 5)),
        (torch.randn(6, 3), torch.randint(0, 3, (6,))),
        two_targets,
        target_names=("wanted", "label"),
    )
    check_against_pytorch(model, task)
    program = trace(task)
    assert [s.name for s in program.signature.inputs] == ["a", "b"]
    assert [(s.name, s.dtype) for s in program.signature.targets] == [
        ("wanted", "float32"),
        ("label", "int64"),
    ]
    assert [s.shape for s in program.signature.outputs] == [(6, 3), (6, 3)]
    # What no gradient reaches is not part of the program.
    assert not any(name.startswith("unused") for name in declarations(program.module))
    assert declarations(program.module)["offset"].role.value == "buffer"


def test_prediction_is_the_model_in_evaluation_mode() -> None:
    model = zoo.settle(zoo.ConvNet()).eval()
    task = TrainingTask(model, (torch.randn(2, 3, 16, 16),), (torch.tensor([0, 3]),), F.cross_entropy)
    run = interpreter(trace(task))
    with torch.no_grad():
        logits = model(*task.inputs)
    torch.testing.assert_close(run.run("predict", *task.inputs)[0], logits, rtol=1e-4, atol=1e-5)
    loss, outputs = run.run("evaluate", *task.inputs, *task.targets)
    torch.testing.assert_close(loss, F.cross_entropy(logits, task.targets[0]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(outputs, logits, rtol=1e-4, atol=1e-5)
    assert not model.training


class ByMode(nn.Module):
    """Multiplies by a constant, which may depend on the mode."""

    def __init__(self, evaluated: float) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.evaluated = evaluated

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        return y * torch.tensor([1.0, 2.0, 3.0 if self.training else self.evaluated])


def test_a_constant_of_the_evaluation_may_differ_from_that_of_the_same_name_in_training() -> None:
    torch.manual_seed(0)
    model, x, y = ByMode(5.0), torch.randn(2, 4), torch.randn(2, 3)
    task = TrainingTask(model, (x,), (y,), F.mse_loss)
    run = interpreter(trace(task))
    loss = run.run("step", x, y)[0]
    torch.testing.assert_close(loss, F.mse_loss(model.train()(x), y).detach())
    torch.testing.assert_close(run.run("predict", x)[0], model.eval()(x).detach())


SAME: dict[str, tuple[Callable[[], nn.Module], BatchNorm, bool]] = {
    "pools and batch norm": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
        ),
        "frozen",
        True,
    ),
    "batch norm in 2 modes": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten()),
        "train",
        False,
    ),
    "dropout": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.Flatten()), "frozen", False),
    "a constant": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 4), ByMode(3.0)), "frozen", True),
    "a constant of each": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 4), ByMode(-3.0)),
        "frozen",
        False,
    ),
}


@pytest.mark.parametrize("kind", SAME)
def test_what_training_and_evaluation_share_is_derived_once(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """And the program is the one that it would be else, location by location."""
    make, batch_norm, same = SAME[kind]
    torch.manual_seed(0)
    model, x = make(), torch.randn(2, 3, 8, 8)
    task = TrainingTask(model, (x,), (), lambda y: y.square().mean(), batch_norm=batch_norm)
    derived = []
    forward = tracing._forward
    monkeypatch.setattr(tracing, "_forward", lambda *given: derived.append(given) or forward(*given))
    once = trace(task)
    assert len(derived) == (0 if same else 1)
    monkeypatch.setattr(tracing, "_is_same", lambda *_: False)
    apart = trace(task)
    texts = [program.module.operation.get_asm(enable_debug_info=True) for program in (once, apart)]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("batch_norm", ["frozen", "train"])
def test_batch_norm_both_ways(batch_norm: str) -> None:
    model = zoo.settle(zoo.ConvNet())
    task = TrainingTask(
        model,
        (torch.randn(3, 3, 16, 16),),
        (torch.tensor([0, 1, 4]),),
        F.cross_entropy,
        batch_norm=batch_norm,  # type: ignore[arg-type]
    )
    reference = copy.deepcopy(model).train()
    if batch_norm == "frozen":
        reference.bn1.eval()
        reference.bn2.eval()
    run = check_against_pytorch(reference, task)
    reference(*task.inputs)
    for name, buffer in reference.named_buffers():
        if name in run.state:
            torch.testing.assert_close(run.state[name], buffer, msg=name)
    assert ("bn1.num_batches_tracked" in run.state) == (batch_norm == "train")


def test_tied_weights_are_one_parameter_with_the_sum_of_their_gradients() -> None:
    model = zoo.TiedLanguageModel()
    task = TrainingTask(
        model,
        (torch.randint(0, 13, (2, 5)),),
        (torch.randint(0, 13, (2, 5)),),
        lambda logits, y: F.cross_entropy(logits.transpose(1, 2), y),
    )
    check_against_pytorch(model, task)
    assert trace(task).signature.tied == {"head.weight": "embedding.weight"}


def test_residual_fan_out_adds_gradients() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(3):
                x = x + F.gelu(self.fc(x))
            return x

    model = Residual()
    check_against_pytorch(model, TrainingTask(model, (torch.randn(2, 4),), (torch.randn(2, 4),), F.mse_loss))


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 0.5, 2.0, 1.0]), label_smoothing=0.1),
        nn.CrossEntropyLoss(ignore_index=2, reduction="sum"),
        nn.NLLLoss(),
        lambda x, y: F.binary_cross_entropy_with_logits(x, F.one_hot(y, 4).float()),
        lambda x, y: F.cross_entropy(x, y, reduction="none").square().mean(),
        lambda x, y: F.smooth_l1_loss(x, F.one_hot(y, 4).float()),
        lambda x, y: F.huber_loss(x, F.one_hot(y, 4).float()),
        lambda x, y: F.kl_div(F.log_softmax(x, -1), F.softmax(x.detach() + 1, -1), reduction="batchmean"),
    ],
)
def test_losses(loss: object) -> None:
    model = nn.Linear(5, 4)
    check_against_pytorch(
        model, TrainingTask(model, (torch.randn(6, 5),), (torch.tensor([0, 1, 2, 3, 2, 2]),), loss)
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)),
        nn.Sequential(nn.Unflatten(1, (4, 2)), nn.GroupNorm(2, 4), nn.Flatten()),
        nn.Sequential(nn.Linear(8, 8), nn.RMSNorm(8)),
        nn.Sequential(nn.Unflatten(1, (4, 2)), nn.InstanceNorm1d(4, affine=True), nn.Flatten()),
        nn.Sequential(nn.Linear(8, 8), nn.Softplus(), nn.Linear(8, 8), nn.ELU(), nn.Linear(8, 8), nn.Mish()),
        nn.Sequential(
            nn.Unflatten(1, (2, 4)), nn.ConvTranspose1d(2, 3, 3, stride=2, padding=1), nn.Flatten()
        ),
        nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True),
    ],
    ids=lambda m: "-".join(type(x).__name__ for x in m) if isinstance(m, nn.Sequential) else type(m).__name__,
)
def test_layers(model: nn.Module) -> None:
    x = torch.randn(3, 8)
    wanted = torch.randn_like(model(x))
    check_against_pytorch(model, TrainingTask(model, (x,), (wanted,), F.mse_loss))


def test_every_operation_of_the_step_has_the_users_source_line() -> None:
    task = TrainingTask(zoo.ConvNet(), (torch.randn(1, 3, 16, 16),), (torch.tensor([1]),), F.cross_entropy)
    program = trace(task)
    step = functions(program.module)["step"]
    backward = operations(step, "torch.aten.convolution_backward")
    assert backward
    lines = Path(zoo.__file__).read_text().splitlines()
    for op in [*backward, *operations(step, "torch.aten.convolution")]:
        location = str(op.operation.location)
        assert "zoo.py" in location
        number = int(location.split('zoo.py":')[1].split(":")[0])
        assert "self." in lines[number - 1], lines[number - 1]
        assert "site-packages" not in location


def tripled(x: Tensor) -> Tensor:
    return x + torch.lgamma(x.abs() + 1)  # the helper


def summed(x: Tensor) -> Tensor:
    return torch.special.i0(x).sum()  # the loss


def test_source_lines_are_those_of_helpers_and_losses_too() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return tripled(self.fc(x))

    program = trace(TrainingTask(Model(), (torch.randn(1, 2),), (), summed))
    step = functions(program.module)["step"]
    places = {
        str(op.operation.attributes["name"]): str(op.operation.location)
        for op in operations(step, "torch.operator")
    }
    for name, comment in (("lgamma", "# the helper"), ("digamma", "# the helper"), ("i0", "# the loss")):
        file, line = line_of(comment).rsplit(":", 1)
        assert f'"{file}":{line}:' in places[f'"torch.aten.{name}"'].split(" at ")[0]


def test_a_model_without_code_of_its_own_has_the_source_lines_of_its_layers() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU6(), nn.Flatten())
    program = trace(TrainingTask(model, (torch.randn(1, 3, 4, 4),), (), lambda y: y.square().mean()))
    step = functions(program.module)["step"]
    for layer, names in (
        (nn.Conv2d, ("convolution", "convolution_backward")),
        (nn.ReLU6, ("hardtanh", "bitwise_or.Tensor")),
        (nn.Flatten, ("view",)),
    ):
        lines, first = inspect.getsourcelines(layer.forward)
        places = {f"{inspect.getsourcefile(layer.forward)}:{first + i}" for i in range(len(lines))}
        for name in names:
            found = operations(step, f"torch.aten.{name}")
            assert found and all(source_line(op.operation.location) in places for op in found)


def test_dropout_differs_from_step_to_step_and_repeats_from_the_same_state() -> None:
    program = trace(
        TrainingTask(zoo.MLP(p=0.5), (torch.randn(4, 12),), (torch.tensor([0, 1, 2, 3]),), F.cross_entropy)
    )
    batch = (torch.randn(4, 12), torch.tensor([0, 1, 2, 3]))
    first, again = interpreter(program), interpreter(program)
    losses = [float(first.run("step", *batch)[0]) for _ in range(4)]
    assert len(set(losses)) == 4
    assert losses == [float(again.run("step", *batch)[0]) for _ in range(4)]
    assert int(first.state["#step"]) == 4


def test_a_program_is_saved_and_loaded_without_loss(tmp_path: Path) -> None:
    task = TrainingTask(zoo.MLP(), (torch.randn(2, 12),), (torch.tensor([0, 1]),), F.cross_entropy)
    program = trace(task)
    program.save(tmp_path / "a.pock")
    loaded = TrainingProgram.load(tmp_path / "a.pock")
    assert loaded.text() == program.text()
    assert loaded.signature == program.signature
    for name, value in program.parameters.items():
        np.testing.assert_array_equal(loaded.parameters[name], value)
    loaded.save(tmp_path / "b.pock")
    assert (tmp_path / "a.pock").read_bytes() == (tmp_path / "b.pock").read_bytes()


def test_broken_program_files_are_refused_in_one_line(tmp_path: Path) -> None:
    task = TrainingTask(nn.Linear(3, 2), (torch.randn(2, 3),), (torch.tensor([0, 1]),), F.cross_entropy)
    whole = tmp_path / "a.pock"
    trace(task).save(whole)
    data = whole.read_bytes()
    broken = tmp_path / "b.pock"
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 4
    for bad in (b"", b"PK", data[: len(data) // 2], data[:-10], bytes(flipped), b"module {}"):
        broken.write_bytes(bad)
        with pytest.raises(ProgramError) as error:
            TrainingProgram.load(broken)
        assert "\n" not in str(error.value) and "b.pock" in str(error.value)
    with pytest.raises(ProgramError, match="no such file"):
        TrainingProgram.load(tmp_path / "none.pock")


def test_an_exported_program_is_a_model(tmp_path: Path) -> None:
    model = zoo.settle(zoo.ConvNet())
    x, y = torch.randn(2, 3, 16, 16), torch.tensor([0, 3])
    torch.export.save(torch.export.export(model.eval(), (x,)), tmp_path / "model.pt2")
    for batch_norm in ("frozen", "train"):
        task = TrainingTask(tmp_path / "model.pt2", (x,), (y,), F.cross_entropy, batch_norm=batch_norm)  # type: ignore[arg-type]
        run = interpreter(trace(task))
        loss = run.run("step", x, y)[0]
        reference = copy.deepcopy(model).train()
        if batch_norm == "frozen":
            reference.bn1.eval()
            reference.bn2.eval()
        expected, wanted = gradients(reference, task)
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
        assert set(run.gradients) == set(wanted)
        for name, gradient in wanted.items():
            torch.testing.assert_close(run.gradients[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_a_model_file_is_never_unpickled(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (Path(tmp_path / "owned"),))  # type: ignore[return-value]

    hostile = tmp_path / "hostile.pt2"
    torch.save({"model": Payload()}, hostile)
    with pytest.raises(TaskError, match=r"hostile\.pt2: cannot be read"):
        TrainingTask(hostile, (torch.randn(1),), (), F.mse_loss)
    assert not (tmp_path / "owned").exists()


# -- mistakes -----------------------------------------------------------------------------------


class Broken(nn.Module):
    """A linear layer and something that cannot be trained."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.fc, self.kind = nn.Linear(4, 4), kind

    def forward(self, x: Tensor) -> object:
        x = self.fc(x)
        if self.kind == "no gradient":
            x = torch.heaviside(x, x)  # the first
            return x + torch.heaviside(x + 1, x)  # the second
        if self.kind == "random":
            return x + torch.randperm(4)
        if self.kind == "raises":
            raise KeyError("gone")
        if self.kind == "branches":
            return x if x.sum() > 0 else -x
        return {"number": 3, "mean": x.mean()}[self.kind]


def line_of(text: str) -> str:
    """``file:line`` in this file of the line that holds ``text``."""
    lines = Path(__file__).read_text().splitlines()
    return (
        f"{__file__}:{next(i for i, line in enumerate(lines, 1) if text in line and 'line_of' not in line)}"
    )


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "no gradient",
            ["2 operations have no gradient", "heaviside", line_of("# the first"), line_of("# the second")],
        ),
        ("random", ["random numbers", "aten.randperm", line_of("x + torch.randperm(4)")]),
        ("raises", [line_of('KeyError("gone")'), "KeyError: 'gone'"]),
        ("branches", [line_of("x.sum() > 0"), "cannot be traced for training"]),
        ("number", ["must return tensors", "int"]),
        ("mean", ["cannot be traced for training"]),
    ],
)
def test_models_that_cannot_be_trained(kind: str, message: list[str]) -> None:
    task = TrainingTask(Broken(kind), (torch.randn(3, 4),), (torch.tensor([0, 1, 2]),), F.cross_entropy)
    with pytest.raises(TaskError) as error:
        trace(task)
    for part in message:
        assert part in str(error.value), str(error.value)
    assert "\n" not in str(error.value)


def test_a_parameter_cannot_have_the_name_of_an_entry_point() -> None:
    model = nn.Linear(2, 2)
    model.step = nn.Parameter(torch.ones(2))
    with pytest.raises(TaskError, match="a tensor named 'step'"):
        trace(TrainingTask(model, (torch.randn(1, 2),), (torch.randn(1, 2),), F.mse_loss))


def test_an_autoencoder_may_give_its_input_as_target() -> None:
    """The example's input and target are one tensor, a batch's are not."""
    x, y, model = torch.randn(3, 4), torch.randn(3, 4), nn.Linear(4, 4)
    run = interpreter(trace(TrainingTask(model, (x,), (x,), F.mse_loss)))
    torch.testing.assert_close(run.run("step", x, y)[0], F.mse_loss(model(x), y).detach())


def test_the_loss_must_be_a_scalar() -> None:
    task = TrainingTask(nn.Linear(2, 2), (torch.randn(1, 2),), (torch.randn(1, 2),), lambda x, y: x - y)
    with pytest.raises(TaskError, match=r"floating-point scalar, got torch.float32 \[1, 2\]"):
        trace(task)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": ()}, "inputs is empty"),
        ({"inputs": (1,)}, "input 0 must be a tensor, got int"),
        ({"batch_norm": "off"}, "'frozen' or 'train', got 'off'"),
        ({"loss": 3}, "loss must be callable"),
        ({"model": 3}, "model must be"),
        ({"model": "missing.pt2"}, "missing.pt2: no such file"),
    ],
)
def test_tasks_that_are_none(arguments: dict[str, object], message: str) -> None:
    whole = {"model": nn.Linear(2, 2), "inputs": (torch.randn(1, 2),), "targets": (), "loss": F.mse_loss}
    with pytest.raises(TaskError, match=message):
        TrainingTask(**{**whole, **arguments})  # type: ignore[arg-type]
