# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the machine can do, measured as dispatches are: by kernels of IREE's, through IREE's profiler.

As the Empirical Roofline Toolkit does (Lo et al., PMBS 2014): operations by a kernel that does nothing but
multiply and add in registers, bytes by ``a + s b`` over vectors of several sizes, since what stays in a
cache moves faster.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from iree.compiler.tools.binaries import find_tool

from pock.targets import get_target

from .errors import ProfileError
from .results import Peaks
from .tools import Call, scratch, typed

#: Elements of the kernel that computes; chains of so many operations each are independent of each other.
_SIZE, _CHAINS, _LENGTH = 1 << 16, 8, 64

#: Elements of vectors, from what fits the smallest cache to what fits none.
_VECTORS = tuple(1 << i for i in range(12, 26, 2))

#: Bytes of an element's share of ``a + s b``: two reads and a write of f32.
_BYTES = 12

#: Calls, of which the fastest counts: as many as move so many elements in all.
_ELEMENTS, _FEWEST, _MOST = 1 << 26, 5, 300


def measure_peaks(threads: int) -> Peaks:
    """f32 operations a second, and bytes a second by how many are touched. Takes seconds.

    Raises ``ProfileError``.
    """
    with scratch() as folder:
        program = _compiled([_computing(), *map(_moving, _VECTORS)], folder)

        def best(function: str, arguments: Sequence[str], calls: int) -> float:
            kernel = Call(program, function, arguments, threads)
            steps = kernel.profiled(calls, folder)
            return min(event.end - event.start for events, _ in steps for event in events)

        scalar = f"{typed((), 'float32')}=0.5"
        seconds = best("compute", [f"{typed((_SIZE,), 'float32')}=1", scalar, scalar], _MOST)
        bandwidth = {}
        for n in _VECTORS:
            vector = f"{typed((n,), 'float32')}=1"
            calls = max(_FEWEST, min(_MOST, _ELEMENTS // n))
            bandwidth[_BYTES * n] = _BYTES * n / best(f"move_{n}", [vector, vector], calls)
    return Peaks(2 * _SIZE * _CHAINS * _LENGTH / seconds, bandwidth)


def _compiled(functions: Sequence[str], folder: Path) -> Path:
    source, program = folder / "peaks.mlir", folder / "peaks.vmfb"
    source.write_text("\n".join(functions))
    command = [find_tool("iree-compile"), str(source), *get_target("cpu").compile_flags(), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ProfileError(f"iree-compile cannot compile what measures the machine: {done.stderr[:200]}")
    return program


def _computing() -> str:
    """A function whose body is chains of fused multiplications and additions, in no memory."""
    chains = range(_CHAINS)
    begun = [f"%c{k}_0 = arith.addf %x, %k{k} : f32" for k in chains]
    steps = [f"%c{k}_{i + 1} = math.fma %c{k}_{i}, %s, %t : f32" for i in range(_LENGTH) for k in chains]
    sums = [f"%sum{k + 1} = arith.addf %sum{k}, %c{k}_{_LENGTH} : f32" for k in chains]
    body = "\n".join(["%sum0 = arith.constant 0.0 : f32", *begun, *steps, *sums])
    constants = "\n".join(f"%k{k} = arith.constant {k}.0 : f32" for k in chains)
    vector = f"tensor<{_SIZE}xf32>"
    return f"""
func.func @compute(%a: {vector}, %b: tensor<f32>, %c: tensor<f32>) -> {vector} {{
  {constants}
  %empty = tensor.empty() : {vector}
  %result = linalg.generic {{
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> ()>, affine_map<(i) -> ()>,
                       affine_map<(i) -> (i)>],
      iterator_types = ["parallel"]
  }} ins(%a, %b, %c : {vector}, tensor<f32>, tensor<f32>) outs(%empty : {vector}) {{
  ^bb0(%x: f32, %s: f32, %t: f32, %out: f32):
    {body}
    linalg.yield %sum{_CHAINS} : f32
  }} -> {vector}
  return %result : {vector}
}}
"""


def _moving(n: int) -> str:
    """A function that adds a multiple of one vector of ``n`` elements to another."""
    vector = f"tensor<{n}xf32>"
    return f"""
func.func @move_{n}(%a: {vector}, %b: {vector}) -> {vector} {{
  %scale = arith.constant 3.0 : f32
  %empty = tensor.empty() : {vector}
  %result = linalg.generic {{
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
      iterator_types = ["parallel"]
  }} ins(%a, %b : {vector}, {vector}) outs(%empty : {vector}) {{
  ^bb0(%x: f32, %y: f32, %out: f32):
    %product = arith.mulf %y, %scale : f32
    %sum = arith.addf %x, %product : f32
    linalg.yield %sum : f32
  }} -> {vector}
  return %result : {vector}
}}
"""
