# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What tile sizes gain here: ``python -m pock.benchmarks.tiles`` prints the table in ``cpu_tiling``.

Each product is compiled as IREE would by itself and with ``pock.targets``' tile sizes, and run on one core;
the time is the least of several runs.
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


def compiled(text: str, tiled: bool) -> bytes:
    """The product as a ``.vmfb``."""
    target = get_target("cpu")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in.mlir").write_text(text)

        def run(given: str, *phase: str) -> bytes:
            command = [find_tool("iree-compile"), given, "-o", "out", *target.compile_flags(), *phase]
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
    """Print the table."""
    print("| M x N x K | left | right | IREE's choice | here | NumPy |")
    print("| --- | --- | --- | --- | --- | --- |")
    for m, n, k, left, right in PRODUCTS:
        text, rng = source(m, n, k, left, right), np.random.default_rng(0)
        a, b = (rng.standard_normal(shape(m, n, k, s), dtype=np.float32) for s in (left, right))
        numpy = least(partial(np.matmul, a if left == "m, k" else a.T, b if right == "k, n" else b.T))
        plain, tiled = (milliseconds(compiled(text, choice), a, b) for choice in (False, True))
        times = f"{plain:.2f} | {tiled:.2f} | {numpy:.2f}"
        print(f"| {m} x {n} x {k} | {left} | {right} | {times} |", flush=True)


if __name__ == "__main__":
    main()
