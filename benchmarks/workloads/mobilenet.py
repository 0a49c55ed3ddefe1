# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""MobileNetV2 (1801.04381), with torchvision's parameter names."""

import torch
from torch import Tensor, nn

from pock.benchmarks.workload import Built

from .data import images

#: expansion, output channels, repeats, stride of the first
_SETTINGS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenetv2(batch: int, size: int, width: float = 1.0, classes: int = 1000) -> Built:
    """MobileNetV2 without dropout, which would make the contestants' losses differ."""
    torch.manual_seed(0)
    return images(MobileNetV2(classes, width), batch, size, classes)


def _conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))


def _channels(number: float) -> int:
    """A multiple of 8 near ``number`` that is not below nine tenths of it."""
    rounded = max(8, int(number + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * number else rounded


class InvertedResidual(nn.Module):
    """Expand, depthwise, project."""

    def __init__(self, inputs: int, outputs: int, stride: int, ratio: int) -> None:
        super().__init__()
        hidden = inputs * ratio
        layers: list[nn.Module] = [] if ratio == 1 else [_conv_bn(inputs, hidden, 1)]
        layers += [
            _conv_bn(hidden, hidden, 3, stride, hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    """MobileNetV2 of any width."""

    def __init__(self, classes: int, width: float) -> None:
        super().__init__()
        channels, last = _channels(32 * width), _channels(1280 * max(1.0, width))
        features: list[nn.Module] = [_conv_bn(3, channels, 3, 2)]
        for ratio, outputs, repeats, stride in _SETTINGS:
            for i in range(repeats):
                out = _channels(outputs * width)
                features.append(InvertedResidual(channels, out, stride if i == 0 else 1, ratio))
                channels = out
        features.append(_conv_bn(channels, last, 1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Linear(last, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))
