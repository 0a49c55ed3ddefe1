# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The registry of workloads. Importing it imports no PyTorch; building a workload does."""

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from pock.benchmarks.errors import BenchmarkError
from pock.benchmarks.workload import Workload


def _last(pattern: str, first: int, last: int) -> list[str]:
    """``pattern`` for each of the blocks ``first`` to ``last``."""
    return [pattern.format(block) for block in range(first, last + 1)]


# PockEngine's schemes (2310.17752, section 4): biases of the last seven blocks of a mobile network and the
# weights of their first pointwise convolution, of MCUNet's last four; of ResNet-50 the last eight blocks;
# of a BERT of six layers the biases of the last three and the attention's and the first feed-forward weights
# of the last two. In networks with batch norm, the biases are batch norm's.
def _mobilenet(first_weight: int) -> dict[str, list[str]]:
    return {
        "bias-only": ["*bias", "classifier.*"],
        "sparse": [
            *_last("features.{}.*bias", 11, 18),
            *_last("features.{}.conv.0.0.weight", first_weight, 17),
            "classifier.*",
        ],
    }


_EFFICIENTNET = {
    "bias-only": ["*bias", "_fc.*"],
    "sparse": [
        *_last("_blocks.{}.*bias", 9, 15),
        *_last("_blocks.{}._expand_conv.weight", 9, 15),
        "_bn1.bias",
        "_fc.*",
    ],
}

_RESNET = {
    "bias-only": ["*bias", "fc.*"],
    "sparse": [
        *_last("layer3.{}.*bias", 1, 5),
        "layer4.*bias",
        *_last("layer3.{}.conv1.weight", 1, 5),
        "layer4.*.conv1.weight",
        "fc.*",
    ],
}

_BERT = {
    "bias-only": ["*bias", "classifier.*"],
    "sparse": [
        *_last("layers.{}.*bias", 3, 5),
        *_last("layers.{}.attention.*.weight", 4, 5),
        *_last("layers.{}.up.weight", 4, 5),
        "classifier.*",
    ],
}

# A Llama has no biases: the scales of its norms are what bias-only trains besides the output layer.
_LLAMA = {
    "bias-only": ["*norm.weight", "output.weight"],
    "sparse": [
        *_last("layers.{}.attention.*.weight", 6, 7),
        *_last("layers.{}.gate.weight", 6, 7),
        *_last("layers.{}.up.weight", 6, 7),
        "output.weight",
    ],
}

_ALL = (
    Workload(
        "mobilenetv2-0.35",
        "MobileNetV2 of width 0.35, 128 by 128: the size that fits a microcontroller",
        "mobilenet:mobilenetv2",
        _mobilenet(14),
        {"size": 128, "width": 0.35},
    ),
    Workload(
        "mobilenetv2-128",
        "MobileNetV2, 128 by 128",
        "mobilenet:mobilenetv2",
        _mobilenet(11),
        {"size": 128},
    ),
    Workload(
        "mobilenetv2-224",
        "MobileNetV2, 224 by 224",
        "mobilenet:mobilenetv2",
        _mobilenet(11),
        {"size": 224},
    ),
    Workload(
        "efficientnet-lite0",
        "EfficientNet-Lite0, 224 by 224",
        "efficientnet:efficientnet_lite0",
        _EFFICIENTNET,
        {"size": 224},
    ),
    Workload("resnet50", "ResNet-50, 128 by 128", "resnet:resnet50", _RESNET, {"size": 128}),
    Workload(
        "bert-small",
        "BERT of 6 layers, 384 wide, 12 heads, over 128 tokens, classifying",
        "bert:bert",
        _BERT,
        {"layers": 6, "width": 384, "heads": 12, "length": 128, "vocabulary": 30522},
    ),
    Workload(
        "llama-small",
        "Llama-style decoder of 8 layers, 512 wide, over 128 tokens, predicting the next",
        "llama:llama",
        _LLAMA,
        {"layers": 8, "width": 512, "heads": 8, "length": 128, "vocabulary": 4000},
    ),
    Workload(
        "tiny",
        "a convolutional network of a few layers: to test the benchmark itself",
        "tiny:tiny",
        {
            "bias-only": ["*bias", "classifier.*"],
            "sparse": ["block.*bias", "block.expand.weight", "classifier.*"],
        },
        {},
        hidden=True,
    ),
)

WORKLOADS = {workload.name: workload for workload in _ALL}


def select(patterns: Sequence[str]) -> list[Workload]:
    """The workloads that one of the globs matches, in the registry's order; raises ``BenchmarkError``."""
    for pattern in patterns:
        if not any(_matches(workload, pattern) for workload in _ALL):
            shown = [w.name for w in _ALL if not w.hidden]
            near = get_close_matches(pattern, shown, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(shown)}"
            raise BenchmarkError(f"no workload matches '{pattern}'; {hint}")
    return [w for w in _ALL if any(_matches(w, pattern) for pattern in patterns)]


def _matches(workload: Workload, pattern: str) -> bool:
    return workload.name == pattern or (not workload.hidden and fnmatchcase(workload.name, pattern))
