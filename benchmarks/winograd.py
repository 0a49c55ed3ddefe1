# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What fewer multiplications gain here: ``python -m pock.benchmarks.winograd`` prints the table.

Convolutions with 3 x 3 taps and their gradients are lowered as they are and by Winograd's algorithm
(``pock.compiler.conversions.winograd``), with filters that change, and run on one core with the tile sizes of
``pock.targets``. The time is the least of several runs.
"""

import numpy as np

from pock.compiler.lowering import TO_LINALG
from pock.compiler.opt import parse_module, run_pipeline
from pock.compiler.passes.convert_to_linalg import ConvertToLinalg
from pock.dialects import sparsebp
from pock.targets import get_target

from .tiles import compiled, milliseconds

#: Images, their height and width, and channels: of a ResNet on pictures of 128 x 128, and of 224 x 224.
CONVOLUTIONS = (
    (8, 32, 64),
    (8, 16, 128),
    (8, 8, 256),
    (8, 4, 512),
    (1, 32, 64),
    (1, 16, 128),
    (1, 8, 256),
    (1, 56, 64),
    (1, 28, 128),
    (1, 14, 256),
    (1, 7, 512),
)

KINDS = ("convolution", "conv_input_grad", "conv_weight_grad")


def source(kind: str, batch: int, size: int, channels: int) -> tuple[str, list[tuple[int, ...]]]:
    """One of ``KINDS`` in the dialect ``sparsebp``, and the shapes of its operands."""
    image, weight = (batch, size, size, channels), (channels, channels, 3, 3)
    first, second, result = (image, image, weight) if kind == "conv_weight_grad" else (image, weight, image)
    x, w, y = (f"!torch.vtensor<[{','.join(map(str, s))}],f32>" for s in (first, second, result))
    ones = "array<i64: 1, 1>"
    window = f"{{channels_last, stride = {ones}, padding = {ones}, dilation = {ones}, groups = 1 : i64}}"
    op = f'"sparsebp.{kind}"(%x, %w) {window} : ({x}, {w}) -> {y}'
    return f"func.func @f(%x: {x}, %w: {w}) -> {y} {{\n  %y = {op}\n  return %y : {y}\n}}\n", [first, second]


def lowered(text: str, winograd: int) -> str:
    """The operation as a linalg module, by Winograd's algorithm from so many tiles."""
    module = parse_module(text, sparsebp.context())
    run_pipeline(module, [ConvertToLinalg(get_target("cpu").panel, winograd), *TO_LINALG])
    return str(module)


def main() -> None:
    """Print the table."""
    print("| images | channels | | as it is, ms | Winograd, ms |")
    print("| --- | --- | --- | --- | --- |")
    rng = np.random.default_rng(0)
    for batch, size, channels in CONVOLUTIONS:
        for kind in KINDS:
            text, shapes = source(kind, batch, size, channels)
            arrays = [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]
            times = [milliseconds(compiled(lowered(text, least), tiled=True), *arrays) for least in (0, 1)]
            cells = [f"{time:.2f}" for time in times]
            sizes = f"{batch} x {size} x {size}"
            print(f"| {' | '.join([sizes, str(channels), kind, *cells])} |", flush=True)


if __name__ == "__main__":
    main()
