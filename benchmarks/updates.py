# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What one pass over a weight gains here: ``python -m pock.benchmarks.updates`` prints the table.

The input gradient of a linear layer and the update of its weight by SGD are computed apart, and together as
``sparsebp-fuse-weight-update`` has it, on one core with the tile sizes of ``pock.targets``. The time is the
least of several runs.
"""

import numpy as np

from pock.compiler.lowering import TO_LINALG
from pock.compiler.opt import parse_module, run_pipeline
from pock.compiler.passes.convert_to_linalg import ConvertToLinalg
from pock.compiler.passes.fuse_weight_update import FuseWeightUpdate
from pock.dialects import sparsebp
from pock.targets import get_target

from .tiles import compiled, milliseconds

#: Output and input features.
WEIGHTS = ((256, 256), (512, 512), (1000, 1280), (1024, 1024))

ROWS = (1, 2, 4, 8)


def source(rows: int, outputs: int, inputs: int) -> str:
    """The backward pass of a linear layer, and its weight's update, in the torch dialect."""
    g, x, w, t = (
        f"!torch.vtensor<[{m},{n}],f32>"
        for m, n in ((rows, outputs), (rows, inputs), (outputs, inputs), (outputs, rows))
    )
    lr = "!torch.vtensor<[],f32>"
    return f"""
func.func @step(%g: {g}, %x: {x}, %lr: {lr}, %w: {w} {{iree.abi.output = 1 : index}}) -> ({x}, {w}) {{
  %one = torch.constant.int 1
  %dx = torch.aten.mm %g, %w : {g}, {w} -> {x}
  %gt = torch.aten.t %g : {g} -> {t}
  %dw = torch.aten.mm %gt, %x : {t}, {x} -> {w}
  %s = torch.aten.mul.Tensor %dw, %lr : {w}, {lr} -> {w}
  %new = torch.aten.sub.Tensor %w, %s, %one : {w}, {w}, !torch.int -> {w}
  return %dx, %new : {x}, {w}
}}
"""


def lowered(text: str, rows: int) -> str:
    """The step as a linalg module, with the pass for gradients of up to ``rows`` rows."""
    module = parse_module(text, sparsebp.context())
    run_pipeline(module, [ConvertToLinalg(get_target("cpu").panel), *TO_LINALG, FuseWeightUpdate(rows)])
    return str(module).replace("@step", "@f")


def main() -> None:
    """Print the table."""
    print("| weight | rows | apart | together |")
    print("| --- | --- | --- | --- |")
    for outputs, inputs in WEIGHTS:
        for rows in ROWS:
            shapes = (rows, outputs), (rows, inputs), (), (outputs, inputs)
            arrays = [np.full(shape, 1e-3, np.float32) for shape in shapes]
            text = source(rows, outputs, inputs)
            times = [milliseconds(compiled(lowered(text, n), tiled=True), *arrays) for n in (0, rows)]
            cells = [f"{outputs} x {inputs}", str(rows), *(f"{time:.3f}" for time in times)]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
