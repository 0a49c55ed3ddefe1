# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What tile sizes gain here: ``python -m pock.benchmarks.tiles`` prints the tables in ``cpu_tiling``.

Each product, transposition and depthwise convolution is compiled with the tile sizes that IREE chooses and
with those of ``pock.targets``, and run on one core; the time is the least of several runs.
"""

import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import iree.runtime as rt
import numpy as np
from iree.compiler import ir
from iree.compiler.tools.binaries import find_tool

from pock.compiler.tiling import configure
from pock.targets import get_target

#: Rows, columns, depth, and the subscripts of the operands.
PRODUCTS = (
    (1024, 1536, 384, "m, k", "k, n"),
    (8192, 256, 64, "m, k", "k, n"),
    (128, 512, 4608, "m, k", "k, n"),
    (49, 160, 960, "m, k", "k, n"),
    (784, 40, 240, "m, k", "k, n"),
    (16, 112, 1280, "m, k", "k, n"),
    (256, 64, 8192, "k, m", "k, n"),
    (1536, 384, 1024, "k, m", "k, n"),
    (96, 16, 32768, "k, m", "k, n"),
    (1, 1280, 1000, "m, k", "k, n"),
    (1, 1000, 1280, "m, k", "n, k"),
    (8, 1000, 1280, "m, k", "n, k"),
)

#: Rows and columns of copies of matrices the other way round.
TRANSPOSITIONS = ((1408, 1024), (512, 1024), (384, 1536))

#: Images, their height and width, channels, taps a dimension, stride, and whether it is the weight gradient.
CONVOLUTIONS = (
    (2, 112, 32, 3, 1, False),
    (2, 56, 144, 3, 1, False),
    (2, 28, 240, 5, 1, False),
    (1, 28, 240, 5, 1, False),
    (1, 56, 72, 5, 2, False),
    (1, 112, 32, 3, 1, True),
    (1, 112, 96, 3, 2, True),
    (1, 28, 72, 3, 1, True),
    (1, 7, 576, 5, 1, True),
)


def shape(m: int, n: int, k: int, subscripts: str) -> tuple[int, ...]:
    """The shape of an operand with these subscripts."""
    sizes = {"m": m, "n": n, "k": k}
    return tuple(sizes[name] for name in subscripts.split(", "))


def source(m: int, n: int, k: int, left: str, right: str) -> str:
    """The product as a linalg module."""
    a, b = ("x".join(map(str, shape(m, n, k, operand))) for operand in (left, right))
    return f"""
func.func @f(%a: tensor<{a}xf32>, %b: tensor<{b}xf32>) -> tensor<{m}x{n}xf32> {{
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<{m}x{n}xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<{m}x{n}xf32>) -> tensor<{m}x{n}xf32>
  %c = linalg.generic {{
    indexing_maps = [affine_map<(m, n, k) -> ({left})>, affine_map<(m, n, k) -> ({right})>,
                     affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  }} ins(%a, %b : tensor<{a}xf32>, tensor<{b}xf32>) outs(%init : tensor<{m}x{n}xf32>) {{
  ^bb0(%x: f32, %y: f32, %sum: f32):
    %product = arith.mulf %x, %y : f32
    %next = arith.addf %sum, %product : f32
    linalg.yield %next : f32
  }} -> tensor<{m}x{n}xf32>
  return %c : tensor<{m}x{n}xf32>
}}
"""


def transposition(rows: int, columns: int) -> str:
    """A copy of a matrix ``[columns, rows]`` as ``[rows, columns]``."""
    a, c = f"tensor<{columns}x{rows}xf32>", f"tensor<{rows}x{columns}xf32>"
    return f"""
func.func @f(%a: {a}) -> {c} {{
  %empty = tensor.empty() : {c}
  %c = linalg.transpose ins(%a : {a}) outs(%empty : {c}) permutation = [1, 0]
  return %c : {c}
}}
"""


def convolution(
    n: int, size: int, channels: int, taps: int, stride: int, gradient: bool
) -> tuple[str, list[tuple[int, ...]]]:
    """A padded depthwise convolution with channels last, or its weight gradient, and the operands' shapes."""
    outputs = (size - 1) // stride + 1
    read, low = (outputs - 1) * stride + taps, (taps - 1) // 2
    window, result = (outputs, taps) if gradient else (taps, outputs)
    x, w = (n, size, size, channels), (window, window, channels)
    a, p, b, c = (
        "x".join(map(str, each)) + "xf32"
        for each in (x, (n, read, read, channels), w, (n, result, result, channels))
    )
    high = read - size - low
    strides, dilations = (1, stride) if gradient else (stride, 1)
    return (
        f"""
func.func @f(%a: tensor<{a}>, %b: tensor<{b}>) -> tensor<{c}> {{
  %zero = arith.constant 0.0 : f32
  %padded = tensor.pad %a low[0, {low}, {low}, 0] high[0, {high}, {high}, 0] {{
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    tensor.yield %zero : f32
  }} : tensor<{a}> to tensor<{p}>
  %empty = tensor.empty() : tensor<{c}>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<{c}>) -> tensor<{c}>
  %c = linalg.depthwise_conv_2d_nhwc_hwc
    {{dilations = dense<{dilations}> : tensor<2xi64>, strides = dense<{strides}> : tensor<2xi64>}}
    ins(%padded, %b : tensor<{p}>, tensor<{b}>) outs(%init : tensor<{c}>) -> tensor<{c}>
  return %c : tensor<{c}>
}}
""",
        [x, w],
    )


def compiled(text: str, tiled: bool) -> bytes:
    """The product as a ``.vmfb``."""
    target = get_target("cpu")
    flags = [*target.compile_flags(), *target.tuning_flags()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in.mlir").write_text(text)

        def run(given: str, *phase: str) -> bytes:
            command = [find_tool("iree-compile"), given, "-o", "out", *flags, *phase]
            subprocess.run(command, cwd=folder, check=True)
            return (folder / "out").read_bytes()

        stream = run("in.mlir", "--compile-to=stream")
        with ir.Context():
            module = ir.Module.parse(stream)
            if tiled:
                configure(module, target.tiling)
            (folder / "stream.mlir").write_text(str(module))
        return run("stream.mlir", "--compile-from=stream")


def least(call: Callable[[], object], runs: int = 20) -> float:
    """The least time of a call, in milliseconds."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times) * 1e3


def milliseconds(vmfb: bytes, *arrays: Any) -> float:
    """The least time of a call of the program on one core."""
    config = rt.Config("local-sync")
    context = rt.SystemContext(config=config)
    context.add_vm_module(rt.VmModule.copy_buffer(config.vm_instance, vmfb))
    call = context.modules.module["f"]
    return least(partial(call, *(rt.asdevicearray(config.device, array) for array in arrays)))


def main() -> None:
    """Print the tables."""
    products()
    print()
    transpositions()
    print()
    convolutions()


def products() -> None:
    """Print the table of products, beside NumPy's."""
    print("| M x N x K | left | right | IREE's choice | here | NumPy |")
    print("| --- | --- | --- | --- | --- | --- |")
    for m, n, k, left, right in PRODUCTS:
        text, rng = source(m, n, k, left, right), np.random.default_rng(0)
        a, b = (rng.standard_normal(shape(m, n, k, s), dtype=np.float32) for s in (left, right))
        numpy = least(partial(np.matmul, a if left == "m, k" else a.T, b if right == "k, n" else b.T))
        plain, tiled = (milliseconds(compiled(text, choice), a, b) for choice in (False, True))
        times = f"{plain:.2f} | {tiled:.2f} | {numpy:.2f}"
        print(f"| {m} x {n} x {k} | {left} | {right} | {times} |", flush=True)


def transpositions() -> None:
    """Print the table of copies of matrices, beside NumPy's."""
    print("| rows x columns | IREE's choice | here | NumPy |")
    print("| --- | --- | --- | --- |")
    for rows, columns in TRANSPOSITIONS:
        text, a = transposition(rows, columns), np.ones((columns, rows), np.float32)
        plain, tiled = (milliseconds(compiled(text, choice), a) for choice in (False, True))
        numpy = least(partial(np.ascontiguousarray, a.T))
        print(f"| {rows} x {columns} | {plain:.3f} | {tiled:.3f} | {numpy:.3f} |", flush=True)


def convolutions() -> None:
    """Print the table of depthwise convolutions."""
    print("| images | taps | stride | | IREE's choice | here |")
    print("| --- | --- | --- | --- | --- | --- |")
    for n, size, channels, taps, stride, gradient in CONVOLUTIONS:
        text, shapes = convolution(n, size, channels, taps, stride, gradient)
        rng = np.random.default_rng(0)
        arrays = [rng.standard_normal(each, dtype=np.float32) for each in shapes]
        plain, tiled = (milliseconds(compiled(text, choice), *arrays) for choice in (False, True))
        images = f"{n} x {size} x {size} x {channels}"
        kind = "weight gradient" if gradient else "output"
        print(f"| {images} | {taps} x {taps} | {stride} | {kind} | {plain:.3f} | {tiled:.3f} |", flush=True)


if __name__ == "__main__":
    main()
