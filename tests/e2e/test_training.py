# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Five steps of compiled training against PyTorch: models, schemes, optimizers."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pock.compiler import (
    SGD,
    Adam,
    AdamW,
    Lion,
    Optimizer,
    Scheme,
    TrainingProgram,
    TrainingTask,
    compile_program,
    trace,
)  # fmt: skip
from tests.e2e import check, zoo
from tests.e2e.check import Torch, check_training
from tests.e2e.lion import Lion as TorchLion


def _tokens_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.transpose(1, 2), targets)


def _conv(batch_norm: str) -> TrainingTask:
    return TrainingTask(
        zoo.settle(zoo.ConvNet()),
        (torch.randn(4, 3, 16, 20),),
        (torch.tensor([0, 1, 2, 4]),),
        F.cross_entropy,
        batch_norm=batch_norm,  # type: ignore[arg-type]
    )


_TASKS: dict[str, Callable[[], TrainingTask]] = {
    "conv-frozen": lambda: _conv("frozen"),
    "conv-train": lambda: _conv("train"),
    "mlp": lambda: TrainingTask(
        zoo.MLP(), (torch.randn(6, 12),), (torch.tensor([0, 1, 2, 3, 0, 1]),), F.cross_entropy
    ),
    "transformer": lambda: TrainingTask(
        zoo.Transformer(),
        (torch.arange(31)[:24].view(3, 8) + 7,),
        (torch.tensor([0, 1, 2]),),
        F.cross_entropy,
    ),
    "first-token": lambda: TrainingTask(
        zoo.FirstToken(),
        (torch.arange(31)[:24].view(3, 8) + 7,),
        (torch.tensor([0, 1, 2]),),
        F.cross_entropy,
    ),
    # Large enough for copies, panels and a search of the table of embeddings.
    "wide-transformer": lambda: TrainingTask(
        zoo.Transformer(vocabulary=1100, width=128, layers=1),
        (torch.randint(0, 1100, (32, 8)),),
        (torch.randint(0, 3, (32,)),),
        F.cross_entropy,
    ),
    "wide-conv": lambda: TrainingTask(
        zoo.settle(zoo.WideNet()), (torch.randn(2, 3, 24, 24),), (torch.tensor([3, 0]),), F.cross_entropy
    ),
    "tied": lambda: TrainingTask(
        zoo.TiedLanguageModel(), (torch.arange(12).view(2, 6),), (torch.arange(12).view(2, 6),), _tokens_loss
    ),
}


@cache
def _traced(name: str) -> tuple[TrainingTask, TrainingProgram]:
    torch.manual_seed(1)
    task = _TASKS[name]()
    return task, trace(task)


def _sgd(lr: float = 0.01, **options: float | bool) -> Torch:
    return lambda leaves: torch.optim.SGD(leaves, lr=lr, **options)  # type: ignore[arg-type]


def _rules(*rules: tuple[str, object]) -> Scheme:
    return Scheme.from_dict({"version": 1, "rules": [{"match": m, "update": u} for m, u in rules]})


_SCHEMES: dict[str, Scheme] = {
    "full": Scheme.full(),
    "bias-only": Scheme.bias_only(),
}
_CONV_SCHEMES = {
    **_SCHEMES,
    "last-layer": _rules(("classifier.*", "full")),
    "layer-wise": _rules(("dilated.*", "full"), ("project.weight", "full"), ("classifier.*", "full")),
    "ratio": _rules(
        ("*.bias", "full"),
        ("dilated.weight", {"channels": 0.5}),
        ("expand.weight", {"channels": 0.25}),
        ("depthwise.weight", {"channels": 0.5}),
        ("grouped.weight", {"channels": 0.5}),
        ("stem.weight", {"channels": 0.4}),
        ("classifier.weight", {"channels": 0.3}),
    ),
    "range": _rules(
        ("project.weight", {"channels": "3:11"}),
        ("depthwise.weight", {"channels": "5:9"}),
        ("bn2.*", {"channels": "1:4"}),
        ("classifier.weight", {"channels": "2:5"}),
    ),
    "list": _rules(
        ("expand.weight", {"channels": [0, 3, 7]}),
        ("depthwise.weight", {"channels": [1, 4, 15]}),
        ("project.bias", {"channels": [0, 6]}),
    ),
}
_TRANSFORMER_SCHEMES = {
    **_SCHEMES,
    "sparse": _rules(
        ("layers.1.*.bias", "full"),
        ("layers.1.qkv.weight", {"channels": 0.5}),
        ("layers.1.fc1.weight", {"channels": [1, 2, 9]}),
        ("tokens.weight", {"channels": "8:20"}),
        ("head.*", "full"),
    ),
}
_CASES = [
    *(("conv-frozen", name, scheme) for name, scheme in _CONV_SCHEMES.items()),
    *(("conv-train", name, _CONV_SCHEMES[name]) for name in ("full", "ratio")),
    *(("transformer", name, scheme) for name, scheme in _TRANSFORMER_SCHEMES.items()),
    *(("first-token", name, scheme) for name, scheme in _TRANSFORMER_SCHEMES.items()),
    ("wide-transformer", "full", Scheme.full()),
    ("wide-transformer", "sparse", _rules(("layers.0.fc?.weight", {"channels": 0.5}), ("head.*", "full"))),
    ("wide-conv", "full", Scheme.full()),
    ("wide-conv", "sparse", _rules(("conv.weight", {"channels": 0.5}), ("expand.weight", {"channels": 0.5}))),
    ("mlp", "full", Scheme.full()),
    ("mlp", "sliced", _rules(("fc2.weight", {"channels": 0.5}), ("head.*", "full"))),
    ("tied", "full", Scheme.full()),
    ("tied", "rows", _rules(("embedding.weight", {"channels": "2:9"}), ("hidden.bias", "full"))),
]


class _Padded(nn.Module):
    """Padding of its own, as networks from TensorFlow have: forward and backward pass share it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 16, 3, stride=2), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.stem(F.pad(x, (0, 1, 0, 1)))
        return self.head(y.relu().mean((2, 3)))  # type: ignore[no-any-return]


class _PaddedForTwo(_Padded):
    """What is padded is pooled too, and so stays padded."""

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x.tanh(), (0, 1, 0, 1))
        y = self.stem(padded).relu() + F.max_pool2d(padded, 3, stride=2).mean(1, keepdim=True)
        return self.head(y.mean((2, 3)))  # type: ignore[no-any-return]


class _PaddedByModel(nn.Module):
    """Padding in front of convolutions of every kind, in forward and backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 16, 3, stride=2))
        self.strided = nn.Sequential(
            nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(16, 16, 5, stride=2, groups=16, bias=False), nn.ReLU6()
        )
        self.depthwise = nn.Sequential(nn.ZeroPad2d(2), nn.Conv2d(16, 16, 5, groups=16), nn.ReLU())
        self.even = nn.Conv2d(16, 24, 4, padding="same")
        self.left, self.right = nn.Conv2d(24, 8, 3, padding=(0, 1)), nn.Conv2d(24, 8, (3, 5), groups=4)
        self.line, self.head = nn.Conv1d(16, 8, 2, padding="same", dilation=3), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.even(self.depthwise(self.strided(self.stem(x)))).relu()
        both = F.pad(x, (0, 0, 2, 0)), F.pad(x, (1, 3, 2, 0))
        x = torch.cat([self.left(both[0]), self.right(both[1])], 1)
        return self.head(self.line(x.flatten(2)).mean(2))  # type: ignore[no-any-return]


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("model", [_Padded, _PaddedForTwo, _PaddedByModel])
def test_padding_of_models(tmp_path: Path, model: type[nn.Module], batch: int) -> None:
    torch.manual_seed(0)
    task = TrainingTask(
        model(), (torch.randn(batch, 3, 32, 32),), (torch.arange(batch) % 4,), F.cross_entropy
    )
    check_training(tmp_path, task, Scheme.full(), SGD(), _sgd(lr=0.05), lr=0.05)


class _Pictures(nn.Module):
    """Bytes and truth values in front of padding; of the ReLUs, the backward pass needs truth values only."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.mask, self.last = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 4)

    def forward(self, picture: Tensor, mask: Tensor) -> Tensor:
        x = F.relu(self.stem(picture / 255.0) + self.mask(torch.where(mask, 1.5, -0.5)))
        x = F.relu(self.last(F.relu(self.depthwise(x))))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", _SCHEMES)
def test_padding_behind_narrow_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    phases: list[str] = []
    monkeypatch.setattr(check, "compile_program", partial(compile_program, progress=phases.append))
    torch.manual_seed(0)
    picture = torch.randint(0, 256, (4, 3, 12, 12), dtype=torch.uint8)
    mask = torch.rand(4, 1, 12, 12) < 0.5
    task = TrainingTask(_Pictures(), (picture, mask), (torch.tensor([0, 1, 2, 3]),), F.cross_entropy)
    check_training(tmp_path, task, _SCHEMES[name], SGD(), _sgd(lr=0.05), lr=0.05)
    assert phases.count("scheduling with IREE") == 1, "not compiled as it is"


@pytest.mark.parametrize(("model", "name", "scheme"), _CASES, ids=[f"{m}-{n}" for m, n, _ in _CASES])
def test_schemes(tmp_path: Path, model: str, name: str, scheme: Scheme) -> None:
    task, program = _traced(model)
    check_training(tmp_path, task, scheme, SGD(), _sgd(lr=0.05), program=program, lr=0.05)


_OPTIMIZERS: dict[str, tuple[Optimizer, Torch, float]] = {
    "momentum": (SGD(momentum=0.9), _sgd(momentum=0.9), 0.01),
    "nesterov": (
        SGD(momentum=0.9, nesterov=True, weight_decay=0.01, clip_grad_norm=0.5),
        _sgd(momentum=0.9, nesterov=True, weight_decay=0.01),
        0.01,
    ),
    "dampening": (SGD(momentum=0.8, dampening=0.5), _sgd(momentum=0.8, dampening=0.5), 0.01),
    "adam": (Adam(), lambda leaves: torch.optim.Adam(leaves, lr=0.001), 0.001),
    "adamw": (
        AdamW(weight_decay=0.1, clip_grad_norm=1.0),
        lambda leaves: torch.optim.AdamW(leaves, lr=0.001, weight_decay=0.1),
        0.001,
    ),
    "lion": (Lion(weight_decay=0.1), lambda leaves: TorchLion(leaves, lr=0.0003, weight_decay=0.1), 0.0003),
}


@pytest.mark.parametrize("name", _OPTIMIZERS)
def test_optimizers(tmp_path: Path, name: str) -> None:
    optimizer, torch_optimizer, lr = _OPTIMIZERS[name]
    task, program = _traced("mlp")
    scheme = _rules(("*", "full"), ("fc2.weight", {"channels": 0.5}), ("fc1.bias", "none"))
    # Adam divides by the root of a second moment that is tiny at first, Lion takes the sign: both make
    # much of the last bits of a small gradient.
    loose = name in ("adam", "adamw", "lion")
    check_training(
        tmp_path,
        task,
        scheme,
        optimizer,
        torch_optimizer,
        program=program,
        lr=lr,
        tolerance=1e-3 if loose else 1e-4,
    )
