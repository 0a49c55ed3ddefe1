# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Convolutions with 3 x 3 taps by Winograd's F(2 x 2, 3 x 3): 16 multiplications for 36.

Each 2 x 2 outputs are made of 4 x 4 inputs ``d`` and 3 x 3 taps ``g`` as ``A ((G g G') * (B d B')) A'``
(Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016). Over channels the products
``*`` are sixteen products of matrices. Larger tiles multiply less, but their transforms lose digits: these
have no factors but 1 and 1/2. Errors are in proportion to the largest values of a tile, and an infinite or
NaN input makes NaN of all outputs of its tiles.

``python -m pock.benchmarks.winograd`` prints what this gains: at batch 8, with filters that change, a sixth
(32 x 32 positions, 64 channels) to more than half (8 x 8 positions, 256 channels, weight gradient). Of few
tiles, most of the time goes into transforming the filter.
"""

from collections.abc import Sequence
from functools import reduce
from math import prod

import numpy as np
from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.compiler.torch_ir import is_computed_from_constants
from pock.dialects.sparsebp.window import Window

from .builder import LinalgBuilder, element, shape
from .patches import fit
from .products import by_matrices, matrices

Matrix = tuple[tuple[float, ...], ...]
Factors = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

INPUT: Matrix = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
FILTER: Matrix = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
OUTPUT: Matrix = ((1, 1, 1, 0), (0, 1, -1, -1))

TILE, TAPS, READ = len(OUTPUT), len(OUTPUT[0]) - len(OUTPUT) + 1, len(OUTPUT[0])

LEAST_CHANNELS = 32
"""Channels and filters from which the transforms take less time than they save."""

CONSTANT = 4
"""So many times fewer tiles are enough for a filter that never changes: it is transformed once."""

MOST_ELEMENTS = 1 << 22
"""Of the transformed inputs and outputs together: they are four times as large as what they are made of."""


def is_faster(
    b: LinalgBuilder, x: ir.Value, weight: ir.Value, window: Window, groups: int, out: Sequence[int]
) -> bool:
    """Whether to compute a convolution of ``x [N, *in, C]`` with ``weight [F, C / groups, *kernel]`` so."""
    count, (filters, channels) = shape(x)[0] * prod(_tiles(out)), shape(weight)[:2]
    if not _is_possible(b, x, weight, window, groups) or not _fits(count, channels, filters):
        return False
    return count >= (b.winograd // CONSTANT if is_computed_from_constants(weight) else b.winograd)


def weight_grad_is_faster(b: LinalgBuilder, x: ir.Value, grad: ir.Value, window: Window, groups: int) -> bool:
    """Whether to compute the gradient of ``[F, C / groups, *kernel]`` so.

    ``x`` is ``[N, *in, C]``, and ``grad [N, *out, F]``.
    """
    batch, *out, filters = shape(grad)
    count, channels = batch * prod(_tiles(out)), shape(x)[-1]
    fits = _fits(count, channels, filters) and READ**2 * channels * filters <= MOST_ELEMENTS
    return fits and _is_possible(b, x, grad, window, groups) and count >= b.winograd


def winograd_convolve(
    b: LinalgBuilder,
    x: ir.Value,
    weight: ir.Value,
    window: Window,
    out: Sequence[int],
    backward: bool = False,
) -> ir.Value:
    """The convolution of ``x [N, *in, C]`` with ``weight [F, C, 3, 3]``: ``[N, *out, F]`` in f32.

    ``backward``, ``x`` is an output gradient ``[N, *in, F]``, and the taps are in reverse: ``[N, *out, C]``.
    """
    batch, columns, tiles = shape(x)[0], shape(weight)[int(backward)], _tiles(out)
    fitted = fit(b, x, window, [TILE * n for n in tiles])
    filters = _transformed_filter(b, weight, backward)
    products = by_matrices(b, _transformed_squares(b, INPUT, fitted, tiles), filters)
    split = b.reshape(products, [[READ**2], [batch, *tiles], [columns]])
    return b.slice(_transformed_output(b, split), [0] * 4, [batch, *out, columns])


def winograd_weight_grad(b: LinalgBuilder, x: ir.Value, grad: ir.Value, window: Window) -> ir.Value:
    """The gradient ``[9, F, C]`` of a filter, in f32, for ``x [N, *in, C]`` and ``grad [N, *out, F]``.

    The convolution is linear in the filter, so this is the transpose of what it does with it.
    """
    out, filters = shape(grad)[1:-1], shape(grad)[-1]
    tiles = _tiles(out)
    even = b.pad(grad, [0] * 4, [0, *(TILE * t - n for t, n in zip(tiles, out, strict=True)), 0])
    # One tile more than the convolution reads: what both make of the same input is common to them, and would
    # live from the one to the other, beside the input itself.
    fitted = fit(b, x, window, [TILE * (tiles[0] + 1), TILE * tiles[1]])
    left = _transformed_squares(b, _transposed(OUTPUT), even, tiles)
    right = _transformed_squares(b, INPUT, fitted, tiles)
    products = b.contract("q t f, q t c -> q f c", left, right, [READ**2, filters, shape(x)[-1]])
    return b.stack(_transformed(b, _transposed(FILTER), b.unstack(products), "f c"))


def _is_possible(b: LinalgBuilder, x: ir.Value, other: ir.Value, window: Window, groups: int) -> bool:
    if not b.winograd or groups > 1 or element(x) != b.f32 or element(other) != b.f32:
        return False
    return window.kernel == (TAPS, TAPS) and window.stride == window.dilation == (1, 1)


def _fits(tiles: int, channels: int, filters: int) -> bool:
    """Whether there are channels enough, and the transformed inputs and outputs are not too large."""
    fits = READ**2 * tiles * (filters + channels) <= MOST_ELEMENTS
    return fits and min(filters, channels) >= LEAST_CHANNELS


def _tiles(out: Sequence[int]) -> list[int]:
    return [-(-n // TILE) for n in out]


def _transposed(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))


def _transformed_squares(b: LinalgBuilder, matrix: Matrix, x: ir.Value, tiles: Sequence[int]) -> ir.Value:
    """``[16, N · tiles, C]`` of squares of ``x [N, *in, C]`` that begin at every other row and column.

    They are as large as ``matrix`` has columns. ``x`` has an even number of rows and columns.
    """
    batch, *size, channels = shape(x)
    pairs = b.reshape(x, [[batch], *([n // TILE, TILE] for n in size), [channels]])
    sizes = [batch, tiles[0], 1, tiles[1], 1, channels]
    read = [
        b.slice(pairs, [0, i // TILE, i % TILE, j // TILE, j % TILE, 0], sizes, dropped=(2, 4))
        for i, j in _square(len(matrix[0]))
    ]
    return b.merge(b.stack(_transformed(b, matrix, read, "n t u c")), [1, 3, 1])


def _transformed_filter(b: LinalgBuilder, weight: ir.Value, backward: bool) -> ir.Value:
    """``weight [F, C, 3, 3]`` as sixteen matrices for ``by_matrices``.

    They have a column for each filter; ``backward``, for each channel, and the taps are in reverse.
    """
    by_tap = matrices(b, b.merge(weight, [1, 1, 2]), columns=int(backward))
    rest, taps = shape(by_tap)[1:], b.unstack(by_tap)
    names = " ".join(f"d{i}" for i in range(len(rest)))
    if backward:
        taps.reverse()
    if not is_computed_from_constants(weight):
        return b.stack(_transformed(b, FILTER, taps, names))
    # It does not matter how long it takes, and what is stacked iree-compile would keep eight times over.
    factors = [f.flatten() for f in _factors(FILTER)]
    return _weighted(b, factors, taps, f"{names}, q -> q {names}", [READ**2, *rest])


def _transformed(
    b: LinalgBuilder, matrix: Matrix, values: Sequence[ir.Value], names: str
) -> Sequence[ir.Value]:
    """``matrix`` times a square of ``values`` times its transpose: a square of results."""
    count, read = len(matrix), len(matrix[0])

    def body(*scalars: ir.Value) -> list[ir.Value]:
        given = scalars[: read**2]
        columns = [[_sum(b, row, given[j::read]) for row in matrix] for j in range(read)]
        return [_sum(b, row, [column[i] for column in columns]) for i in range(count) for row in matrix]

    spec = f"{', '.join([names] * read**2)} -> {', '.join([names] * count**2)}"
    inits = [b.like(values[0]) for _ in range(count**2)]
    results: Sequence[ir.Value] = b.generic(spec, values, inits, body)
    return results


def _sum(b: LinalgBuilder, factors: Sequence[float], values: Sequence[ir.Value]) -> ir.Value:
    """The sum of f32 scalars times ``factors``."""
    total: ir.Value | None = None
    for factor, value in zip(factors, values, strict=True):
        if factor == 0:
            continue
        if abs(factor) != 1:
            value = arith.mulf(value, arith.constant(b.f32, abs(factor)))
        if total is None:
            total = value if factor > 0 else arith.negf(value)
        else:
            total = (arith.addf if factor > 0 else arith.subf)(total, value)
    assert total is not None
    return total


def _transformed_output(b: LinalgBuilder, products: ir.Value) -> ir.Value:
    """``[N, 2 · tiles, …, F]`` of ``products [16, N, *tiles, F]``.

    All four outputs are elements of one result, so that what follows the convolution is computed with it.
    """
    _, batch, *tiles, filters = shape(products)
    result = [batch, tiles[0], TILE, tiles[1], TILE, filters]
    spec = "n t u f, i j -> n t i u j f"
    return b.merge(_weighted(b, _factors(OUTPUT), b.unstack(products), spec, result), [1, 2, 2, 1])


def _weighted(
    b: LinalgBuilder, factors: Sequence[Factors], values: Sequence[ir.Value], spec: str, result: Sequence[int]
) -> ir.Value:
    """The sum of ``values`` times ``factors``; ``spec`` are subscripts of one of each, and of the result."""
    count = len(values)

    def body(*scalars: ir.Value) -> ir.Value:
        terms = [arith.mulf(v, f) for v, f in zip(scalars[:count], scalars[count:-1], strict=True)]
        return reduce(arith.addf, terms)

    operands, at = spec.split(" -> ")
    value, factor = operands.split(", ")
    inputs = [*values, *(b.dense(f) for f in factors)]
    subscripts = f"{', '.join([value] * count + [factor] * count)} -> {at}"
    summed: ir.Value = b.generic(subscripts, inputs, [b.empty(result, b.f32)], body)
    return summed


def _factors(matrix: Matrix) -> list[Factors]:
    """What ``_transformed`` multiplies each of a square of values by, for each of a square of results."""
    array = np.array(matrix, np.float32)
    return [np.outer(array[:, i], array[:, j]) for i, j in _square(array.shape[1])]


def _square(side: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(side) for j in range(side)]
