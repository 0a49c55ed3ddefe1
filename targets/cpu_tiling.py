# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tile sizes for loops on CPUs, where IREE's own choice is poor.

What ``OPENBLAS_NUM_THREADS=1 python -m pock.benchmarks.tiles`` printed on x86-64 with AVX-512 (ms, one core,
f32; ``k, m`` is a left operand that is transposed, ``n, k`` a right one):

| M x N x K | left | right | IREE's choice | here | NumPy |
| --- | --- | --- | --- | --- | --- |
| 1024 x 1536 x 384 | m, k | k, n | 11.18 | 11.77 | 11.62 |
| 8192 x 256 x 64 | m, k | k, n | 2.74 | 2.60 | 2.97 |
| 128 x 512 x 4608 | m, k | k, n | 6.99 | 5.99 | 6.28 |
| 49 x 160 x 960 | m, k | k, n | 0.48 | 0.14 | 0.17 |
| 784 x 40 x 240 | m, k | k, n | 0.20 | 0.14 | 0.17 |
| 16 x 112 x 1280 | m, k | k, n | 0.06 | 0.05 | 0.06 |
| 256 x 64 x 8192 | k, m | k, n | 4.66 | 2.44 | 3.01 |
| 1536 x 384 x 1024 | k, m | k, n | 14.90 | 11.18 | 11.79 |
| 96 x 16 x 32768 | k, m | k, n | 1.44 | 1.06 | 1.48 |
| 1 x 1280 x 1000 | m, k | k, n | 0.08 | 0.07 | 0.06 |
| 1 x 1000 x 1280 | m, k | n, k | 0.40 | 0.07 | 0.06 |
| 8 x 1000 x 1280 | m, k | n, k | 0.39 | 0.22 | 0.81 |

Copies of matrices the other way round (medians of four runs, which a shared machine spread by a fifth):

| rows x columns | IREE's choice | here | NumPy |
| --- | --- | --- | --- |
| 1408 x 1024 | 2.407 | 2.297 | 2.534 |
| 512 x 1024 | 0.378 | 0.367 | 2.289 |
| 384 x 1536 | 0.401 | 0.378 | 0.647 |

Depthwise convolutions:

| images | taps | stride | | IREE's choice | here |
| --- | --- | --- | --- | --- | --- |
| 2 x 112 x 112 x 32 | 3 x 3 | 1 | output | 0.277 | 0.195 |
| 2 x 56 x 56 x 144 | 3 x 3 | 1 | output | 0.294 | 0.238 |
| 2 x 28 x 28 x 240 | 5 x 5 | 1 | output | 0.604 | 0.193 |
| 1 x 28 x 28 x 240 | 5 x 5 | 1 | output | 0.282 | 0.101 |
| 1 x 56 x 56 x 72 | 5 x 5 | 2 | output | 0.155 | 0.082 |
| 1 x 112 x 112 x 32 | 3 x 3 | 1 | weight gradient | 0.495 | 0.153 |
| 1 x 112 x 112 x 96 | 3 x 3 | 2 | weight gradient | 0.407 | 0.149 |
| 1 x 28 x 28 x 72 | 3 x 3 | 1 | weight gradient | 0.090 | 0.030 |
| 1 x 7 x 7 x 576 | 5 x 5 | 1 | weight gradient | 0.036 | 0.019 |

What counts: sixteen vectors of the result stay in registers, or 24 where there are 32 registers (IREE keeps
eight); no rows of a tile are cut off at the end (then it takes three times as long): rows and columns that
tiles leave over have code of their own; where rows of an operand lie far apart, a block of the reduction that
fits the cache is finished for all tiles of a workgroup before the next; and all workers are busy until the
end. IREE's runtime hands out eight workgroups at a time where there are eight or more for each worker, and
else one: of 24, one of two workers gets 16 and the other 8. So where a loop is cut into workgroups, what that
costs is weighed against what narrow workgroups cost, which read operands again and again. Sums over rows are
cut for one worker: in halves of rows, a matrix took 1.0 to 1.6 times as long to read.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean

from .loops import LoopNest, Tiling, plain

_DOUBLE_TILING = "#iree_cpu.pipeline<DoubleTilingExpert>"
_CONVOLUTION = "#iree_cpu.pipeline<ConvTileAndDecomposeExpert>"

#: Elements of the largest tile, one panel of it, that a workgroup keeps between blocks of a reduction.
_KEPT = 64 * 64

#: Elements of the largest vector that IREE takes.
_MOST_KEPT = (32 * 1024 - 1) // 4

#: Elements of the largest tile that a workgroup computes and does not keep.
_NOT_KEPT = 128 * 256

#: Elements of a right operand of which no rows displace others in a cache of 2 MiB.
_CACHED = 1 << 20

#: Depth from which a pair of panels is larger than a cache of 1 MiB, and that of blocks that are not.
_DEEP, _DEEP_BLOCK = 3072, 1024

#: How many workers there may be; a program does not know.
_WORKERS = (1, 2, 4)

#: Multiplications below which one worker is done before another has what it needs in its cache.
_SHARED = 1 << 20

#: Workgroups that IREE's runtime hands to a worker at once where there are as many or more for each.
_CLAIMED = 8

#: Of so many rows, a workgroup needs as long for reading as for multiplying; where these are columns
#: of what it reads; and of so many columns, or where each is read once. Fitted to spans of 16 to 512 rows and
#: 16 to 256 columns.
_HALF_ROWS, _HALF_FAR_ROWS, _HALF_COLUMNS, _HALF_ONCE = 8, 32, 2, 16

#: Rows of a workgroup of which more would make it no faster, and the most.
_ENOUGH_ROWS, _MOST_ROWS = 128, 192

#: Rows of a tile of two vectors, and of narrower ones, in the order of what they gain.
_TILE_ROWS, _NARROW_TILE_ROWS = (8, 7, 9, 10, 11, 6, 5, 4), (16, 14, 15, 12)

#: Vectors side by side in the widest tile, its rows, and the least of a workgroup. Its sums fill 24 of the 32
#: registers that AVX-512 has.
_WIDE, _WIDE_ROWS, _LEAST_WIDE = 4, 6, 24

#: How many times as long it takes as tiles of two vectors, also where rows of the left operand lie far apart.
_WIDE_TIME, _WIDE_FAR_TIME = 0.95, 0.8

#: Elements of a vector from which there are so many registers.
_MANY_REGISTERS = 16

#: Steps of a reduction that are unrolled.
_UNROLLED = 4

#: Vectors of sums that stay in registers beside what a matrix becomes.
_ROW_SUMS = 16

#: Rows for which reading the other matrix takes longer than multiplying by it.
_FEW = 16

#: Rows of a result of which each element is made by itself, and vectors of its operands at once.
_DOTS, _DOT_VECTORS = 2, (8, 4, 2)

#: Vectors of the longest row that is added up at once, and elements of the parts of longer ones. Parts that
#: are powers of two take as long as if they were added up one element after the other.
_LONGEST_ROW, _ROW_PARTS = 64, (160, 96, 48)

#: Of more, a depthwise convolution computes so many positions of a row at once, and unrolls so many taps; and
#: the most channels of its workgroups.
_FEW_AT_ONCE, _CHANNELS = (8, 7, 6, 5, 4), 96

#: Side of the squares that are transposed at once between others' arithmetic, and most of a workgroup's.
_SQUARE, _SQUARES = 8, 64

#: Elements that lie side by side where a copy reads, of a workgroup: caches fetch ahead along them. Of fewer
#: elements in all than the second, the copy is left to IREE.
_READ_SPAN, _LEAST_TRANSPOSED = 512, 1 << 11

#: Rows of a panel that are copied at once, and all of a workgroup.
_COPIED_ROWS, _COPIED_SPAN = 4, 256


def tiling(nest: LoopNest, vector_bytes: int, alone: bool = False) -> Tiling | None:
    """How to generate code for ``nest`` with vectors of ``vector_bytes``, or None to leave it to IREE.

    ``alone`` says that one worker runs all of it.
    """
    lanes, workers = max(vector_bytes // 4, 4), (1,) if alone else _WORKERS
    if not nest.reductions:
        return _transposing(nest, lanes) or _packing(nest, lanes)
    if nest.more:
        return _weight_update(nest, lanes)
    return (
        _product(nest, lanes, workers)
        or _few_rows(nest, lanes, workers)
        or _convolution(nest, lanes, workers)
        or _depthwise(nest, lanes, workers)
        or _column_sums(nest, lanes)
        or _row_sums(nest, lanes)
    )


def _divisor(size: int, candidates: Iterable[int]) -> int:
    """The first of ``candidates`` that divides ``size``, else 1."""
    return next((n for n in candidates if size % n == 0), 1)


def _multiples(size: int, unit: int, most: int) -> Iterator[int]:
    """The multiples of ``unit`` up to ``most`` that divide ``size``, as ``unit`` does; the largest first."""
    return (n for n in range(max(most // unit, 1) * unit, 0, -unit) if size % n == 0)


def _largest(size: int, unit: int, most: int) -> int:
    """The largest multiple of ``unit`` up to ``most`` that divides ``size``, which ``unit`` does."""
    return next(_multiples(size, unit, most))


def _longest(workgroups: int, workers: int) -> int:
    """How many of ``workgroups`` the busiest of ``workers`` gets, each taking more when it has none left."""
    taken = _CLAIMED if workgroups >= _CLAIMED * workers else 1
    times, rest = divmod(workgroups, taken)
    rounds, more = divmod(times, workers)
    return rounds * taken + (taken if more else rest)


def _imbalance(workgroups: int, workers: Iterable[int]) -> float:
    """How many times as long ``workgroups`` take as if all workers were busy until the end.

    That is the mean of so many ``workers``: of ``_WORKERS``, 1 where all have as much to do, and 7/3 of a
    single workgroup.
    """
    return fmean(each * _longest(workgroups, each) / workgroups for each in workers)


def _balanced(spans: Iterable[int], size: int, workers: Sequence[int]) -> int:
    """Of ``spans`` that divide ``size``, the first whose workgroups keep ``workers`` busiest."""
    return min(spans, key=lambda span: _imbalance(size // span, workers))


@dataclass(frozen=True)
class _Columns:
    """How adjacent columns of a workgroup are computed: in tiles so wide, with ``rest`` columns left over.

    ``time`` is how many times as long they take as in tiles of two vectors. ``panels`` of ``tile`` columns
    are computed together.
    """

    tile: int
    rest: int = 0
    time: float = 1
    panels: int = 1

    def wide(self, lanes: int) -> bool:
        """Whether rows that tiles of ``_WIDE_ROWS`` leave over have code of their own."""
        return self.tile * self.panels == _WIDE * lanes


def _columns(span: int, lanes: int) -> _Columns | None:
    """The fastest way to compute ``span`` columns, if there is one without odd vectors.

    A tile of one vector or less takes a little longer than half a tile of two: the elements of the other
    operand, which are repeated in all lanes, are read for it once more. Vectors that are no power of two
    long are taken apart element by element when they are kept from one step to the next.
    """
    ways = []
    for tile in (2 * lanes, lanes, lanes // 2):
        count, rest = divmod(span, tile)
        if count and rest.bit_count() <= 1:
            each = tile if tile > lanes else lanes + 1
            ways.append(_Columns(tile, rest, (count * each + (lanes + 1 if rest else 0)) / span))
    return min(ways, key=lambda way: way.time, default=None)


def _tile_rows(rows: int, way: _Columns, lanes: int) -> int:
    """How many of ``rows`` a tile has."""
    if way.wide(lanes):
        return _WIDE_ROWS
    return _divisor(rows, _TILE_ROWS if way.tile > lanes else (*_NARROW_TILE_ROWS, *_TILE_ROWS))


def _wide_columns(
    columns: Mapping[int, _Columns], lanes: int, panels: Sequence[int], far: bool
) -> dict[int, _Columns]:
    """Those of ``columns`` that are computed faster in the widest tile, of one panel or of two of ``panels``.

    The elements of the other operand are read for twice as many columns.
    """
    wide, time = _WIDE * lanes, _WIDE_FAR_TIME if far else _WIDE_TIME
    if not panels:
        return {span: _Columns(wide, time=time) for span in columns if span % wide == 0}
    pair = _Columns(wide // 2, time=time, panels=2)
    return {span: pair for span in columns if span == pair.tile and all(n % 2 == 0 for n in panels)}


def _wide_rows(rows: int, most: int) -> Iterator[int]:
    """How many of ``rows`` a workgroup may have, up to ``most``, for the widest tiles; the largest first."""
    return (span for span in _multiples(rows, 1, most) if span >= _LEAST_WIDE)


def _row_spans(rows: int, way: _Columns, lanes: int, most: int) -> Iterator[int]:
    """Of how many of ``rows`` a workgroup may have, up to ``most``; the largest first."""
    if way.wide(lanes):
        return _wide_rows(rows, most)
    return _multiples(rows, _tile_rows(rows, way, lanes), most)


def _product(nest: LoopNest, lanes: int, workers: Sequence[int]) -> Tiling | None:
    """Products of matrices, batched or not, whose right operand and result have rows of adjacent elements."""
    if not nest.multiplies or len(nest.inputs) != 2 or len(nest.reductions) != 1:
        return None
    left, right, output = plain(nest.inputs[0]), plain(nest.inputs[1]), plain(nest.output)
    if left is None or right is None or output is None or len(output) < 2:
        return None
    n, k = output[-1], nest.reductions[0]
    if n in left:
        left, right = right, left
    if n in left or right[-1] != n or k not in left or k not in right:
        return None
    rows = [d for d in output if d in left and d not in right and nest.sizes[d] > 1]
    panels = [d for d in output if d != n and d in right and d not in left]
    if len(rows) != 1 or len(panels) > 1:
        return None
    m, sizes = rows[0], nest.sizes
    if _divisor(sizes[m], _TILE_ROWS) == 1 or sizes[n] < lanes // 2:
        return None
    far = left[-1] != k
    once = sizes[m] <= max(_NARROW_TILE_ROWS)
    deep = bool(panels) and not far and sizes[k] >= _DEEP and sizes[k] % _UNROLLED == 0
    blocked = deep or (sizes[k] >= 512 and (far or (not panels and (once or sizes[k] * sizes[n] >= _CACHED))))
    if blocked:
        if deep:
            block = _largest(sizes[k], _UNROLLED, _DEEP_BLOCK)
        else:
            block = _divisor(sizes[k], (64, 128, 96, 48, 32) if far or once else (256, 64))
        most, most_n, most_panels = _MOST_KEPT, 256 if once else 64, 3
    else:
        block = 1
        most, most_n, most_panels = _NOT_KEPT, 64 if sizes[k] > 1024 else 256, 2
    # Panels are not cut.
    widths = [sizes[n]] if panels and sizes[n] <= most_n else _multiples(sizes[n], 1, most_n)
    ways = ((span, _columns(span, lanes)) for span in widths)
    columns = {span: way for span, way in ways if way is not None}
    if not columns:
        # The last tile is masked.
        tile_n = 2 * lanes if sizes[n] > 2 * lanes else lanes
        columns = {tile_n if blocked else 4 * tile_n: _Columns(tile_n)}
    if not blocked:
        most_m = _MOST_ROWS
    elif once:
        most_m = max(_NARROW_TILE_ROWS)
    else:
        most_m = min(_KEPT // max(columns), 64 if panels else 128)
    # Short blocks of rows that lie near are as fast in tiles of two vectors.
    if lanes >= _MANY_REGISTERS and (far or deep or not blocked) and any(_wide_rows(sizes[m], most_m)):
        columns |= _wide_columns(columns, lanes, [sizes[panel] for panel in panels], far and blocked)
    half = _HALF_FAR_ROWS if blocked and far else _HALF_ROWS
    half_columns = _HALF_ONCE if once else _HALF_COLUMNS
    if math.prod(sizes) < _SHARED:
        workers = (1,)

    def time(span: tuple[int, ...]) -> float:
        """What is least of the fastest span of rows, columns and panels."""
        high, wide, way = min(span[0], _ENOUGH_ROWS), math.prod(span[1:]), columns[span[1]]
        rest = -span[0] % _WIDE_ROWS if way.wide(lanes) else 0
        parts = zip((sizes[d] for d in (m, n, *panels)), span, strict=True)
        workgroups = math.prod(-(-size // part) for size, part in parts) * math.prod(
            sizes[d] for d in output if d not in (m, n, *panels)
        )
        each = (1 + half / high) * (1 + half_columns / wide) * (1 + rest / span[0] / 2) * way.time
        return each * _imbalance(workgroups, workers)

    spans = (
        (span_m, span_n, *span_panels)
        for span_n, way in columns.items()
        # More rows than are enough are only for the sake of balance.
        for span_m in sorted(_row_spans(sizes[m], way, lanes, most_m), key=_ENOUGH_ROWS.__lt__)
        for span_panels in product(*(_multiples(sizes[panel], way.panels, most_panels) for panel in panels))
    )
    span_m, span_n, *span_panels = min((span for span in spans if math.prod(span) <= most), key=time)
    way = columns[span_n]
    one = {d: 1 for d in output if d not in (m, n)}
    tiles = {**one, **dict.fromkeys(panels, way.panels), m: _tile_rows(sizes[m], way, lanes), n: way.tile}
    config = [
        ("distribution", {**one, m: span_m, n: span_n, **dict(zip(panels, span_panels, strict=True))}),
        ("cache_reduction", {k: block} if block > 1 else {}),
        ("vector_common_parallel", tiles),
        ("vector_reduction", {k: _UNROLLED if sizes[k] % _UNROLLED == 0 else 1}),
    ]
    peeled = way.rest > 0 or span_m % tiles[m] > 0
    return Tiling(_lowering_config(config, range(len(sizes))), _DOUBLE_TILING, peeled)


def _few_rows(nest: LoopNest, lanes: int, workers: Sequence[int]) -> Tiling | None:
    """Products of a few rows, as a classifier has, and a matrix: what takes time is reading that."""
    if not nest.multiplies or len(nest.inputs) != 2 or len(nest.reductions) != 1:
        return None
    first, second, output = plain(nest.inputs[0]), plain(nest.inputs[1]), plain(nest.output)
    if first is None or second is None or output is None:
        return None
    k, sizes = nest.reductions[0], nest.sizes
    left, right = (tuple(d for d in loops if sizes[d] > 1) for loops in (first, second))
    wide = [d for d in output if sizes[d] > 1]
    if wide and set(left) == {wide[-1], k}:
        left, right = right, left
    if not wide or set(right) != {wide[-1], k} or set(left) != {*wide[:-1], k} or len(wide) > 2:
        return None
    n, rows = wide[-1], math.prod(sizes[d] for d in wide[:-1])
    sides = (rows, sizes[n], sizes[k])
    found = _by_rows(*sides, lanes, workers) if right == (n, k) else _by_columns(*sides, lanes)
    if found is None:
        return None
    span_m, span_n, tile_m, tile_n, unrolled = found
    one = {d: 1 for d in output if d != n}
    config = [
        ("distribution", {**one, **dict.fromkeys(wide[:-1], span_m), n: span_n}),
        ("vector_common_parallel", {**one, **dict.fromkeys(wide[:-1], tile_m), n: tile_n}),
        ("vector_reduction", {k: unrolled}),
    ]
    return Tiling(_lowering_config(config, range(len(sizes))), _DOUBLE_TILING)


def _by_rows(
    rows: int, size_n: int, size_k: int, lanes: int, workers: Sequence[int]
) -> tuple[int, int, int, int, int] | None:
    """Rows and columns of a workgroup and of a tile, and steps at once, for a matrix ``[n, k]``."""
    part = _divisor(size_k, (count * lanes for count in _DOT_VECTORS))
    if rows <= _DOTS and part > 1:
        # What rows of the result after the first need of the matrix is in the cache.
        high, tile_m, tile_n, unrolled, unit = rows, 1, 1, part, _divisor(size_n, (8, 4, 2))
    elif rows <= _FEW:
        # Squares of the matrix are transposed in registers.
        high = tile_m = _divisor(rows, range(8, 0, -1))
        unit = tile_n = _divisor(size_n, (8,))
        unrolled = _divisor(size_k, (8,))
        if tile_n == 1 or unrolled == 1:
            return None
    else:
        return None
    # However few rows of the matrix a workgroup has, it reads them whole.
    span = _balanced(_multiples(size_n, unit, 64), size_n * (rows // high), workers)
    return high, span, tile_m, tile_n, unrolled


def _by_columns(rows: int, size_n: int, size_k: int, lanes: int) -> tuple[int, int, int, int, int] | None:
    """The same for a matrix ``[k, n]``."""
    tile = _divisor(size_n, (count * lanes for count in (8, 4, 2, 1) if count * rows <= 8))
    if rows >= 4 or tile == 1:
        return None
    return rows, _largest(size_n, tile, 512), rows, tile, _divisor(size_k, (_UNROLLED, 1))


def _transposing(nest: LoopNest, lanes: int) -> Tiling | None:
    """Arithmetic on tensors of which some have their rows where others have columns, and copies: squares."""
    operands = [plain(subscripts) for subscripts in (*nest.inputs, nest.output, *nest.more)]
    output = operands[len(nest.inputs)]
    if not output or any(loops is None for loops in operands):
        return None
    c = output[-1]
    rows = {loops[-1] for loops in operands if loops and c in loops}.difference({c})
    copies = len(operands) == 2
    side = lanes if copies else min(lanes, _SQUARE)
    if len(rows) != 1 or any(nest.sizes[d] % side for d in (c, *rows)):
        return None
    r = rows.pop()
    if copies and (lanes < _MANY_REGISTERS or nest.sizes[c] * nest.sizes[r] < _LEAST_TRANSPOSED):
        return None
    one = dict.fromkeys(output, 1)
    spans = {c: _SQUARES, r: _READ_SPAN if copies else _SQUARES}
    config = [
        ("distribution", {**one, **{d: _largest(nest.sizes[d], side, most) for d, most in spans.items()}}),
        ("vector_common_parallel", {**one, c: side, r: side}),
    ]
    return Tiling(_lowering_config(config, range(len(nest.sizes))), _DOUBLE_TILING)


def _weight_update(nest: LoopNest, lanes: int) -> Tiling | None:
    """Sums over the rows of a matrix, and what becomes of the matrix: see ``sparsebp-fuse-weight-update``."""
    outputs = [plain(subscripts) for subscripts in (nest.output, *nest.more)]
    if len(nest.sizes) != 2 or len(nest.reductions) != 1:
        return None
    n, k = nest.reductions[0], 1 - nest.reductions[0]
    rows = outputs.count((k,))
    if rows == 0 or rows + outputs.count((n, k)) < len(outputs):
        return None
    tile = _divisor(nest.sizes[k], (m * lanes for m in (4, 2, 1) if m * rows <= _ROW_SUMS))
    if tile == 1:
        return None
    unrolled = _divisor(nest.sizes[n], (_UNROLLED, 1)) if rows == 1 else 1
    # Narrow tiles one below the other are read too late: some rows of the matrix are finished first.
    block = _divisor(nest.sizes[n], range(20, 9, -1)) if rows > 1 else 1
    config = [
        ("distribution", {k: _largest(nest.sizes[k], tile, 256 if block == 1 else 640)}),
        ("cache_reduction", {n: block} if block > 1 else {}),
        ("vector_common_parallel", {k: tile}),
        ("vector_reduction", {n: unrolled}),
    ]
    return Tiling(_lowering_config(config, range(2)), _DOUBLE_TILING)


def _convolution(nest: LoopNest, lanes: int, workers: Sequence[int]) -> Tiling | None:
    """Convolutions of ``[N, H, W, C]`` with ``[kh, kw, C, F]``: a row of positions is a product."""
    output, filters = plain(nest.output), [plain(subscripts) for subscripts in nest.inputs]
    if not nest.multiplies or output is None or len(output) != 4 or len(nest.reductions) != 3:
        return None
    if len(filters) != 2 or filters[0] is not None or filters[1] is None:
        return None
    f, w, c = output[3], output[2], nest.reductions[2]
    if filters[1] != (*nest.reductions, f) or nest.inputs[0][-1] != ((c, 1),):
        return None
    sizes = nest.sizes
    tile_f = _divisor(sizes[f], (4 * lanes, 2 * lanes, lanes))
    tile_w = _divisor(sizes[w], (4,) if tile_f == 4 * lanes else (8, 7, 4))
    if tile_f == 1 or tile_w == 1:
        return None
    unrolled = _divisor(sizes[c], (_UNROLLED, 3))
    one = {output[0]: 1, output[1]: 1}
    span = _largest(sizes[f], tile_f, 64)
    # However few rows a workgroup has, it is as fast.
    count = sizes[output[0]] * sizes[output[1]] * (sizes[f] // span)
    rows = _balanced(_multiples(sizes[output[1]], 1, 8), count, workers)
    config = [
        ("distribution", {output[0]: 1, output[1]: rows, w: sizes[w], f: span}),
        ("vector_common_parallel", {**one, w: tile_w, f: tile_f}),
        ("vector_reduction", {**dict.fromkeys(nest.reductions, 1), c: unrolled}),
    ]
    return Tiling(_lowering_config(config, range(len(sizes))), _CONVOLUTION)


def _depthwise(nest: LoopNest, lanes: int, workers: Sequence[int]) -> Tiling | None:
    """Depthwise convolutions of ``[N, H, W, C]`` with ``[kh, kw, C]``, and their weight gradients.

    These are convolutions too, with an output of few positions and a filter as large as the image. What is
    read is padded anew for each step of the reduction, which so is several taps.
    """
    output, filters = plain(nest.output), [plain(subscripts) for subscripts in nest.inputs]
    if not nest.multiplies or output is None or len(output) != 4 or len(nest.reductions) != 2:
        return None
    n, h, w, c = output
    if filters != [None, (*nest.reductions, c)] or nest.inputs[0][-1] != ((c, 1),):
        return None
    sizes, (kh, kw) = nest.sizes, nest.reductions
    tile, taps = _few(sizes[w]), _few(sizes[kw])
    channels = _divisor(sizes[c], (lanes, lanes // 2))
    if tile == 1 or taps == 1 or channels < 4:
        return None
    span = _largest(sizes[c], channels, _CHANNELS)
    count = sizes[n] * sizes[h] * (sizes[c] // span)
    rows = _balanced(_multiples(sizes[h], 1, 32), count, workers)
    config = [
        ("distribution", {n: 1, h: rows, w: sizes[w], c: span}),
        ("vector_common_parallel", {n: 1, h: 1, w: tile, c: channels}),
        ("vector_reduction", {kh: 1, kw: taps}),
    ]
    return Tiling(_lowering_config(config, range(len(sizes))), _CONVOLUTION)


def _few(size: int) -> int:
    """A size itself if it is small, else a part of it, else 1."""
    return size if size <= _FEW_AT_ONCE[0] else _divisor(size, _FEW_AT_ONCE)


def _column_sums(nest: LoopNest, lanes: int) -> Tiling | None:
    """Sums over rows: elements of the result are adjacent, and so are those of each row."""
    output = plain(nest.output)
    if output is None or not output or not nest.reductions:
        return None
    c = output[-1]
    inputs = [plain(subscripts) for subscripts in nest.inputs]
    wide = [loops for loops in inputs if loops is not None and set(nest.reductions) & set(loops)]
    if any(loops is None for loops in inputs) or not wide or any(loops[-1] != c for loops in wide):
        return None
    if math.prod(nest.sizes[d] for d in output[:-1]) > 1:
        return None
    # Of one input, vectors that are no power of two long are taken apart element by element.
    most = (8, 4, 2, 1) if len(wide) == 1 else range(8, 0, -1)
    tile = _divisor(nest.sizes[c], (n * lanes for n in most))
    if tile == 1:
        return None
    one = dict.fromkeys(output[:-1], 1)
    config = [
        ("distribution", {**one, c: tile}),
        ("vector_common_parallel", {**one, c: tile}),
        ("vector_reduction", dict.fromkeys(nest.reductions, 1)),
    ]
    return Tiling(_lowering_config(config, range(len(nest.sizes))), _DOUBLE_TILING)


def _row_sums(nest: LoopNest, lanes: int) -> Tiling | None:
    """Sums over the elements of a row, which are adjacent."""
    output, (k, *more) = plain(nest.output), nest.reductions
    inputs = [plain(subscripts) for subscripts in nest.inputs]
    if not output or more or any(loops is None for loops in inputs):
        return None
    if any(loops != (*output, k) for loops in inputs if loops and k in loops):
        return None
    size = nest.sizes[k]
    part = size if size <= _LONGEST_ROW * lanes and size % lanes == 0 else _divisor(size, _ROW_PARTS)
    if part == 1:
        return None
    one = dict.fromkeys(output, 1)
    config = [
        ("distribution", {**one, output[-1]: _largest(nest.sizes[output[-1]], 1, 32)}),
        ("vector_common_parallel", one),
        ("vector_reduction", {k: part}),
    ]
    return Tiling(_lowering_config(config, range(len(nest.sizes))), _DOUBLE_TILING)


def _packing(nest: LoopNest, lanes: int) -> Tiling | None:
    """Copies of a matrix into panels, a few rows of a panel at once."""
    output = plain(nest.output)
    inputs = [plain(subscripts) for subscripts in nest.inputs]
    if output is None or len(output) != 3 or len(inputs) != 1 or nest.more:
        return None
    panel, row, column = output
    sizes = nest.sizes
    if inputs[0] != (row, panel, column) or sizes[column] != 2 * lanes or sizes[row] % _COPIED_ROWS:
        return None
    span = _largest(sizes[row], _COPIED_ROWS, _COPIED_SPAN)
    config = [
        ("distribution", {panel: 1, row: span, column: sizes[column]}),
        ("vector_common_parallel", {panel: 1, row: _COPIED_ROWS, column: sizes[column]}),
    ]
    return Tiling(_lowering_config(config, range(3)), _DOUBLE_TILING)


def _lowering_config(levels: list[tuple[str, dict[int, int]]], loops: range) -> str:
    """IREE's attribute; a loop that a level does not name is not tiled there."""
    texts = [
        f"{name} = [{', '.join(str(sizes.get(d, 0)) for d in loops)}]" for name, sizes in levels if sizes
    ]
    return f"#iree_cpu.lowering_config<{', '.join(texts)}>"
