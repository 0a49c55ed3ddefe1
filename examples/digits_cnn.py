# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A small convolutional network for scikit-learn's digits: the task of the README.

Run as a program it writes the data as `digits.npz` and `digits-test.npz`.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pock.compiler import TrainingTask

BATCH = 32


class DigitsCNN(nn.Module):
    """Two convolutions, a depthwise one and two linear layers, for 8 by 8 pixels in 10 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU())
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.ReLU())
        self.expand = nn.Sequential(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU())
        self.hidden = nn.Linear(32 * 4 * 4, 64)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        x = x + self.depthwise(x)
        x = torch.relu(self.hidden(self.expand(x).flatten(1)))
        return self.classifier(self.dropout(x))


def task() -> TrainingTask:
    """Batches of 32 grey images."""
    torch.manual_seed(0)
    image, label = torch.zeros(BATCH, 1, 8, 8), torch.zeros(BATCH, dtype=torch.int64)
    return TrainingTask(DigitsCNN(), (image,), (label,), nn.functional.cross_entropy, target_names=("label",))


def write_data(folder: Path) -> None:
    """The digits as `image` (float32, 0 to 1) and `label` (int64), four fifths for training."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(images))
    cut = len(images) * 4 // 5
    for name, chosen in (("digits.npz", order[:cut]), ("digits-test.npz", order[cut:])):
        np.savez(folder / name, image=images[chosen], label=labels[chosen].astype(np.int64))


if __name__ == "__main__":
    write_data(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
