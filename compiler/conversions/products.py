# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Products by a matrix that is copied first into the layout that they read fastest.

That is rows of adjacent elements; on targets that have panels (``Target.panel``), panels of so many columns:
one tile of the result reads one of them from beginning to end. Rows of a large matrix lie pages apart, and
those of some tiles displace each other in the cache.
"""

from collections.abc import Sequence
from math import prod

from torch_mlir import ir

from pock.compiler.torch_ir import is_computed_from_constants
from pock.dialects.types import is_vtensor, shape_of

from .builder import LinalgBuilder, shape

LEAST_PACKED = 1 << 15
"""Elements of a matrix from which its copy has panels where it is to be copied anyway or before run time."""

COPIED = ((128, 1 << 19), (256, 1 << 17))
"""Rows on the left, and elements of a matrix, from which copying it in each step is worth its while.

``python -m pock.benchmarks.products`` prints what copies and panels gain.
"""

LEAST_FROZEN_ROWS = 16
"""Rows on the left from which panels gain where the copy costs nothing."""


def by_transposed(b: LinalgBuilder, left: ir.Value, right: ir.Value, depth: Sequence[int]) -> ir.Value:
    """``left [*rows, K]`` times ``right``, whose first dimension are the columns, in f32: ``[*rows, N]``.

    ``depth`` is the order in which the other dimensions of ``right`` make the ``K`` rows.
    """
    columns = shape(right)[0]
    if not _has_panels(b, columns) or prod(shape(right)) < LEAST_PACKED:
        matrix = b.merge(b.reorder(right, [*depth, 0]), [len(depth), 1])
        return _product(b, left, matrix, "k n", "n", [columns])
    packed = b.reorder(_in_panels(b, right, 0), [0, *(d + 1 for d in depth), 1])
    return by_panels(b, left, b.merge(packed, [1, len(depth), 1]))


def by_matrix(b: LinalgBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    """``left [*rows, K]`` times ``right [K, N]`` in f32: ``[*rows, N]``."""
    depth, columns = shape(right)
    if not is_packed(b, prod(shape(left)[:-1]), right):
        return _product(b, left, right, "k n", "n", [columns])
    split = b.reshape(right, [[depth], [columns // b.panel, b.panel]])
    return by_panels(b, left, b.reorder(split, [1, 0, 2]))


def by_panels(b: LinalgBuilder, left: ir.Value, packed: ir.Value, transposed: bool = False) -> ir.Value:
    """``left [*rows, K]`` times a matrix in panels ``[N / panel, K, panel]`` in f32: ``[*rows, N]``.

    Or ``left [K, rows]``, where it is ``transposed``.
    """
    panels, _, panel = shape(packed)
    sizes = [panels, panel]
    if transposed:
        product = b.contract("k m, p k l -> m p l", left, packed, [shape(left)[1], *sizes])
    else:
        product = _product(b, left, packed, "p k l", "p l", sizes)
    return b.merge(product, [1] * (len(shape(product)) - 2) + [2])


def matrices(b: LinalgBuilder, right: ir.Value, columns: int) -> ir.Value:
    """A copy of ``right``, ``[N, K, count]`` or ``[K, N, count]``, as so many matrices for ``by_matrices``.

    ``columns`` is the dimension ``N``. The copy is ``[count, K, N]``, or ``[count, N / panel, K, panel]``.
    """
    depth = 1 - columns
    if not _has_panels(b, shape(right)[columns]):
        return b.reorder(right, [2, depth, columns])
    # The other dimension of the two, and the count, move by one where they stand behind the columns.
    split = _in_panels(b, right, columns)
    return b.reorder(split, [3, columns, 2 * depth, columns + 1])


def by_matrices(b: LinalgBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    """``left [count, M, K]``, each times its matrix of ``right``, in f32: ``[count, M, N]``."""
    sizes = [*shape(left)[:2], *shape(right)[1:-2], shape(right)[-1]]
    if len(sizes) == 3:
        return b.contract("c m k, c k n -> c m n", left, right, sizes)
    return b.merge(b.contract("c m k, c p k l -> c m p l", left, right, sizes), [1, 1, 2])


def is_packed(b: LinalgBuilder, rows: int, right: ir.Value) -> bool:
    """Whether ``by_matrix`` copies ``right``, in either dialect's type, for ``rows`` rows on the left.

    What depends on no argument is copied before run time.
    """
    sides = shape_of(right.type) if is_vtensor(right.type) else shape(right)
    if not _has_panels(b, sides[1]) or rows < LEAST_FROZEN_ROWS or prod(sides) < LEAST_PACKED:
        return False
    worth_copying = any(rows >= least and prod(sides) >= elements for least, elements in COPIED)
    return worth_copying or is_computed_from_constants(right)


def _has_panels(b: LinalgBuilder, columns: int) -> bool:
    return b.panel > 0 and columns > b.panel and columns % b.panel == 0


def _in_panels(b: LinalgBuilder, right: ir.Value, columns: int) -> ir.Value:
    """Dimension ``columns`` of ``right`` split into panels."""
    groups = [[n // b.panel, b.panel] if i == columns else [n] for i, n in enumerate(shape(right))]
    return b.reshape(right, groups)


def _product(
    b: LinalgBuilder, left: ir.Value, right: ir.Value, subscripts: str, columns: str, sizes: Sequence[int]
) -> ir.Value:
    *rows, _ = shape(left)
    flat = b.flatten(left, keep=1)
    product = b.contract(f"m k, {subscripts} -> m {columns}", flat, right, [prod(rows), *sizes])
    return b.reshape(product, [rows, *([n] for n in sizes)])
