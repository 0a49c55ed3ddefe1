# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Small image data sets, as ImageNet-sized batches for a pretrained network."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


class DataError(Exception):
    """A data set that is not there."""


@dataclass(frozen=True)
class Images:
    """Grey images ``[n, h, w]`` in [0, 1] and labels ``[n]`` (int64), split for training and testing."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def digits() -> Images:
    """scikit-learn's handwritten digits: 1,797 images of 8 by 8 pixels, a fifth of them for testing."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8) / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], labels[order].astype(np.int64)
    cut = len(images) * 4 // 5
    return Images(images[:cut], labels[:cut], images[cut:], labels[cut:])


def fashion_mnist(folder: Path | None = None) -> Images:
    """Fashion-MNIST from Debian's package ``dataset-fashion-mnist``: 60,000 and 10,000 images of 28 by 28."""
    folder = folder or _fashion_folder()
    return Images(
        _idx(folder, "train-images-idx3-ubyte").astype(np.float32) / 255,
        _idx(folder, "train-labels-idx1-ubyte").astype(np.int64),
        _idx(folder, "t10k-images-idx3-ubyte").astype(np.float32) / 255,
        _idx(folder, "t10k-labels-idx1-ubyte").astype(np.int64),
    )


def _fashion_folder() -> Path:
    if not FASHION_MNIST.is_dir():
        raise DataError("Fashion-MNIST is not installed: apt-get install dataset-fashion-mnist")
    return FASHION_MNIST


def _idx(folder: Path, name: str) -> np.ndarray:
    """An array in the IDX format: two zero bytes, type, rank, big-endian sizes, bytes."""
    for path, opener in ((folder / f"{name}.gz", gzip.open), (folder / name, open)):
        if path.is_file():
            with opener(path, "rb") as file:
                data = file.read()
            rank = data[3]
            sizes = np.frombuffer(data, ">i4", rank, 4)
            return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(sizes)
    raise DataError(f"{folder} has no {name}")


def batch(images: np.ndarray, size: int) -> np.ndarray:
    """Grey images as normalised RGB ``[n, 3, size, size]`` (float32), scaled bilinearly."""
    scaled = _resize(_resize(images, size, 1), size, 2)
    rgb = (scaled[:, None] - MEAN[:, None, None]) / STD[:, None, None]
    return np.ascontiguousarray(rgb, np.float32)


def _resize(images: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Linear interpolation along one axis, between pixel centres."""
    count = images.shape[axis]
    position = np.clip((np.arange(size) + 0.5) * count / size - 0.5, 0, count - 1)
    low = np.floor(position).astype(int)
    weight = (position - low).astype(np.float32)
    weight = weight.reshape([-1 if i == axis else 1 for i in range(images.ndim)])
    high = np.minimum(low + 1, count - 1)
    return images.take(low, axis) * (1 - weight) + images.take(high, axis) * weight
