# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What copies of matrices gain here: ``python -m pock.benchmarks.products`` prints the table.

The products of linear layers, forward and backward, are lowered by torch-mlir alone, with copies whose rows
are adjacent, and with copies in panels (``pock.compiler.conversions``), and run on one core with the tile
sizes of ``pock.targets``. The copies are part of the time, which is the least of several runs.
"""

from functools import partial

import numpy as np

from pock.compiler.lowering import TO_LINALG
from pock.compiler.opt import parse_module, run_pipeline
from pock.compiler.passes.convert_to_linalg import ConvertToLinalg
from pock.dialects import sparsebp
from pock.targets import get_target

from .tiles import compiled, least, milliseconds

#: What is computed, rows, columns, depth, and which operands are given transposed.
PRODUCTS = (
    ("forward", 1024, 1536, 384, "right"),
    ("forward", 1024, 384, 1536, "right"),
    ("forward", 128, 1536, 384, "right"),
    ("forward", 128, 512, 4608, "right"),
    ("forward", 16, 1536, 384, "right"),
    ("input gradient", 1024, 384, 1536, ""),
    ("input gradient", 1024, 384, 384, ""),
    ("input gradient", 1024, 512, 512, ""),
    ("input gradient", 512, 1024, 256, ""),
    ("weight gradient", 1536, 384, 1024, "left"),
    ("weight gradient", 384, 1536, 1024, "left"),
    ("weight gradient", 384, 128, 1024, "left"),
)


def source(m: int, n: int, k: int, transposed: str) -> str:
    """The product in the torch dialect."""
    a, b = ((k, m) if transposed == "left" else (m, k)), ((n, k) if transposed == "right" else (k, n))
    given = {name: f"!torch.vtensor<[{i},{j}],f32>" for name, (i, j) in (("left", a), ("right", b))}
    types = {"left": f"!torch.vtensor<[{m},{k}],f32>", "right": f"!torch.vtensor<[{k},{n}],f32>"}
    lines = []
    operands = {"left": "%a", "right": "%b"}
    if transposed:
        lines = [f"%t = torch.aten.t {operands[transposed]} : {given[transposed]} -> {types[transposed]}"]
        operands[transposed] = "%t"
    result = f"!torch.vtensor<[{m},{n}],f32>"
    names, of = (", ".join(each.values()) for each in (operands, types))
    product = f"torch.aten.mm {names} : {of} -> {result}"
    body = "\n  ".join([*lines, f"%c = {product}", f"return %c : {result}"])
    return f"func.func @f(%a: {given['left']}, %b: {given['right']}) -> {result} {{\n  {body}\n}}\n"


def lowered(text: str, conversion: ConvertToLinalg | None) -> str:
    """The product as a linalg module, by torch-mlir alone or after our conversions."""
    module = parse_module(text, sparsebp.context())
    run_pipeline(module, [*([conversion] if conversion else []), *TO_LINALG])
    return str(module)


def main() -> None:
    """Print the table."""
    print("| | M x N x K | transposed | torch-mlir | copies | panels | NumPy |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    ways = (None, ConvertToLinalg(), ConvertToLinalg(get_target("cpu").panel))
    for what, m, n, k, transposed in PRODUCTS:
        text, rng = source(m, n, k, transposed), np.random.default_rng(0)
        a = rng.standard_normal((k, m) if transposed == "left" else (m, k), dtype=np.float32)
        b = rng.standard_normal((n, k) if transposed == "right" else (k, n), dtype=np.float32)
        x, y = a.T if transposed == "left" else a, b.T if transposed == "right" else b
        times = [milliseconds(compiled(lowered(text, way), tiled=True), a, b) for way in ways]
        cells = [f"{time:.2f}" for time in (*times, least(partial(np.matmul, x, y)))]
        print(f"| {' | '.join([what, f'{m} x {n} x {k}', transposed or 'none', *cells])} |", flush=True)


if __name__ == "__main__":
    main()
