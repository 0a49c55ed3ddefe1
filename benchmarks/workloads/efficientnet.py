# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""EfficientNet-Lite0, from the package efficientnet-lite-pytorch."""

import torch

from pock.benchmarks.errors import Unsupported
from pock.benchmarks.workload import Built

from .data import images


def efficientnet_lite0(batch: int, size: int, classes: int = 1000) -> Built:
    """EfficientNet-Lite0 without dropout and stochastic depth, which would make the losses differ."""
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError:
        raise Unsupported(
            "efficientnet-lite-pytorch is not installed: pip install 'pock[benchmarks]'"
        ) from None
    torch.manual_seed(0)
    model = EfficientNet.from_name(
        "efficientnet-lite0", dropout_rate=0.0, drop_connect_rate=0.0, num_classes=classes
    )
    return images(model, batch, size, classes)
