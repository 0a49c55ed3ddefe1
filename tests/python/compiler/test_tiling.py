# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tile sizes on dispatches: how their loops are read, where tile sizes are put, and what is computed."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from iree.compiler import ir

from pock.compiler import codegen
from pock.compiler.codegen import Request, generate
from pock.compiler.lowering import TO_LINALG
from pock.compiler.passes.convert_to_linalg import ConvertToLinalg
from pock.compiler.program import parameter_bytes
from pock.compiler.tiling import Choose, _subscripts, configure
from pock.targets import get_target
from pock.targets.cpu_tiling import tiling
from pock.targets.loops import LoopNest, Tiling
from tests.python.compiler.conversions.harness import (
    CPU,
    Case,
    array,
    compare,
    compile_module,
    lower,
    run,
    vtensor,
)

# -- reading loops -----------------------------------------------------------------------------

LOOPS = 4
TERMS = st.lists(
    st.tuples(st.integers(0, LOOPS - 1), st.integers(1, 9)), min_size=1, max_size=3, unique_by=lambda t: t[0]
)


def affine_map(results: Callable[[list[Any]], Sequence[Any]]) -> Any:
    return ir.AffineMap.get(LOOPS, 0, list(results([ir.AffineExpr.get_dim(i) for i in range(LOOPS)])))


def added(dims: list[Any], terms: Sequence[tuple[int, int]]) -> Any:
    total: Any = ir.AffineExpr.get_constant(0)
    for loop, times in terms:
        total = total + dims[loop] * times
    return total


@given(st.lists(TERMS, max_size=4))
def test_subscripts_are_sums_of_loops_times_numbers(results: list[list[tuple[int, int]]]) -> None:
    with ir.Context():
        found = _subscripts(affine_map(lambda dims: [added(dims, terms) for terms in results]))
    assert found is not None
    assert [sorted(terms) for terms in found] == [sorted(terms) for terms in results]


@pytest.mark.parametrize(
    "expression",
    [
        lambda d: d[0] + 1,
        lambda d: d[0] * -1,
        lambda d: ir.AffineExpr.get_constant(0),
        lambda d: ir.AffineExpr.get_floor_div(d[0], 2),
        lambda d: ir.AffineExpr.get_mod(d[0], 2),
        lambda d: (d[0] + d[1]) * 2,
    ],
)
def test_other_subscripts_are_not_read(expression: Callable[[list[Any]], Any]) -> None:
    with ir.Context():
        assert _subscripts(affine_map(lambda dims: [dims[2], expression(dims)])) is None


# -- products, in one module -------------------------------------------------------------------


def product(
    left: Sequence[int], right: Sequence[int], transposed: str = "", dtype: torch.dtype = torch.float32
) -> Case:
    """A product of matrices, or of batches of them; ``transposed`` says which operands are."""
    generator = torch.Generator().manual_seed(sum(left))
    a, b = (torch.randn(*shape, generator=generator).to(dtype) for shape in (left, right))
    case = Case([a, b], note=f"{tuple(left)} x {tuple(right)} {transposed} {dtype}")

    def operand(name: str, value: torch.Tensor, exchanged: bool) -> tuple[str, torch.Tensor]:
        if not exchanged:
            return name, value
        dims, other = f"{case.int(-2)}, {case.int(-1)}", value.transpose(-2, -1)
        types = f"{vtensor(value)}, !torch.int, !torch.int -> {vtensor(other)}"
        return case.value(f"torch.aten.transpose.int {name}, {dims} : {types}"), other

    x, a = operand("%a0", a, "left" in transposed)
    y, b = operand("%a1", b, "right" in transposed)
    exact = a.double() @ b.double()
    op = "bmm" if exact.dim() == 3 else "mm"
    result = exact.to(dtype)
    case.returns(
        case.value(f"torch.aten.{op} {x}, {y} : {vtensor(a)}, {vtensor(b)} -> {vtensor(result)}"),
        result,
        a.double().abs() @ b.double().abs(),
    )
    return case


def column_sums(*shape: int) -> Case:
    """The gradient of a bias."""
    return sums(shape, list(range(len(shape) - 1)))


def sums(shape: Sequence[int], dims: list[int]) -> Case:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    case = Case([x], note=f"sums of {tuple(shape)} over {dims}")
    result = x.double().sum(dims).float()
    text = (
        f"torch.aten.sum.dim_IntList %a0, {case.ints(dims)}, {case.bool(False)}, {case.none()} : "
        f"{vtensor(x)}, !torch.list<int>, !torch.bool, !torch.none -> {vtensor(result)}"
    )
    case.returns(case.value(text), result, x.double().abs().sum(dims))
    return case


def depthwise(batch: int, size: int, channels: int, kernel: int, stride: int = 1, dilation: int = 1) -> Case:
    """A depthwise convolution with channels last, padded such that windows reach over both ends."""
    generator = torch.Generator().manual_seed(size)
    x = torch.randn(batch, size, size, channels, generator=generator)
    w = torch.randn(channels, 1, kernel, kernel, generator=generator)
    case = Case([x, w], note=f"depthwise {tuple(x.shape)} {kernel} {stride} {dilation}")
    window = (stride, dilation * (kernel - 1) // 2, dilation, channels)

    def convolution(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return F.conv2d(a.double().permute(0, 3, 1, 2), b.double(), None, *window).permute(0, 2, 3, 1)

    y = convolution(x, w)
    case.returns(
        case.value(
            f'"sparsebp.convolution"(%a0, %a1) {{{attributes(*window)}}} : '
            f"({vtensor(x)}, {vtensor(w)}) -> {vtensor(y.float())}"
        ),
        y.float(),
        convolution(x.abs(), w.abs()),
    )
    return case


def depthwise_grad(size: int, channels: int, kernel: int, stride: int = 1) -> Case:
    """The weight gradient of one image."""
    generator = torch.Generator().manual_seed(size)
    window = (stride, (kernel - 1) // 2, 1, channels)
    x = torch.randn(1, size, size, channels, generator=generator)
    w = torch.zeros(channels, 1, kernel, kernel, dtype=torch.float64, requires_grad=True)
    g = torch.randn(1, *[(size - 1) // stride + 1] * 2, channels, generator=generator)

    def gradient(g: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        y = F.conv2d(x.double().permute(0, 3, 1, 2), w, None, *window)
        return torch.autograd.grad(y, w, g.double().permute(0, 3, 1, 2))[0]

    case = Case([g, x], note=f"gradient of depthwise {tuple(x.shape)} {kernel} {stride}")
    result = gradient(g, x).float()
    case.returns(
        case.value(
            f'"sparsebp.conv_weight_grad"(%a0, %a1) {{{attributes(*window)}}} : '
            f"({vtensor(g)}, {vtensor(x)}) -> {vtensor(result)}"
        ),
        result,
        gradient(g.abs(), x.abs()),
    )
    return case


def attributes(stride: int, padding: int, dilation: int, groups: int) -> str:
    window = {"stride": stride, "padding": padding, "dilation": dilation}
    listed = ", ".join(f"{name} = array<i64: {n}, {n}>" for name, n in window.items())
    return f"channels_last, {listed}, groups = {groups} : i64"


CASES = [
    product((64, 48), (48, 96)),
    product((16, 1024), (1024, 1024)),  # a reduction that is finished block by block
    product((49, 96), (96, 40)),
    product((37, 53), (53, 11)),  # nothing divides
    product((1, 64), (64, 32)),
    product((64, 1), (1, 32)),
    product((24, 66), (66, 48)),  # four do not divide the reduction
    product((1024, 48), (1024, 32), "left"),
    product((64, 48), (96, 48), "right"),
    product((48, 64), (96, 48), "left right"),
    product((3, 16, 24), (3, 24, 32)),
    product((3, 24, 16), (3, 24, 32), "left"),
    product((3, 16, 24), (3, 32, 24), "right"),
    product((64, 48), (48, 96), dtype=torch.float16),
    product((48, 64), (48, 96), "left", torch.bfloat16),
    column_sums(96, 64),
    column_sums(3, 5, 128),
    column_sums(96, 37),
    product((1, 64), (40, 64), "right"),  # a few rows
    product((6, 64), (40, 64), "right"),
    product((3, 50), (50, 128)),
    product((16, 48), (48, 24)),  # columns of one vector and a half
    product((48, 40), (48, 56), "left"),
    product((3, 16, 24), (3, 24, 40)),
    product((14, 33), (33, 12)),
    product((16, 1024), (1024, 112)),
    product((32, 48), (48, 24), dtype=torch.float16),
    product((40, 96), (96, 128)),  # the widest tile, and four rows that it leaves over
    product((32, 40), (40, 64)),  # two rows
    product((1024, 64), (1024, 128), "left"),
    product((128, 512), (128, 512), "right"),  # two panels side by side
    product((30, 48), (48, 64), dtype=torch.float16),
    product((128, 1024), (1024, 512)),  # copied into panels
    sums((96, 512), [1]),  # whole rows
    sums((33, 4000), [1]),  # and parts of rows
    depthwise(2, 28, 32, 3),
    depthwise(1, 14, 96, 5),  # an image, whose batch IREE drops
    depthwise(3, 16, 24, 3, stride=2),
    depthwise(1, 16, 16, 3, dilation=2),
    depthwise_grad(28, 32, 3),
    depthwise_grad(28, 24, 5, stride=2),
]
TILED = set(range(len(CASES))) - {3, 12, 17}
"""Cases whose loops a CPU with vectors of 64 bytes gets tile sizes for."""

WITH_PANELS = (ConvertToLinalg(get_target("cpu").panel), *TO_LINALG)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All cases at the stream phase, for a machine with AVX-512, whichever this one is."""
    text = "module {\n" + "".join(case.function(f"case{i}") for i, case in enumerate(CASES)) + "}\n"
    flags = [*CPU[:2], "--iree-llvmcpu-target-cpu=x86-64-v4", "--compile-to=stream"]
    return compile_module(lower(text, WITH_PANELS), tmp_path_factory.mktemp("stream"), flags).read_text()


def configured(stream: str, choose: Choose) -> tuple[int, str]:
    with ir.Context():
        module = ir.Module.parse(stream)
        return configure(module, choose), str(module)


def test_dispatches_carry_tile_sizes(stream: str) -> None:
    count, text = configured(stream, tiling)
    tiled: set[int] = set()
    for part in text.split("stream.executable private @case")[1:]:
        if "compilation_info" in part:
            tiled.add(int(part.split("_")[0]))
    # One is copied into panels first, and two the other way round.
    assert tiled == TILED and count == len(TILED) + 3
    assert "cache_reduction = [0, 0, 64]" in text and "enable_loop_peeling" in text


def test_targets_that_do_not_choose_change_nothing(stream: str) -> None:
    unchanged = configured(stream, lambda nest, vector_bytes: None)
    assert unchanged[0] == 0 and "compilation_info" not in unchanged[1]
    assert configured(stream, get_target("vulkan:adreno").tiling) == unchanged


def test_without_vectors_there_is_no_choice(stream: str) -> None:
    """Devices that are no CPUs do not say how large theirs are."""
    assert configured(re.sub(r", native_vector_size = \d+ : i64", "", stream), tiling)[0] == 0


def test_loops_are_seen_as_they_are(stream: str) -> None:
    seen: list[tuple[LoopNest, int]] = []

    def note(nest: LoopNest, vector_bytes: int) -> Tiling | None:
        seen.append((nest, vector_bytes))
        return None

    configured(stream, note)
    assert {size for _, size in seen} == {64}
    left = LoopNest(
        sizes=(48, 32, 1024),
        parallel=(True, True, False),
        inputs=((((2, 1),), ((0, 1),)), (((2, 1),), ((1, 1),))),
        output=(((0, 1),), ((1, 1),)),
        multiplies=True,
    )
    assert left in [nest for nest, _ in seen]


@pytest.mark.parametrize("vector_bytes", [0, 16, 64])
def test_tiled_products_are_numpys(stream: str, tmp_path: Path, vector_bytes: int) -> None:
    """With the tile sizes of narrow vectors and of wide ones, and without any."""

    def choose(nest: LoopNest, _: int) -> Tiling | None:
        return tiling(nest, vector_bytes) if vector_bytes else None

    text = "module {\n" + "".join(case.function(f"case{i}") for i, case in enumerate(CASES)) + "}\n"
    here = compile_module(lower(text, WITH_PANELS), tmp_path, [*CPU, "--compile-to=stream"]).read_text()
    _, text = configured(here, choose)
    artifact = compile_module(text, tmp_path, [*CPU, "--compile-from=stream"])
    outputs = run(artifact, [(f"case{i}", [array(t) for t in case.inputs]) for i, case in enumerate(CASES)])
    for case, found in zip(CASES, outputs, strict=True):
        tolerance = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}[case.inputs[0].dtype]
        compare(case.results[0], found[0], tolerance, case.note)


# -- a compiled step ---------------------------------------------------------------------------

STEP = """
module @pock {
func.func @init() -> tensor<64x32xf32> {
  %w = arith.constant dense<0.5> : tensor<64x32xf32>
  return %w : tensor<64x32xf32>
}
func.func @step(%x: tensor<16x64xf32>, %w: tensor<64x32xf32> {iree.abi.output = 1 : index})
    -> (tensor<16x32xf32>, tensor<64x32xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<16x32xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<16x32xf32>) -> tensor<16x32xf32>
  %y = linalg.matmul ins(%x, %w : tensor<16x64xf32>, tensor<64x32xf32>)
    outs(%z : tensor<16x32xf32>) -> tensor<16x32xf32>
  %v = arith.addf %w, %w : tensor<64x32xf32>
  return %y, %v : tensor<16x32xf32>, tensor<64x32xf32>
}
}
"""


@pytest.mark.parametrize("target", ["cpu", "vulkan:adreno"])
def test_a_compiled_steps_dispatches_carry_tile_sizes(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    """What the second run of iree-compile is given; the choice is the target's."""
    given: list[bytes] = []
    run_iree = codegen._run_iree

    def note(source: bytes, request: Request, folder: Path, phase: Sequence[str]) -> bytes:
        given.append(source)
        return run_iree(source, request, folder, phase)

    monkeypatch.setattr(codegen, "_run_iree", note)
    flags, archive = get_target("cpu:x86-64-v4").compile_flags(), parameter_bytes({})
    choose = get_target(target).tiling
    generate(Request(STEP, flags, archive, "model", False, choose), lambda facts: {})
    with ir.Context():
        text = str(ir.Module.parse(given[-1]))
    assert ("vector_common_parallel = [8, 32, 0]" in text) == (target == "cpu")
    assert ("compilation_info" in text) == (target == "cpu")
