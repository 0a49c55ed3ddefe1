# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Targets: how they are named, mistakes in their names, and training steps compiled for each."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pock.compiler import SGD, Scheme, TrainingProgram, TrainingTask, compile_program, trace
from pock.targets import Target, TargetError, get_target, target_names
from tests.e2e import zoo


def test_the_registry_knows_every_target() -> None:
    assert target_names() == ["cpu", "cuda", "metal", "vulkan"]
    for name in target_names():
        target = get_target(name)
        assert isinstance(target, Target) and str(target) == target.name == name
        assert target.device and target.compile_flags()


@pytest.mark.parametrize(
    ("text", "shown", "flag"),
    [
        ("cpu:cortex-a72,triple=aarch64-linux-gnu", "cpu:cpu=cortex-a72,triple=aarch64-linux-gnu",
         "--iree-llvmcpu-target-triple=aarch64-linux-gnu"),
        ("cpu:features=neon+fp16", "cpu:features=neon+fp16",
         "--iree-llvmcpu-target-cpu-features=+neon,+fp16"),
        ("cuda:sm_53", "cuda:arch=sm_53", "--iree-cuda-target=sm_53"),
        ("vulkan:valhall4", "vulkan:arch=valhall4", "--iree-vulkan-target=valhall4"),
    ],
)  # fmt: skip
def test_options_by_name_and_by_place(text: str, shown: str, flag: str) -> None:
    target = get_target(text)
    assert str(target) == shown and flag in target.compile_flags()
    assert get_target(shown) == target


def test_only_this_machine_s_processor_is_the_host() -> None:
    assert [name for name in target_names() if get_target(name).is_host] == ["cpu"]
    assert not get_target("cpu:cortex-a72,triple=aarch64-linux-gnu").is_host


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vulcan", "no target is named 'vulcan'; did you mean 'vulkan'?"),
        ("tpu9", "no target is named 'tpu9'; there are cpu, cuda, metal, vulkan"),
        ("", "no target is named ''; there are cpu, cuda, metal, vulkan"),
        ("cuda:sm_87,bits=64", "target 'cuda' cannot read option 'bits=64'; its options are arch"),
        ("cpu:triple=", "target 'cpu' cannot read option 'triple='; its options are cpu, triple, features"),
    ],
)
def test_mistakes_are_one_line(text: str, message: str) -> None:
    with pytest.raises(TargetError) as error:
        get_target(text)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "target",
    [
        "vulkan:adreno", "vulkan:adreno-740", "vulkan:vp_android_baseline_2022",
        "vulkan:valhall4", "vulkan:mali-g78", "vulkan:rdna3", "vulkan:rtx3070", "metal",
    ],
)  # fmt: skip
def test_the_narrowest_integer_is_iree_s(target: str) -> None:
    found = get_target(target)
    command = [
        str(Path(sys.executable).parent / "iree-compile"), "-", *found.compile_flags(),
        "--compile-to=executable-targets",
    ]  # fmt: skip
    module = subprocess.run(
        command, input="func.func @f() { return }", capture_output=True, text=True, check=True
    ).stdout
    widths = re.search(r"storage = ([b\d|]+)", module)
    assert widths is not None
    assert found.storage_bits == min(int(width[1:]) for width in widths[1].split("|"))


class Pixels(nn.Module):
    """Dropout of what bytes and truth values go into."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 5)
        self.register_buffer("kept", torch.arange(12) % 2 > 0)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(F.relu(self.fc(x.float() * self.kept)), 0.5, self.training)


class Arithmetic(nn.Module):
    """What is computed element by element in a way of our own."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        waves = torch.sin(y) + torch.cos(y) + torch.tan(y) + torch.atan2(y, x) + torch.atan(y)
        powers = y.abs() ** y + y**2.5 + 1.5**y + torch.exp2(y) + (y * 9).int() ** 3
        rest = torch.fmod(y, 0.3) + torch.fmod(x, y) + torch.remainder(y, x)
        limits = torch.maximum(x, y) + torch.minimum(y, x) + y.clamp(-1, 2) + y.clamp(max=x) + F.hardtanh(y)
        return F.dropout(waves + powers + rest + limits, 0.5, self.training)


@cache
def program(name: str) -> TrainingProgram:
    torch.manual_seed(0)
    if name == "conv":
        model, x = zoo.settle(zoo.ConvNet()), torch.randn(2, 3, 16, 16)
    elif name == "arithmetic":
        model, x = Arithmetic(), torch.randn(2, 8)
    elif name == "pixels":
        model, x = Pixels(), torch.zeros(2, 12, dtype=torch.uint8)
    else:
        model, x = zoo.Transformer(layers=1), torch.arange(16).view(2, 8)
    return trace(TrainingTask(model, (x,), (torch.tensor([0, 2]),), F.cross_entropy))


@pytest.mark.parametrize("model", ["conv", "transformer", "arithmetic"])
@pytest.mark.parametrize(
    "target",
    ["cpu", "cpu:cortex-a72,triple=aarch64-linux-gnu", "cuda", "vulkan:adreno", "vulkan:valhall4", "metal"],
)
def test_training_steps_compile(model: str, target: str) -> None:
    artifact = compile_program(program(model), Scheme.full(), SGD(momentum=0.9), target=target)
    assert artifact.vmfb and artifact.metadata["target"] == str(get_target(target))


@pytest.mark.parametrize("target", ["vulkan:adreno", "vulkan:vp_android_baseline_2022"])
def test_bytes_and_truth_values_compile_where_no_byte_is_stored(target: str) -> None:
    metadata = compile_program(program("pixels"), target=target).metadata
    (pixels,) = metadata["inputs"]
    assert pixels["dtype"] == "uint8"
    assert pixels["stored"] == f"int{get_target(target).storage_bits}"
