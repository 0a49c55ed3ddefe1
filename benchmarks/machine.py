# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the machine can do: its f32 peak as the best of two libraries' matrix products reaches it."""

import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SIZE = 2048
_SECONDS = 1.0


def processor() -> str:
    """The processor's name."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def measure_peak(threads: int) -> dict[str, Any]:
    """FLOP/s of a product of two f32 matrices of ``SIZE``, by PyTorch and by IREE with data tiling."""
    return {"torch": _rate(_torch(threads)), "iree": _rate(_iree(threads))}


def _rate(product: Callable[[], object]) -> float:
    product()
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < _SECONDS:
        started = time.perf_counter()
        product()
        best = min(best, time.perf_counter() - started)
    return 2 * SIZE**3 / best


def _torch(threads: int) -> Callable[[], object]:
    import torch

    torch.set_num_threads(threads)
    a, b = torch.rand(SIZE, SIZE), torch.rand(SIZE, SIZE)
    out = torch.empty(SIZE, SIZE)
    return lambda: torch.mm(a, b, out=out)


_MATRIX = f"tensor<{SIZE}x{SIZE}xf32>"
_PRODUCT = f"""
func.func @product(%a: {_MATRIX}, %b: {_MATRIX}) -> {_MATRIX} {{
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : {_MATRIX}
  %init = linalg.fill ins(%zero : f32) outs(%empty : {_MATRIX}) -> {_MATRIX}
  %product = linalg.matmul ins(%a, %b : {_MATRIX}, {_MATRIX}) outs(%init : {_MATRIX}) -> {_MATRIX}
  return %product : {_MATRIX}
}}
"""


def _iree(threads: int) -> Callable[[], object]:
    import iree.runtime as rt
    from iree.compiler.tools.binaries import find_tool

    from pock.targets import get_target

    rt.flags.parse_flags(f"--task_topology_max_group_count={threads}")
    with tempfile.TemporaryDirectory(prefix="pock-") as folder:
        source, output = Path(folder, "product.mlir"), Path(folder, "product.vmfb")
        source.write_text(_PRODUCT)
        flags = [*get_target("cpu").compile_flags(), "--iree-opt-data-tiling"]
        subprocess.run(
            [find_tool("iree-compile"), str(source), *flags, "-o", str(output)],
            check=True,
            capture_output=True,
        )
        config = rt.Config("local-task")
        context = rt.SystemContext(config=config)
        context.add_vm_module(rt.VmModule.copy_buffer(config.vm_instance, output.read_bytes()))
    a, b = (rt.asdevicearray(config.device, np.random.rand(SIZE, SIZE).astype(np.float32)) for _ in range(2))
    return lambda: context.modules.module.product(a, b)
