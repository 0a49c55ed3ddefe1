# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The stages of the compiler as text, what is refused, and what an artifact says of itself."""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pock.compiler import (
    SGD,
    AdamW,
    Artifact,
    Emit,
    Scheme,
    TrainingProgram,
    TrainingTask,
    codegen,
    lowering,
    pipeline,
    trace,
)
from pock.compiler.analysis.declared import symbol_of
from pock.compiler.codegen import CodegenError
from pock.compiler.errors import PassFailure, PockError, UsageError
from pock.compiler.lowering import LoweringError
from pock.compiler.opt import parse_module, run_pipeline
from pock.compiler.pipeline import PARAMETERS, compile_program, emit
from pock.compiler.stages import masked
from pock.compiler.stages import pruned as pruning
from pock.compiler.torch_ir import defining_op, functions, operations
from pock.dialects import sparsebp
from pock.dialects.types import shape_of
from pock.runtime import Trainer
from pock.runtime.errors import ArtifactError
from pock.runtime.metadata import Metadata
from tests.e2e import zoo


def rules(*given: tuple[str, object]) -> Scheme:
    return Scheme.from_dict({"version": 1, "rules": [{"match": m, "update": u} for m, u in given]})


@cache
def traced(name: str) -> TrainingProgram:
    torch.manual_seed(0)
    return trace(
        {
            "conv": lambda: TrainingTask(
                zoo.settle(zoo.ConvNet()),
                (torch.randn(2, 3, 16, 16),),
                (torch.tensor([0, 3]),),
                F.cross_entropy,
            ),
            "mobilenet": lambda: TrainingTask(
                zoo.settle(zoo.MobileNetV2(10, 0.35)),
                (torch.randn(1, 3, 32, 32),),
                (torch.tensor([0]),),
                F.cross_entropy,
            ),
            "mlp": lambda: TrainingTask(
                zoo.MLP(), (torch.randn(3, 12),), (torch.tensor([0, 1, 2]),), F.cross_entropy
            ),
            "tied": lambda: TrainingTask(
                zoo.TiedLanguageModel(),
                (torch.arange(12).view(2, 6),),
                (torch.arange(12).view(2, 6),),
                lambda logits, y: F.cross_entropy(logits.transpose(1, 2), y),
            ),
        }[name]()
    )


CONV_SCHEME = rules(
    ("dilated.weight", {"channels": "2:5"}), ("grouped.bias", "full"), ("classifier.*", "full")
)


# -- stages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [stage for stage in Emit if stage is not Emit.VMFB])
@pytest.mark.parametrize(("model", "scheme"), [("conv", CONV_SCHEME), ("tied", Scheme.full())])
def test_stages_are_text_that_parses_to_itself(model: str, scheme: Scheme, stage: Emit) -> None:
    text = emit(traced(model), stage, scheme, SGD(momentum=0.9))
    module = parse_module(text, sparsebp.context())
    assert str(module) == text
    again = parse_module(str(module), sparsebp.context())
    assert str(again) == text
    assert text == emit(traced(model), stage, scheme, SGD(momentum=0.9))


def test_nothing_of_the_torch_and_sparsebp_dialects_reaches_iree() -> None:
    text = emit(traced("conv"), Emit.LINALG, CONV_SCHEME, SGD())
    # Names in quotes are attributes and generic operations, all others are types and operations.
    assert not re.findall(r"(?<!@)\b(?:torch|torch_c|sparsebp|tm_tensor)\.\w+", text)
    assert "iree.abi.output" in text and '"util.global"()' in text


def test_stages_hold_what_they_say() -> None:
    program = traced("conv")
    texts = {stage: emit(program, stage, CONV_SCHEME, SGD()) for stage in list(Emit)[:4]}
    assert '<"range", "input_channels", array<i64: 2, 5>>' not in texts[Emit.TORCH]
    assert "torch.aten.convolution_backward" in texts[Emit.TORCH]
    assert '<"range", "input_channels", array<i64: 2, 5>>' in texts[Emit.SPARSEBP]
    assert "sparsebp.conv_input_grad" in texts[Emit.SPARSEBP]
    assert (
        texts[Emit.SPARSEBP].count('"sparsebp.update"') > texts[Emit.PRUNED].count('"sparsebp.update"') == 4
    )


# -- the backward pass ends where the scheme ends -----------------------------------------------


def line_of(text: str) -> int:
    lines = Path(zoo.__file__).read_text().splitlines()
    (number,) = [i for i, line in enumerate(lines, 1) if text in line]
    return number


def pruned(program: TrainingProgram, scheme: Scheme) -> Any:
    """The pruned ``@step``."""
    module = program.copy_module()
    run_pipeline(module, [*masked(scheme), *pruning()])
    step = functions(module)["step"]
    step.module = module  # keeps it alive
    return step


def lines(step: Any, name: str) -> list[int]:
    """The lines of zoo.py that the operations of a name come from, in order."""
    return [int(re.findall(r'zoo.py":(\d+)', str(op.operation.location))[0]) for op in operations(step, name)]


def producer(op: Any, operand: int) -> Any:
    return defining_op(op.operation.operands[operand])


def activation(step: Any, line: int) -> Any:
    """What the convolution of a line of zoo.py takes."""
    forward = [
        op
        for op in operations(step, "torch.aten.convolution")
        if f'zoo.py":{line}:' in str(op.operation.location)
    ]
    return forward[0].operation.operands[0]


def test_a_sparse_scheme_leaves_no_gradient_below_it() -> None:
    step = pruned(traced("conv"), CONV_SCHEME)
    dilated, grouped = line_of("self.dilated(x)"), line_of("self.grouped(x)")
    # Of the seven convolutions one has a trained weight, and the gradient goes through one to reach it.
    assert lines(step, "sparsebp.conv_weight_grad") == [dilated]
    assert lines(step, "sparsebp.conv_input_grad") == [grouped]
    assert not operations(step, "torch.aten.convolution_backward")
    assert not operations(step, "sparsebp.max_pool_grad")
    updated = [symbol_of(op) for op in operations(step, "sparsebp.update")]
    assert sorted(updated) == ["classifier.bias", "classifier.weight", "dilated.weight", "grouped.bias"]


def test_a_channel_mask_slices_the_saved_activation() -> None:
    step = pruned(traced("conv"), CONV_SCHEME)
    (gradient,) = operations(step, "sparsebp.conv_weight_grad")
    assert shape_of(gradient.operation.results[0].type) == (8, 3, 3, 3)
    saved = [producer(gradient, i) for i in range(2)]
    (slice_,) = [op for op in saved if op is not None and op.operation.name == "sparsebp.select_channels"]
    assert shape_of(slice_.operation.results[0].type) == (2, 3, 4, 4)
    whole = slice_.operation.operands[0]
    assert whole == activation(step, line_of("self.dilated(x)"))
    # Nothing of the backward pass keeps the whole activation: its users stand in front of the loss.
    order = {op.operation: i for i, op in enumerate(operations(step))}
    last_forward = max(order[op.operation] for op in operations(step, "torch.aten.convolution"))
    assert all(order[use.owner.operation] <= last_forward for use in whole.uses)


def test_mobilenet_ends_where_its_scheme_ends() -> None:
    program = traced("mobilenet")
    # The last four blocks' first pointwise convolutions, in part, and biases of the rest.
    blocks = range(14, 18)
    scheme = rules(
        *((f"features.{i}.conv.0.0.weight", {"channels": 0.25}) for i in blocks),
        *((f"features.{i}.conv.3.bias", "full") for i in blocks),
        ("classifier.*", "full"),
    )
    step = pruned(program, scheme)
    gradients = operations(step, "sparsebp.conv_weight_grad")
    assert len(gradients) == len(blocks)
    for gradient in gradients:
        slices = [producer(gradient, i) for i in range(2)]
        assert "sparsebp.select_channels" in [op.operation.name for op in slices if op is not None]
    # From the top: the last convolution, three of each block, and of the lowest trained block only
    # those above its first convolution.
    assert len(operations(step, "sparsebp.conv_input_grad")) == 1 + 3 * len(blocks) - 1


def test_a_scheme_that_trains_nothing_has_no_backward_pass(tmp_path: Path) -> None:
    step = pruned(traced("mlp"), Scheme.none())
    assert not operations(step, "sparsebp.update")
    assert len(operations(step, "torch.aten.mm")) == 3
    artifact = compile_program(traced("mlp"), Scheme.none())
    artifact.save(tmp_path / "frozen.vmfb")
    trainer = Trainer(tmp_path / "frozen.vmfb")
    x, y = np.zeros((3, 12), np.float32), np.array([0, 1, 2])
    assert np.isfinite(trainer.step(x, y)) and not trainer.state_dict()


# -- what cannot be lowered ---------------------------------------------------------------------


def helper(x: Tensor) -> Tensor:
    return torch.lgamma(x.abs() + 1)  # first helper


class Unlowered(nn.Module):
    """Operations that have a gradient but no lowering."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(x)
        x = x + x.median(1, keepdim=True).values  # second median
        return helper(x) + x.cumsum(1)  # third sum


def unlowered_loss(x: Tensor) -> Tensor:
    return torch.special.i0(x).sum()  # fourth loss


def here(comment: str) -> str:
    source = Path(__file__).read_text().splitlines()
    (number,) = [i for i, line in enumerate(source, 1) if line.endswith(f"# {comment}")]
    return f"{__file__}:{number}"


def test_every_operation_without_a_lowering_is_named_before_iree_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codegen, "_run", lambda *_: pytest.fail("iree-compile was run"))
    program = trace(TrainingTask(Unlowered(), (torch.randn(2, 4),), (), unlowered_loss))
    with pytest.raises(LoweringError) as error:
        compile_program(program)
    message = str(error.value)
    assert "\n" not in message and "operations have no lowering: " in message
    for name, comment in [
        ("aten.lgamma", "first helper"), ("aten.digamma", "first helper"),
        ("aten.median.dim", "second median"), ("aten.cumsum", "third sum"), ("aten.i0", "fourth loss"),
    ]:  # fmt: skip
        assert f"{name} at {here(comment)}" in message
    assert "aten.add" not in message and "aten.mm" not in message
    # What a scheme leaves out needs no lowering.
    with pytest.raises(LoweringError) as error:
        compile_program(program, Scheme.none())
    assert "aten.digamma" not in str(error.value)


def normalized(x: Tensor) -> Tensor:
    low, high = x.quantile(0.25, dim=-1, keepdim=True), x.sort(-1).values[:, -1:]  # sorted twice
    return ((x - low) / high).sum()


def test_scatters_along_a_negative_dimension_are_named_and_crash_nothing() -> None:
    program = trace(TrainingTask(nn.Linear(3, 3), (torch.randn(2, 3),), (), normalized))
    with pytest.raises(LoweringError) as error:
        emit(program, Emit.LINALG, Scheme.full(), SGD())
    place = here("sorted twice")
    for name in ("sort", "scatter_add", "scatter.src"):
        assert f"aten.{name} at {place}" in str(error.value)


def test_one_operation_without_a_lowering_is_one() -> None:
    task = TrainingTask(nn.Linear(3, 3), (torch.randn(2, 3),), (), lambda x: torch.special.i0e(x).sum())
    with pytest.raises(LoweringError, match=r"^1 operation has no lowering: aten\.\w*i0e at .*\.py:\d+$"):
        emit(trace(task), Emit.LINALG, rules(("bias", "none")), SGD())


def test_a_failure_that_no_operation_has_alone_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise PassFailure("failed", ["net.py:3:4: error: cannot do it: %1 =\n\n%2 = ...", "note: more"])

    monkeypatch.setattr(lowering, "unlowered", lambda module: [])
    run = lowering.run_pipeline
    monkeypatch.setattr(
        lowering,
        "run_pipeline",
        lambda module, stages, **how: fail() if stages is lowering.TO_LINALG else run(module, stages, **how),
    )
    with pytest.raises(LoweringError) as error:
        emit(traced("mlp"), Emit.LINALG, Scheme.none(), SGD())
    assert str(error.value) == "the program cannot be lowered: net.py:3:4: error: cannot do it: %1 ="


# -- metadata -----------------------------------------------------------------------------------


def test_metadata_is_whole_and_the_runtime_reads_it(tmp_path: Path) -> None:
    program = traced("conv")
    artifact = compile_program(program, CONV_SCHEME, AdamW(weight_decay=0.1), target="cpu")
    (path,) = artifact.save(tmp_path / "conv.vmfb")
    metadata = Trainer(path).metadata
    assert metadata == Metadata.from_json(json.dumps(artifact.metadata))
    assert (metadata.model, metadata.target, metadata.device) == ("ConvNet", "cpu", "local-task")
    assert [(s.name, s.shape, str(s.dtype)) for s in metadata.inputs] == [("x", (2, 3, 16, 16), "float32")]
    assert [(s.shape, str(s.dtype)) for s in metadata.targets] == [((2,), "int64")]
    assert [(s.shape, str(s.dtype)) for s in metadata.outputs] == [((2, 5), "float32")]
    assert [(h.name, h.default) for h in metadata.hyperparameters] == [("lr", None)]
    assert metadata.scheme == CONV_SCHEME.to_dict() and metadata.optimizer["name"] == "adamw"
    assert set(metadata.versions) == {"torch", "torch-mlir", "iree-base-compiler"}
    state = {s.name: s for s in metadata.state}
    weight = state["dilated.weight"]
    assert (weight.kind, weight.shape, str(weight.mask)) == (
        "parameter", (8, 8, 3, 3), "range [2, 5] of axis 1",
    )  # fmt: skip
    slots = {(s.parameter, s.slot): s for s in metadata.state if s.kind == "optimizer" and s.parameter}
    moments = [spec for (name, _), spec in slots.items() if name == "dilated.weight"]
    # The optimizer's state has the slice's shape.
    assert [spec.shape for spec in moments] == [(8, 3, 3, 3)] * 2
    assert {name for name, _ in slots} == {
        "classifier.bias",
        "classifier.weight",
        "dilated.weight",
        "grouped.bias",
    }
    memory = metadata.memory
    assert memory["state"] == sum(int(np.prod(s.shape)) * s.dtype.itemsize for s in metadata.state)
    assert memory["transient"] > 0 and memory["copied_state"] == []
    assert metadata.parameters.storage == "embedded"


def test_the_runtime_learns_how_much_a_step_does() -> None:
    artifact = compile_program(traced("mlp"), Scheme.full())
    dispatches = [command for command in artifact.commands if command.kind == "dispatch"]
    work = artifact.metadata["work"]
    assert work["dispatches"] == len(dispatches) > 5
    assert work["bytes"] == sum(command.read + command.written for command in dispatches)
    # Forward and twice backward of three layers, but for the first one's input: two for each weight and row.
    rows, weights = 3, (12 * 16, 16 * 16, 16 * 4)
    products = 2 * rows * (3 * sum(weights) - weights[0])
    assert products < work["flops"] == sum(command.flops for command in dispatches) < 2 * products


def test_tied_names_are_in_the_metadata() -> None:
    artifact = compile_program(traced("tied"), rules(("embedding.weight", "full")))
    assert artifact.metadata["tied"] == {"head.weight": "embedding.weight"}


# -- dtypes -------------------------------------------------------------------------------------


class Net(nn.Module):
    """Two layers with an activation between them."""

    def __init__(self, activation: type[nn.Module] = nn.Sigmoid) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 8), activation(), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def network(dtype: torch.dtype, activation: type[nn.Module] = nn.Sigmoid) -> TrainingTask:
    torch.manual_seed(3)
    return TrainingTask(
        Net(activation).to(dtype),
        (torch.randn(4, 6, dtype=dtype),),
        (torch.tensor([0, 1, 2, 0]),),
        lambda logits, y: F.cross_entropy(logits.float() if dtype != torch.float64 else logits, y),
    )


def array(tensor: Tensor) -> np.ndarray:
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.detach().numpy()


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-8), (torch.bfloat16, 2.0**-7), (torch.float16, 2.0**-9)]
)
def test_other_precisions_train_as_in_pytorch(tmp_path: Path, dtype: torch.dtype, tolerance: float) -> None:
    task = network(dtype)
    artifact = compile_program(trace(task), optimizer=SGD(momentum=0.5))
    artifact.save(tmp_path / "net.vmfb")
    trainer = Trainer(tmp_path / "net.vmfb")
    model = task.model
    assert isinstance(model, nn.Module)
    # The learning rate is a float32: one that is exact keeps the comparison in the program's precision.
    optimizer = torch.optim.SGD(model.parameters(), lr=0.25, momentum=0.5)
    for _ in range(4):
        optimizer.zero_grad()
        loss = task.loss(model(*task.inputs), *task.targets)
        loss.backward()
        optimizer.step()
        got = trainer.step(*(array(t) for t in (*task.inputs, *task.targets)), lr=0.25)
        assert got == pytest.approx(float(loss.detach()), rel=4 * tolerance)
    for name, parameter in model.named_parameters():
        value, want = trainer.state_dict()[name], array(parameter.detach())
        assert value.dtype == want.dtype
        difference = np.abs(value.astype(np.float64) - want.astype(np.float64)).max()
        assert difference <= 4 * tolerance * np.abs(want.astype(np.float64)).max(), name


@pytest.mark.parametrize("target", ["vulkan", "metal"])
def test_a_target_without_double_precision_says_what_is(target: str) -> None:
    with pytest.raises(UsageError) as error:
        compile_program(trace(network(torch.float64)), rules(("layers.0.*", "full")), target=target)
    assert str(error.value) == (
        f"target '{target}' does not compute in float64, which is the dtype of input 'x', output 'output', "
        "parameter 'layers.0.weight' and 3 more; convert the task to float32"
    )


def test_a_kernel_of_more_buffers_than_the_runtime_binds_is_refused() -> None:
    model, x = nn.Linear(5, 33).half(), torch.ones(4, 5, dtype=torch.float16)

    def loss_of(rows: Callable[[list[Tensor]], Tensor]) -> TrainingTask:
        return TrainingTask(model, (x,), (), lambda y: rows([row.sum() for row in y.T]).sum())

    with pytest.raises(CodegenError) as raised:
        compile_program(trace(loss_of(lambda rows: torch.stack([row.float() for row in rows]))))
    message = r"kernel @step_\w+ uses \d+ buffers; IREE's runtime binds 32: .*; stack them before .*"
    assert re.fullmatch(message, str(raised.value))
    compile_program(trace(loss_of(lambda rows: torch.stack(rows).float())))


def test_a_function_without_double_precision_is_named() -> None:
    with pytest.raises(codegen.CodegenError, match=r"^the target has no tanh in this precision; use float32"):
        compile_program(trace(network(torch.float64, nn.Tanh)), Scheme.none())


# -- external parameters ------------------------------------------------------------------------


def compiled(parameters: str, output: str = "net.vmfb") -> Artifact:
    scheme = rules(("layers.2.*", "full"))
    program = trace(network(torch.float32))
    return compile_program(program, scheme, SGD(momentum=0.9), parameters=parameters, output=output)


def losses(trainer: Trainer) -> list[float]:
    generator = np.random.default_rng(5)
    batches = [generator.standard_normal((4, 6)).astype(np.float32) for _ in range(3)]
    return [trainer.step(x, np.array([2, 1, 0, 2]), lr=0.1) for x in batches]


def test_external_parameters_give_the_same_bits_and_no_other_file_does(tmp_path: Path) -> None:
    inside, outside = compiled("embedded"), compiled("external", "net.vmfb")
    assert inside.archive is None and outside.archive is not None
    inside.save(tmp_path / "inside.vmfb")
    program, archive = outside.save(tmp_path / "net.vmfb")
    assert archive == tmp_path / "net.safetensors"
    first, second = Trainer(tmp_path / "inside.vmfb"), Trainer(program)
    assert losses(first) == losses(second)
    for name, value in first.state_dict(optimizer=True).items():
        np.testing.assert_array_equal(value, second.state_dict(optimizer=True)[name])

    # A frozen weight is there as it is read, under a name of its own.
    stored = {name.split(":")[0] for name in safetensors.numpy.load_file(archive)}
    assert stored == {"layers.0.bias", "layers.0.weight", "layers.2.bias", "layers.2.weight"}

    data = archive.read_bytes()
    flipped = bytearray(data)
    flipped[-3] ^= 1
    for wrong in (bytes(flipped), data[:-1], b""):
        archive.write_bytes(wrong)
        with pytest.raises(ArtifactError, match=r"net\.safetensors is not the parameter archive") as error:
            Trainer(program)
        assert "\n" not in str(error.value)
    archive.unlink()
    with pytest.raises(ArtifactError, match=r"cannot read .*net\.safetensors"):
        Trainer(program)
    with pytest.raises(UsageError, match=r"give compile_program output='other\.vmfb'"):
        outside.save(tmp_path / "other.vmfb")
    assert not (tmp_path / "other.vmfb").exists()


class Causal(nn.Module):
    """A buffer of truth values, as attention has for what comes later."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.register_buffer("later", torch.ones(4, 4, dtype=torch.bool).triu(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x).masked_fill(self.later, -1.0)


@pytest.mark.parametrize("storage", PARAMETERS)
def test_frozen_truth_values_are_stored_like_any_others(tmp_path: Path, storage: str) -> None:
    torch.manual_seed(0)
    model, x = Causal(), torch.randn(4, 4)
    program = trace(TrainingTask(model, (x,), (), lambda y: y.square().mean()))
    compile_program(program, parameters=storage).save(tmp_path / "model.vmfb")
    found = Trainer(tmp_path / "model.vmfb").predict(x.numpy())
    np.testing.assert_allclose(found, model(x).detach().numpy(), rtol=1e-5)


def test_the_program_cannot_be_its_own_archive() -> None:
    with pytest.raises(UsageError, match=r"net\.safetensors is where the parameters would be"):
        compiled("external", "net.safetensors")
    with pytest.raises(UsageError, match="'embedded' or 'external', got 'elsewhere'"):
        compiled("elsewhere")


def test_program_and_archive_are_replaced_together(tmp_path: Path) -> None:
    artifact = compiled("external")
    (tmp_path / "net.vmfb").write_bytes(b"before")
    (tmp_path / "net.safetensors").mkdir()  # cannot be replaced by a file
    with pytest.raises(PockError, match="cannot write"):
        artifact.save(tmp_path / "net.vmfb")
    assert (tmp_path / "net.vmfb").read_bytes() == b"before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.safetensors", "net.vmfb"]


def test_only_what_is_read_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[codegen.Request] = []

    def stop(request: codegen.Request, *_: object) -> None:
        given.append(request)
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "generate", stop)
    with pytest.raises(KeyboardInterrupt):
        compile_program(traced("conv"), Scheme.none())
    stored = set(safetensors.numpy.load(given[0].parameters))
    assert stored == set(re.findall(r'#flow.parameter.named<"model"::"([^"]+)">', given[0].text))
    assert {name.split(":")[0] for name in stored} < set(traced("conv").parameters)
    assert not any("num_batches_tracked" in name for name in stored)


_SAVED_BITS = re.compile(r"compute_barrier\.start.*xi1>")


@pytest.mark.parametrize(("target", "queued"), [("cpu", False), ("vulkan:adreno", True)])
def test_memory_is_taken_in_the_order_of_a_queue_but_on_the_host(
    monkeypatch: pytest.MonkeyPatch, target: str, queued: bool
) -> None:
    given: list[bool] = []

    def stop(request: codegen.Request, *_: object) -> None:
        given.append(request.queued)
        raise CodegenError("stopped")

    monkeypatch.setattr(pipeline, "generate", stop)
    with pytest.raises(CodegenError, match="stopped"):
        compile_program(traced("conv"), target=target)
    assert set(given) == {queued}


def test_bits_are_not_saved_where_iree_rejects_that(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = []

    def reject(request: codegen.Request, *_: object) -> codegen.Generated:
        texts.append(request.text)
        raise CodegenError("rejected")

    monkeypatch.setattr(pipeline, "generate", reject)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.Flatten(), nn.LazyLinear(2)
    )
    x = torch.randn(4, 3, 12, 12)
    model(x)
    program = trace(TrainingTask(model, (x,), (torch.tensor([0, 1, 0, 1]),), F.cross_entropy))
    with pytest.raises(CodegenError, match="rejected"):
        compile_program(program, Scheme.bias_only())
    assert [bool(_SAVED_BITS.search(text)) for text in texts] == [True, False]
    with pytest.raises(CodegenError, match="rejected"):
        compile_program(program, Scheme.full())
    assert len(texts) == 3  # nothing to leave out


def test_bits_are_not_saved_where_the_target_stores_no_bytes() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.Flatten(), nn.Linear(1024, 2)
    )
    task = TrainingTask(model, (torch.randn(4, 3, 12, 12),), (torch.tensor([0, 1, 0, 1]),), F.cross_entropy)
    text = emit(trace(task), Emit.LINALG, Scheme.bias_only(), SGD(), "vulkan")
    assert not _SAVED_BITS.search(text)


# -- shards -------------------------------------------------------------------------------------


def test_metadata_says_how_a_batch_is_divided() -> None:
    artifact = compile_program(traced("conv"), rules(("classifier.*", "full")), SGD(momentum=0.9), shards=2)
    entries = {entry["name"]: entry for entry in artifact.metadata["state"]}
    outputs, inputs = entries["classifier.weight"]["shape"]
    assert artifact.metadata["shards"] == {
        "count": 2,
        "divided": [True, True],
        "whole": ["target"],
        # Nothing below the classifier is trained: its gradients take no value of the state but the weight.
        "state": ["classifier.weight", "classifier.bias"],
        "partials": [
            {"shape": [], "dtype": "float32"},
            {"shape": [outputs], "dtype": "float32"},
            # Of the weight's gradient, which is larger, what it is a product of.
            {"shape": [1, outputs], "dtype": "float32"},
            {"shape": [1, inputs], "dtype": "float32"},
        ],
    }
    assert artifact.metadata["memory"]["copied_state"] == [] and not artifact.notes
    assert {command.kind for command in artifact.commands} >= {"dispatch"}


def test_the_forward_pass_is_compiled_once_for_prediction_and_evaluation() -> None:
    for ranks in (1, 2):
        text = emit(traced("conv"), Emit.LINALG, Scheme.full(), SGD(), ranks=ranks)
        assert "@evaluate" not in text
        loss = text[text.index("func.func @loss(") :].split("func.func")[1]
        assert "conv" not in loss.split("return")[0] and "loc" not in loss.split("->")[0]
        # Of the outputs and the labels; not of state, nor of what ranks share.
        assert loss.split("->")[0].count("%arg") == 2


def test_a_divided_step_has_two_functions_at_every_stage_from_pruned_on() -> None:
    program = traced("conv")
    for stage, names in ((Emit.SPARSEBP, {"step"}), (Emit.PRUNED, {"gradients", "update"})):
        module = parse_module(emit(program, stage, Scheme.full(), SGD(), shards=2), sparsebp.context())
        assert set(functions(module)) == {*names, "predict", "evaluate"}
    text = emit(program, Emit.LINALG, Scheme.full(), SGD(), shards=2)
    assert "@gradients" in text and "@update" in text and "@step" not in text


@pytest.mark.parametrize(
    ("shards", "ranks", "cores", "target", "message"),
    [
        (0, 1, 1, "cpu", "shards must be 1 or more, got 0"),
        (1, 0, 1, "cpu", "ranks must be 1 or more, got 0"),
        (1, 1, 0, "cpu", "cores must be 1 or more, got 0"),
        (2, 2, 1, "cpu", "a step is divided in one way: give shards or ranks"),
        (2, 1, 4, "cpu", "a step is divided in one way: give shards or cores"),
        (2, 1, 1, "vulkan:adreno", "target 'vulkan' has no cores to divide a step among; leave out shards"),
        (1, 2, 1, "vulkan:adreno", "target 'vulkan' has no cores to divide a step among; leave out ranks"),
        (1, 1, 2, "vulkan:adreno", "target 'vulkan' has no cores to divide a step among; leave out cores"),
    ],
)
def test_what_cannot_be_divided_is_said(
    shards: int, ranks: int, cores: int, target: str, message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        compile_program(traced("conv"), target=target, shards=shards, ranks=ranks, cores=cores)


@pytest.mark.parametrize(("rows", "width", "way"), [(64, 512, "ranks"), (8192, 128, "shards"), (1, 64, None)])
def test_how_a_step_is_divided_among_cores_is_for_the_compiler_to_decide(
    rows: int, width: int, way: str | None
) -> None:
    model = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))
    task = TrainingTask(model, (torch.randn(rows, width),), (torch.randn(rows, width),), F.mse_loss)
    artifact = compile_program(trace(task), cores=2)
    found = {
        name: artifact.metadata[name]["count"] for name in ("shards", "ranks") if name in artifact.metadata
    }
    assert found == ({} if way is None else {way: 2})


def test_a_batch_that_cannot_be_divided_is_an_error() -> None:
    with pytest.raises(PassFailure, match="no input has a batch that 3 parts can be made of"):
        compile_program(traced("conv"), shards=3)
