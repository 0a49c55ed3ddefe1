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

#: Rows, columns, depth, and the subscripts of the left operand.
PRODUCTS = (
    (1024, 1536, 384, "m, k"),
    (8192, 256, 64, "m, k"),
    (128, 512, 4608, "m, k"),
    (49, 160, 960, "m, k"),
    (256, 64, 8192, "k, m"),
    (1536, 384, 1024, "k, m"),
    (96, 16, 32768, "k, m"),
)


def source(m: int, n: int, k: int, left: str) -> str:
    """The product as a linalg module."""
    sizes = {"m": m, "k": k}
    a = "x".join(str(sizes[name]) for name in left.split(", "))
    return f"""
func.func @f(%a: tensor<{a}xf32>, %b: tensor<{k}x{n}xf32>) -> tensor<{m}x{n}xf32> {{
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<{m}x{n}xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<{m}x{n}xf32>) -> tensor<{m}x{n}xf32>
  %c = linalg.generic {{
    indexing_maps = [affine_map<(m, n, k) -> ({left})>, affine_map<(m, n, k) -> (k, n)>,
                     affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  }} ins(%a, %b : tensor<{a}xf32>, tensor<{k}x{n}xf32>) outs(%init : tensor<{m}x{n}xf32>) {{
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
    print("| M x N x K | left | IREE's choice | here | NumPy |\n| --- | --- | --- | --- | --- |")
    for m, n, k, left in PRODUCTS:
        text, rng = source(m, n, k, left), np.random.default_rng(0)
        a = rng.standard_normal((m, k) if left == "m, k" else (k, m), dtype=np.float32)
        b = rng.standard_normal((k, n), dtype=np.float32)
        numpy = least(partial(np.matmul, a if left == "m, k" else a.T, b))
        plain, tiled = (milliseconds(compiled(text, choice), a, b) for choice in (False, True))
        print(f"| {m} x {n} x {k} | {left} | {plain:.2f} | {tiled:.2f} | {numpy:.2f} |", flush=True)


if __name__ == "__main__":
    main()
