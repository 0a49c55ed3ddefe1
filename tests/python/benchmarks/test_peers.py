# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The graph that the peers are made from is the workload: folded, translated and counted."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from pock.benchmarks.errors import Unsupported
from pock.benchmarks.export import export
from pock.benchmarks.flops import count
from pock.benchmarks.fold import fold_batch_norms
from pock.benchmarks.graph import Array, Graph
from pock.benchmarks.peers.base import Work, momentum_of
from pock.benchmarks.peers.torch_function import function_of, step_of
from pock.benchmarks.peers.translation import Library, arrays_of, inputs_of, translated
from pock.benchmarks.rate import checked_rate
from pock.benchmarks.workload import SCHEMES, Built
from pock.benchmarks.workloads import WORKLOADS
from pock.benchmarks.workloads.bert import bert
from pock.benchmarks.workloads.efficientnet import efficientnet_lite0
from pock.benchmarks.workloads.llama import llama
from pock.benchmarks.workloads.mobilenet import mobilenetv2
from pock.benchmarks.workloads.resnet import resnet50
from pock.benchmarks.workloads.tiny import tiny

# The models are too small to gain from a second thread, which other tests may be using.
torch.set_num_threads(1)

SGD = {"name": "sgd", "momentum": 0.0}

#: Every model, as small as it gets.
SMALL: dict[str, Callable[[], Built]] = {
    "mobilenetv2": lambda: mobilenetv2(2, 32, width=0.35, classes=5),
    "efficientnet": lambda: efficientnet_lite0(1, 32, classes=5),
    "resnet50": lambda: resnet50(1, 32, classes=5),
    "bert": lambda: bert(2, layers=1, width=8, heads=2, length=6, vocabulary=11),
    "llama": lambda: llama(2, layers=1, width=8, heads=2, length=6, vocabulary=11),
    "tiny": lambda: tiny(2),
}


def graph_of(scheme: str) -> Graph:
    built = tiny(2)
    return export(built, WORKLOADS["tiny"].trained(scheme, [n for n, _ in built.model.named_parameters()]))


def losses(graph: Graph, optimizer: Mapping[str, Any] = SGD, steps: int = 4) -> list[float]:
    step = step_of(graph, Work(Path(), optimizer), torch.contiguous_format, None)
    return [step(0.1) for _ in range(steps)]


def by_autograd(scheme: str, momentum: float = 0.0, steps: int = 4) -> list[float]:
    """The losses of the module itself, trained by PyTorch's own optimizer."""
    built = tiny(2)
    parameters = dict(built.model.named_parameters())
    trained = [parameters[name] for name in WORKLOADS["tiny"].trained(scheme, list(parameters))]
    optimizer = torch.optim.SGD(trained, 0.1, momentum)
    found = []
    for _ in range(steps):
        loss = built.loss(built.model(built.inputs), built.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_folded_graph_learns_as_the_module_does(scheme: str) -> None:
    folded = fold_batch_norms(graph_of(scheme))
    assert ("batch_norm" in {node.op for node in folded.nodes}) == (scheme == "full")
    assert losses(folded) == pytest.approx(by_autograd(scheme), rel=1e-5)


def test_momentum_is_pytorchs() -> None:
    optimizer = {"name": "sgd", "momentum": 0.9}
    assert losses(graph_of("full"), optimizer) == pytest.approx(by_autograd("full", 0.9), rel=1e-5)


def test_channels_last_computes_the_same() -> None:
    step = step_of(graph_of("full"), Work(Path(), SGD), torch.channels_last, None)
    assert [step(0.1) for _ in range(4)] == pytest.approx(by_autograd("full"), rel=1e-5)


def test_a_graph_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    graph = graph_of("sparse")
    graph.save(tmp_path / "graph")
    again = Graph.load(tmp_path / "graph")
    assert (again.nodes, again.trained) == (graph.nodes, graph.trained)
    assert losses(again) == losses(graph)


def test_other_optimizers_are_not_supported() -> None:
    with pytest.raises(Unsupported, match="not adam"):
        momentum_of({"name": "adam", "betas": [0.9, 0.999]})
    with pytest.raises(Unsupported, match="weight_decay"):
        momentum_of({"name": "sgd", "momentum": 0.0, "weight_decay": 0.1})


@pytest.mark.parametrize("scheme", SCHEMES)
def test_at_the_checked_rate_the_loss_falls_by_a_hundredth_a_step(scheme: str) -> None:
    graph = fold_batch_norms(graph_of(scheme))
    step = step_of(graph, Work(Path(), SGD), torch.contiguous_format, None)
    first, second = (step(checked_rate(graph)) for _ in range(2))
    assert second / first == pytest.approx(0.99, abs=0.003)


def test_flops_are_those_of_the_gradients_that_are_needed() -> None:
    # By hand, for 2 images of 4 by 4 pixels behind the stem: multiplications of one forward pass.
    stem, expand, depthwise, project, classifier = (
        2 * 16 * 4 * 27, 2 * 16 * 8 * 4, 2 * 16 * 8 * 9, 2 * 16 * 4 * 8, 2 * 4 * 4,
    )  # fmt: skip
    forward = stem + expand + depthwise + project + classifier
    # The image needs no gradient; of the frozen weights of the sparse scheme only what is passed down.
    assert count(graph_of("full")) == 2 * (3 * forward - stem)
    sparse = forward + classifier * 2 + project + depthwise + expand
    assert count(fold_batch_norms(graph_of("sparse"))) == 2 * sparse


class TorchLibrary(Library):
    """The translation's operations in PyTorch, on images channels-last."""

    elementwise = {
        "add": lambda self, other, alpha=1: self + alpha * other,
        "gelu": lambda self, approximate: F.gelu(self, approximate=approximate),
        "hardtanh": lambda self, min_val, max_val: self.clamp(min_val, max_val),
        "mul": lambda self, other: self * other,
        "neg": lambda self: -self,
        "pow": lambda self, exponent: self**exponent,
        "relu": lambda self: self.relu(),
        "relu6": lambda self: self.clamp(0, 6),
        "rsqrt": lambda self: self.rsqrt(),
        "silu": lambda self: F.silu(self),
        "tanh": lambda self: self.tanh(),
    }

    def constant(self, array: Array) -> Any:
        return torch.from_numpy(array)

    def conv(
        self,
        x: Any,
        w: Any,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        groups: int,
    ) -> Any:
        y = F.conv2d(x.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1), None, stride, padding, dilation, groups)
        return y.permute(0, 2, 3, 1)

    def max_pool(self, x: Any, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> Any:
        return F.max_pool2d(x.permute(0, 3, 1, 2), kernel, stride, padding).permute(0, 2, 3, 1)

    def pad(self, x: Any, padding: Sequence[tuple[int, int]]) -> Any:
        return F.pad(x, [end for pair in reversed(padding) for end in pair])

    def mean(self, x: Any, dimensions: Sequence[int], keep: bool) -> Any:
        return x.mean(tuple(dimensions), keep)

    def matmul(self, a: Any, b: Any, transpose_b: bool) -> Any:
        return a @ (b.transpose(-1, -2) if transpose_b else b)

    def reshape(self, x: Any, shape: Sequence[int]) -> Any:
        return x.reshape(*shape)

    def permute(self, x: Any, dimensions: Sequence[int]) -> Any:
        return x.permute(*dimensions)

    def take(self, table: Any, indices: Any) -> Any:
        return table[indices]

    def cat(self, tensors: Sequence[Any], dimension: int) -> Any:
        return torch.cat(list(tensors), dimension)

    def softmax(self, x: Any) -> Any:
        return x.softmax(-1)

    def cross_entropy(self, logits: Any, labels: Any) -> Any:
        return F.cross_entropy(logits, labels.long())


@pytest.mark.parametrize("name", SMALL)
def test_the_translation_of_a_workload_has_its_loss(name: str) -> None:
    built = SMALL[name]()
    # Some batch norms stay, some are folded into frozen weights and some into trained ones.
    names = [n for n, _ in built.model.named_parameters() if "1" in n]
    graph = fold_batch_norms(export(built, names))
    loss = built.loss(built.model(built.inputs), built.targets).item()
    # Deep networks of random weights amplify the rounding of single precision: the rest is in double.
    tensors = [double(array) for array in [*graph.arrays.values(), *graph.inputs.values()]]
    exact = function_of(graph)(*tensors).item()
    assert exact == pytest.approx(loss, rel=1e-2)
    arrays = {key: double(array) for key, array in arrays_of(graph).items()}
    inputs = {key: double(array) for key, array in inputs_of(graph).items()}
    assert translated(graph, TorchLibrary())(arrays, inputs).item() == pytest.approx(exact, rel=1e-6)


def double(array: Array) -> torch.Tensor:
    tensor = torch.from_numpy(array)
    return tensor.double() if tensor.is_floating_point() else tensor


def test_an_operation_without_translation_is_named() -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x).erf()

    built = Built(Model(), torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64), F.cross_entropy)
    with pytest.raises(Unsupported, match=r"no translation of aten\.erf"):
        translated(export(built, ()), TorchLibrary())


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_pattern_of_a_workload_matches_a_parameter(name: str) -> None:
    workload = WORKLOADS[name]
    with torch.device("meta"), pytest.MonkeyPatch.context() as patch:
        # The shapes and names are wanted, not the weights.
        for module in ("data.settle",):
            patch.setattr(f"pock.benchmarks.workloads.{module}", lambda *_: None)
        patch.setattr("pock.benchmarks.workloads.data.torch.Generator", lambda: _NoGenerator())
        names = [n for n, _ in workload.build(1).model.named_parameters()]
    for scheme in SCHEMES:
        for pattern in workload.patterns(scheme):
            assert any(workload.trained(scheme, [n]) for n in names), pattern


class _NoGenerator:
    def manual_seed(self, _: int) -> None:
        return None
