# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""With channels last a training step computes what it did, and nothing is transposed on the way."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import ml_dtypes
import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch_mlir import ir

from pock.compiler import SGD, AdamW, Scheme, TrainingProgram, TrainingTask, trace
from pock.compiler.opt import run_pipeline
from pock.compiler.optimizers import Optimizer
from pock.compiler.passes.convert_layout import ConvertLayout
from pock.compiler.stages import masked, pruned, trained
from pock.compiler.torch_ir import functions, operations
from pock.dialects.sparsebp import declarations
from pock.dialects.types import shape_of
from tests.e2e import zoo
from tests.e2e.zoo import Apply
from tests.python.compiler.torch_interpreter import Interpreter

_WIDTH = 4
_CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_DROPOUT = {1: nn.Dropout1d, 2: nn.Dropout2d, 3: nn.Dropout3d}
_AVG_POOL = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
_MAX_POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}


class _Next(nn.Module):
    """ConvNeXt's block: a norm over channels and linear layers between permutations, and a layer scale."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.depthwise = _CONVOLUTION[rank](_WIDTH, _WIDTH, 3, padding=1, groups=_WIDTH)
        self.norm = nn.LayerNorm(_WIDTH)
        self.expand, self.project = nn.Linear(_WIDTH, 6), nn.Linear(6, _WIDTH)
        self.scale = nn.Parameter(torch.rand(_WIDTH, *[1] * rank))

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(F.gelu(self.expand(self.norm(self.depthwise(x).movedim(1, -1)))))
        return x + y.movedim(-1, 1) * self.scale


class _Dense(nn.Module):
    """DenseNet's: each layer takes what all before it give."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_CONVOLUTION[rank](n * _WIDTH, _WIDTH, 1) for n in (1, 2, 3))

    def forward(self, x: Tensor) -> Tensor:
        layers = [x]
        for layer in self.layers:
            layers.append(F.relu(layer(torch.cat(layers, 1))))
        return layers[-1]


class _Excite(nn.Module):
    """Squeeze and excite."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.reduce, self.expand = (_CONVOLUTION[rank](_WIDTH, _WIDTH, 1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        squeezed = x.mean(tuple(range(2, x.ndim)), keepdim=True)
        return x * F.hardsigmoid(self.expand(F.silu(self.reduce(squeezed))))


class _Scaled(nn.Module):
    """A parameter for each channel and one for each position."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(1, _WIDTH, *[1] * rank))
        self.position = nn.Parameter(torch.rand(_WIDTH, *[1] * (rank - 1), 2))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + F.pad(self.position, (0, x.shape[-1] - 2))


def _every_head(x: Tensor) -> Tensor:
    """Reductions with and without the dimensions kept, in and out of order."""
    least = x.amin(0)  # leaves channels before positions
    return x - x.amax(-1, keepdim=True) + least + x.amin(1).sum(0).mean() + x.sum((0, 2), keepdim=True) * 0.1


def _shuffled(x: Tensor) -> Tensor:
    return x.unflatten(1, (2, _WIDTH // 2)).transpose(1, 2).flatten(1, 2)


def _conv(rank: int, **options: Any) -> nn.Module:
    module: nn.Module = _CONVOLUTION[rank](_WIDTH, _WIDTH, **{"kernel_size": 3, "padding": 1, **options})
    return module


_BLOCKS: dict[str, Callable[[int], nn.Module]] = {
    "add": lambda r: Apply(lambda x, y, z: F.hardswish(y) + torch.tanh(z), _conv(r), _conv(r, bias=False)),
    "avg-pool": lambda r: _AVG_POOL[r](3, 2, 1, ceil_mode=True, count_include_pad=False),
    "chunk": lambda r: Apply(
        lambda x, y: torch.cat([x.chunk(2, 1)[1], y.split([1, 3], 1)[0].relu(), x[:, :1]], 1), _conv(r)
    ),
    "dense": _Dense,
    "dilated": lambda r: _conv(r, dilation=2, padding=2, groups=2),
    "dropout": lambda r: nn.Sequential(nn.Dropout(0.3), _DROPOUT[r](0.3)),
    "even-same": lambda r: _conv(r, kernel_size=2, padding="same"),
    "excite": _Excite,
    "flip": lambda r: Apply(lambda x: x.flip(-1)),
    "group-norm": lambda r: nn.GroupNorm(2, _WIDTH),
    "max-pool": lambda r: _MAX_POOL[r](2, ceil_mode=True),
    "next": _Next,
    "norm": lambda r: nn.Sequential(_conv(r, bias=False), _NORM[r](_WIDTH), nn.SiLU()),
    "pad": lambda r: Apply(lambda x: F.pad(x, (1, 0) * r + (0, 1))[:, :_WIDTH]),
    "reductions": lambda r: Apply(_every_head),
    "residual": lambda r: Apply(lambda x, y: x + y, nn.Sequential(_conv(r), nn.ReLU(), _conv(r))),
    "scaled": _Scaled,
    "shuffle": lambda r: Apply(_shuffled),
    "strided": lambda r: _conv(r, stride=2),
    "transposed": lambda r: _TRANSPOSED[r](_WIDTH, _WIDTH, 3, 2, 1, 1, groups=2),
    "upsampled": lambda r: Apply(lambda x: F.interpolate(x, scale_factor=2)[(..., *[slice(0, 4)] * r)]),
}  # fmt: skip
_HEADS: dict[str, Callable[[Tensor], Tensor]] = {
    "flatten": lambda x: x.flatten(1)[:, :3],
    "image": lambda x: x,
    "max": lambda x: x.amax(tuple(range(2, x.ndim))),
    "mean": lambda x: x.mean(tuple(range(2, x.ndim))),
    "tokens": lambda x: x.flatten(2).transpose(1, 2).mean(1),
}
_RULES = {
    "full": [("*", "full")],
    "bias": [("*bias", "full")],
    "sparse": [("*bias", "full"), ("*weight", {"channels": 0.5})],
}


#: Blocks that need PyTorch's layout somewhere: because the compiler does not know them with another, or
#: they have parameters, sums or random numbers for each position.
_TURNED = {"dropout", "flip", "group-norm", "reductions", "scaled", "shuffle", "upsampled"}


def _net(rank: int, blocks: Sequence[str], head: str) -> nn.Module:
    layers = [_BLOCKS[name](rank) for name in blocks]
    stem = _CONVOLUTION[rank](2, _WIDTH, 3, padding=1)
    return nn.Sequential(stem, *layers, _CONVOLUTION[rank](_WIDTH, 3, 1), Apply(_HEADS[head]))


def _scheme(rules: Sequence[tuple[str, Any]]) -> Scheme:
    return Scheme.from_dict({"version": 1, "rules": [{"match": m, "update": u} for m, u in rules]})


def _prepared(program: TrainingProgram, scheme: Scheme, optimizer: Optimizer) -> ir.Module:
    module = program.copy_module()
    run_pipeline(module, [*masked(scheme), *pruned(), *trained(optimizer)])
    return module


def _loss(outputs: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(outputs, target) + 0.1 * outputs.square().mean()


@pytest.mark.parametrize("rank", [1, 2, 3])
@given(
    blocks=st.lists(st.sampled_from(sorted(_BLOCKS)), max_size=4),
    head=st.sampled_from(sorted(_HEADS)),
    scheme=st.sampled_from(sorted(_RULES)),
    optimizer=st.sampled_from([SGD(), AdamW()]),
    batch_norm=st.sampled_from(["frozen", "train"]),
    dtype=st.sampled_from([torch.float64, torch.float32]),
)
@settings(max_examples=10, deadline=None)
def test_a_step_computes_the_same(
    rank: int,
    blocks: list[str],
    head: str,
    scheme: str,
    optimizer: Optimizer,
    batch_norm: Literal["frozen", "train"],
    dtype: torch.dtype,
) -> None:
    try:
        task = _task(rank, blocks, head, dtype, batch_norm)
    except RuntimeError as error:
        # PyTorch pools no volume that is smaller than the window, however much it is padded.
        assume("smaller than kernel size" not in str(error))
        raise
    tolerance = {} if dtype == torch.float64 else {"rtol": 1e-3, "atol": 1e-4}
    _check(task, _scheme(_RULES[scheme]), optimizer, **tolerance)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_layer_computes_the_same_and_most_pass_channels_last_on(rank: int) -> None:
    blocks = sorted(_BLOCKS.keys() - _TURNED)
    module = _check(_task(rank, blocks, "mean", torch.float64, "train"), Scheme.full(), SGD())
    assert _permuted(module) == [(2, 2, *[4] * rank)]
    _check(
        _task(rank, ["reductions", *sorted(_TURNED)], "image", torch.float64, "frozen"),
        Scheme.full(),
        AdamW(),
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    # A bias is added behind a convolution, which has been rounded by then.
    task = _task(2, ["norm", "residual", "max-pool"], "mean", dtype, "frozen")
    module = _check(task, Scheme.full(), SGD(), rtol=0.05, atol=0.05)
    assert _permuted(module) == [(2, 2, 4, 4)]


class _Positioned(nn.Module):
    """A parameter for each position of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 3, 1)
        self.position = nn.Parameter(torch.rand(1, 3, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.last(self.first(x) + self.position).amax((2, 3))
        return output


def test_optimizers_work_in_the_layout_of_the_parameters() -> None:
    task = TrainingTask(_Positioned(), (torch.randn(2, 2, 4, 4),), (torch.tensor([0, 1]),), _loss)
    for optimizer in (SGD(), AdamW()):
        module = _check(task, Scheme.full(), optimizer, rtol=1e-3, atol=1e-4)
        # The input, the parameter and its gradient.
        assert _permuted(module) == [(2, 2, 4, 4), (1, 3, 4, 4), (1, 4, 4, 3)]


def _efficientnet() -> nn.Module:
    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    return network


_NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "efficientnet": _efficientnet,
    "mobilenet-v2": lambda: zoo.MobileNetV2(10, 0.35),
    "resnet-18": lambda: zoo.resnet18(10),
}


@pytest.mark.parametrize("name", _NETWORKS)
def test_of_a_whole_network_only_the_input_is_permuted(name: str) -> None:
    network = zoo.settle(_NETWORKS[name]())
    program = trace(TrainingTask(network, (torch.randn(2, 3, 33, 33),), (torch.tensor([0, 1]),), _loss))
    for scheme in ("full", "sparse"):
        module = _prepared(program, _scheme(_RULES[scheme]), SGD())
        run_pipeline(module, [ConvertLayout()])
        # EfficientNet pads it first.
        assert [shape[:2] for shape in _permuted(module)] == [(2, 3)]


def _tensor(value: np.ndarray) -> Tensor:
    """A parameter's value; NumPy knows no bf16 of its own."""
    if value.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(value.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(value)


def _permuted(module: ir.Module) -> list[tuple[int, ...]]:
    """The shapes of the tensors over space that ``@step`` permutes."""
    names = ("torch.aten.permute", "torch.aten.transpose.int")
    sources = [
        op.operation.operands[0] for op in operations(functions(module)["step"]) if op.operation.name in names
    ]
    return [shape for shape in (shape_of(value.type) for value in sources) if len(shape) > 2]


def _task(
    rank: int, blocks: Sequence[str], head: str, dtype: torch.dtype, batch_norm: Literal["frozen", "train"]
) -> TrainingTask:
    torch.manual_seed(0)
    model = zoo.settle(_net(rank, blocks, head)).to(dtype)
    x = torch.randn(2, 2, *[4] * rank, dtype=dtype)
    shape = (2, *model(x).shape[2:])
    return TrainingTask(model, (x,), (torch.randint(0, 3, shape),), _loss, batch_norm=batch_norm)


def _check(task: TrainingTask, scheme: Scheme, optimizer: Optimizer, **tolerance: float) -> ir.Module:
    """Run two steps and a prediction with either layout; the converted module."""
    program = trace(task)
    module = _prepared(program, scheme, optimizer)
    values = {n: _tensor(v) for n, v in program.parameters.items() if n in declarations(module)}
    before = Interpreter(module, values)
    lr = torch.tensor(0.1)
    wanted = [before.run("step", *task.inputs, *task.targets, lr) for _ in range(2)]
    wanted.append(before.run("predict", *task.inputs))
    run_pipeline(module, [ConvertLayout()])
    after = Interpreter(module, values, in_place=True)
    results = [after.run("step", *task.inputs, *task.targets, lr) for _ in range(2)]
    results.append(after.run("predict", *task.inputs))
    torch.testing.assert_close(results, wanted, **tolerance)
    torch.testing.assert_close(after.state, before.state, **tolerance)
    once = str(module)
    run_pipeline(module, [ConvertLayout()])
    assert str(module) == once, "a second run changes something"
    return module
