# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The commands of a step: their operations and bytes against figures by hand, and the layers they are of."""

import json
from dataclasses import asdict
from functools import cache
from pathlib import Path

import pytest
import torch
from iree.compiler import ir
from torch import Tensor, nn
from torch.nn import functional as F

from pock.compiler import SGD, Artifact, Scheme, TrainingTask, compile_program, trace
from pock.compiler.analysis.commands import Command, commands
from pock.compiler.source import Part, Source
from tests.python.compiler.conversions.harness import CPU, compile_module

F32 = 4


def generic(maps: str, kinds: str, body: str, inputs: dict[str, str], output: str) -> str:
    """A function of one ``linalg.generic``, whose output begins at zero."""
    arguments = ", ".join(f"%{name}: tensor<{type_}>" for name, type_ in inputs.items())
    operands = ", ".join(f"%{name}" for name in inputs)
    types = ", ".join(f"tensor<{type_}>" for type_ in inputs.values())
    spelled = ", ".join(f'"{ {"p": "parallel", "r": "reduction"}[kind] }"' for kind in kinds)
    scalars = ", ".join(f"%{name}_: f32" for name in inputs)
    return f"""
func.func @step({arguments}) -> tensor<{output}> {{
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<{output}>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<{output}>) -> tensor<{output}>
  %result = linalg.generic {{indexing_maps = [{maps}], iterator_types = [{spelled}]}}
      ins({operands} : {types}) outs(%init : tensor<{output}>) {{
  ^bb0({scalars}, %sum: f32):
    {body}
  }} -> tensor<{output}>
  return %result : tensor<{output}>
}}
"""


def affine(loops: str, *results: str) -> str:
    return ", ".join(f"affine_map<({loops}) -> ({result})>" for result in results)


MULTIPLY = """%product = arith.mulf %x_, %w_ : f32
    %next = arith.addf %sum, %product : f32
    linalg.yield %next : f32"""

CASES = {
    # 2 M N K, and the three matrices once.
    "matmul": (
        generic(
            affine("m, n, k", "m, k", "k, n", "m, n"),
            "ppr", MULTIPLY, {"x": "64x48xf32", "w": "48x32xf32"}, "64x32xf32",
        ),
        2 * 64 * 32 * 48, (64 * 48 + 48 * 32) * F32, 64 * 32 * F32,
    ),
    # 2 N OH OW F KH KW C.
    "convolution with stride 2": (
        generic(
            affine("n, i, j, f, a, b, c", "n, i * 2 + a, j * 2 + b, c", "a, b, c, f", "n, i, j, f"),
            "pppprrr", MULTIPLY, {"x": "2x17x17x8xf32", "w": "3x3x8x16xf32"}, "2x8x8x16xf32",
        ),
        2 * 2 * 8 * 8 * 16 * 3 * 3 * 8, (2 * 17 * 17 * 8 + 3 * 3 * 8 * 16) * F32, 2 * 8 * 8 * 16 * F32,
    ),
    # 2 N OH OW C KH KW: no sum over channels.
    "depthwise convolution": (
        generic(
            affine("n, i, j, c, a, b", "n, i + a, j + b, c", "a, b, c", "n, i, j, c"),
            "pppprr", MULTIPLY, {"x": "2x10x10x32xf32", "w": "3x3x32xf32"}, "2x8x8x32xf32",
        ),
        2 * 2 * 8 * 8 * 32 * 3 * 3, (2 * 10 * 10 * 32 + 3 * 3 * 32) * F32, 2 * 8 * 8 * 32 * F32,
    ),
    # A difference, an exponential, a fused multiplication and addition, a product; the comparison is free.
    "elementwise": (
        generic(
            affine("i, j", "i, j", "j", "i, j"),
            "pp",
            """%a = arith.subf %x_, %w_ : f32
    %b = math.exp %a : f32
    %c = math.fma %b, %x_, %w_ : f32
    %positive = arith.cmpf ogt, %c, %x_ : f32
    %d = arith.select %positive, %c, %b : f32
    %e = arith.mulf %d, %x_ : f32
    linalg.yield %e : f32""",
            {"x": "100x64xf32", "w": "64xf32"}, "100x64xf32",
        ),
        (1 + 1 + 2 + 1) * 100 * 64, (100 * 64 + 64) * F32, 100 * 64 * F32,
    ),
    # Of the table, the rows looked up.
    "look-up": (
        """
func.func @step(%table: tensor<1000x64xf32>, %rows: tensor<10xi32>) -> tensor<10x64xf32> {
  %empty = tensor.empty() : tensor<10x64xf32>
  %result = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%rows : tensor<10xi32>) outs(%empty : tensor<10x64xf32>) {
  ^bb0(%row: i32, %out: f32):
    %i = arith.index_cast %row : i32 to index
    %j = linalg.index 1 : index
    %value = tensor.extract %table[%i, %j] : tensor<1000x64xf32>
    linalg.yield %value : f32
  } -> tensor<10x64xf32>
  return %result : tensor<10x64xf32>
}
""",
        0, 10 * 64 * F32 + 10 * 4, 10 * 64 * F32,
    ),
}  # fmt: skip


def scheduled(text: str, folder: Path) -> tuple[Command, ...]:
    """The commands of ``@step`` of a linalg module."""
    path = compile_module(text, folder, [*CPU, "--compile-to=stream"])
    with ir.Context():
        return commands(ir.Module.parse(path.read_bytes()), "step")


@pytest.mark.parametrize("case", CASES)
def test_work_is_what_it_is_by_hand(case: str, tmp_path: Path) -> None:
    text, flops, read, written = CASES[case]
    (command,) = scheduled(text, tmp_path)
    assert (command.kind, command.flops, command.read, command.written) == ("dispatch", flops, read, written)


def test_named_operations_count_too(tmp_path: Path) -> None:
    text = """
func.func @step(%x: tensor<4x8x32xf32>, %w: tensor<4x32x16xf32>) -> (tensor<4x8x16xf32>, tensor<4x8x32xf32>) {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4x8x16xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %product = linalg.batch_matmul ins(%x, %w : tensor<4x8x32xf32>, tensor<4x32x16xf32>)
      outs(%init : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %same = tensor.empty() : tensor<4x8x32xf32>
  %softmax = linalg.softmax dimension(2) ins(%x : tensor<4x8x32xf32>) outs(%same : tensor<4x8x32xf32>)
      -> tensor<4x8x32xf32>
  return %product, %softmax : tensor<4x8x16xf32>, tensor<4x8x32xf32>
}
"""
    product, softmax = sorted(scheduled(text, tmp_path), key=lambda c: c.flops, reverse=True)
    assert product.flops == 2 * 4 * 8 * 16 * 32
    assert softmax.flops == 5 * 4 * 8 * 32 and softmax.read == softmax.written == 4 * 8 * 32 * F32


# -- layers -------------------------------------------------------------------------------------


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.norm(self.conv(x)))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.blocks = nn.Sequential(Block(8), Block(8))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


@cache
def compiled(scheme: str) -> Artifact:
    torch.manual_seed(0)
    task = TrainingTask(Net(), (torch.randn(2, 3, 10, 10),), (torch.tensor([0, 3]),), F.cross_entropy)
    chosen = Scheme.full() if scheme == "full" else Scheme.last_layer(scheme)
    return compile_program(trace(task), chosen, SGD())


def step(scheme: str) -> tuple[Command, ...]:
    return compiled(scheme).commands


def layers(found: tuple[Command, ...], part: Part) -> set[str]:
    return {source.layer for command in found for source in command.sources if source.part == part}


def test_every_layer_is_there_in_every_part() -> None:
    found = step("full")
    assert all(command.sources for command in found if command.kind == "dispatch")
    own = {"stem", "blocks.0.conv", "blocks.0.norm", "blocks.1.conv", "blocks.1.norm", "head"}
    assert own | {"(loss)"} <= layers(found, Part.FORWARD)
    assert own | {"(loss)"} <= layers(found, Part.BACKWARD)
    assert {"stem", "blocks.0.conv", "blocks.1.conv", "head"} <= layers(found, Part.UPDATE) <= own


def test_equal_layers_that_share_a_kernel_are_told_apart() -> None:
    """The convolutions of the two blocks are one executable."""
    kernels: dict[str, set[Source]] = {}
    for command in step("full"):
        if command.flops > 10_000:
            kernels.setdefault(command.name, set()).add(command.sources[0])
    assert {Source(Part.FORWARD, "blocks.0.conv"), Source(Part.FORWARD, "blocks.1.conv")} in kernels.values()


def test_the_operations_of_a_layer_add_up() -> None:
    """A convolution's products: its own, and its gradients'; the first one has no input gradient."""
    for layer, passes, product in (
        ("blocks.1.conv", 3, 2 * 2 * 8 * 8 * 8 * 8 * 9), ("stem", 2, 2 * 2 * 8 * 8 * 8 * 3 * 9),
    ):  # fmt: skip
        flops = sum(c.flops for c in step("full") if c.sources and c.sources[0].layer == layer)
        assert passes * product <= flops < passes * product * 1.1, layer


def test_what_a_scheme_freezes_is_not_there() -> None:
    found = step("head.*")
    assert layers(found, Part.UPDATE) == {"head"}
    assert layers(found, Part.BACKWARD) <= {"head", "(loss)"}
    assert "blocks.1.conv" in layers(found, Part.FORWARD)


def test_a_device_is_not_told() -> None:
    """Neither layers nor the paths of the user's files are in the program."""
    vmfb = compiled("full").vmfb
    assert b"blocks.0.conv.weight" in vmfb and b"ward:blocks" not in vmfb
    assert Path(__file__).name.encode() not in vmfb


def test_commands_are_json() -> None:
    for command in step("full"):
        assert Command.from_json(json.loads(json.dumps(asdict(command)))) == command
