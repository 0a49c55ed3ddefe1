# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Models for the end-to-end tests, written in plain PyTorch with torchvision's parameter names."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pock.benchmarks.workloads import mobilenet, resnet


class Apply(nn.Module):
    """A function of a tensor and of the results of modules on it."""

    def __init__(self, function: Callable[..., Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self.function, self.branches = function, nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *(branch(x) for branch in self.branches))


class ConvNet(nn.Module):
    """Ordinary, pointwise, depthwise, strided, dilated and grouped convolutions, pools and a residual."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.expand = nn.Conv2d(8, 16, 1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.project = nn.Conv2d(16, 8, 1)
        self.dilated = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.grouped = nn.Conv2d(8, 12, 3, stride=(2, 1), padding=1, groups=4)
        self.classifier = nn.Linear(12, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.stem(x)))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        y = F.hardswish(self.expand(x))
        y = F.relu6(self.bn2(self.depthwise(y)))
        x = x + self.project(y)
        x = F.silu(self.dilated(x))
        x = F.relu(self.grouped(x))
        x = F.avg_pool2d(x, 2, stride=1, padding=1)
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))


class WideNet(nn.Module):
    """Few layers with many channels, whose matrices are packed and whose transpositions are copies."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 3, stride=2, padding=1)
        self.conv = nn.Conv2d(64, 64, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(64)
        self.expand = nn.Conv2d(64, 544, 1)
        self.reduce = nn.Conv2d(544, 96, 1, stride=2)
        self.head = nn.Linear(96, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = x + F.relu6(self.bn(self.conv(x)))
        x = self.reduce(F.relu(self.expand(x)))
        return self.head(x.mean((2, 3)))


class MLP(nn.Module):
    """Two hidden layers with dropout behind each."""

    def __init__(self, features: int = 12, hidden: int = 16, classes: int = 4, p: float = 0.25) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(features, hidden), nn.Linear(hidden, hidden)
        self.head = nn.Linear(hidden, classes)
        self.drop = nn.Dropout(p)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(F.relu(self.fc1(x)))
        return self.head(self.drop(torch.tanh(self.fc2(x))))


class Transformer(nn.Module):
    """A pre-norm encoder over tokens: embeddings, attention, GELU, layer norm, mean pooling."""

    def __init__(
        self, vocabulary: int = 31, width: int = 16, heads: int = 2, layers: int = 2, classes: int = 3
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.randn(1, 8, width) * 0.1)
        self.layers = nn.ModuleList(Encoder(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions[:, : tokens.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x).mean(1))


class FirstToken(nn.Module):
    """An encoder as ``Transformer``, classifying the first token."""

    def __init__(self, vocabulary: int = 31, width: int = 16, classes: int = 3) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.layers = nn.Sequential(*(Encoder(width, heads=2) for _ in range(2)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.norm(self.layers(self.tokens(tokens)))[:, 0])


class Encoder(nn.Module):
    """One layer of ``Transformer``."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, width)
        x = x + self.out(attended)
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class TiedLanguageModel(nn.Module):
    """The embedding is the output layer too: one parameter, two gradients that add up."""

    def __init__(self, vocabulary: int = 13, width: int = 8) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.hidden = nn.Linear(width, width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.tanh(self.hidden(self.embedding(tokens))))


# -- MobileNetV2 (1801.04381) -------------------------------------------------------------------


class MobileNetV2(mobilenet.MobileNetV2):
    """MobileNetV2 of any width, with dropout."""

    def __init__(self, classes: int = 1000, width: float = 1.0) -> None:
        super().__init__(classes, width)
        self.classifier = nn.Sequential(nn.Dropout(0.2), self.classifier)


# -- ResNet (1512.03385) ------------------------------------------------------------------------


class BasicBlock(nn.Module):
    """Two 3 by 3 convolutions."""

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = _downsample(inputs, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.downsample(x))


def _downsample(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """ResNet-18 with ``BasicBlock`` and (2, 2, 2, 2), ResNet-50 with bottlenecks and (3, 4, 6, 3)."""

    def __init__(
        self, block: type[BasicBlock] | type[resnet.Bottleneck], layers: tuple[int, ...], classes: int = 1000
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for i, count in enumerate(layers):
            planes, blocks = 64 << i, []
            for j in range(count):
                blocks.append(block(channels, planes, 2 if i > 0 and j == 0 else 1))
                channels = planes * (1 if block is BasicBlock else 4)
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for i in range(4):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def resnet18(classes: int = 1000) -> ResNet:
    return ResNet(BasicBlock, (2, 2, 2, 2), classes)


def resnet50(classes: int = 1000) -> ResNet:
    return ResNet(resnet.Bottleneck, (3, 4, 6, 3), classes)


def settle(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give batch norms statistics and scales as of a trained model, so that frozen ones mean something."""
    generator = torch.Generator().manual_seed(seed)

    def draw(like: Tensor, low: float, high: float) -> Tensor:
        return torch.rand(like.shape, generator=generator) * (high - low) + low

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None and module.running_var is not None
                module.running_mean.copy_(draw(module.running_mean, -0.1, 0.1))
                module.running_var.copy_(draw(module.running_var, 0.6, 1.4))
                module.weight.copy_(draw(module.weight, 0.7, 1.1) / math.sqrt(1.2))
                module.bias.copy_(draw(module.bias, -0.1, 0.1))
    return model
