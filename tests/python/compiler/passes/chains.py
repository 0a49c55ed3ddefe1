# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Random chains of operations, for properties of passes over them."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod
from typing import Any

import torch
from hypothesis import strategies as st
from torch_mlir import ir

from pock.compiler.opt import parse_module
from pock.compiler.torch_ir import TorchBuilder, body, functions
from pock.dialects import sparsebp
from pock.dialects.types import element_of, shape_of, vtensor
from tests.python.compiler.torch_interpreter import DTYPES

CONTEXT = sparsebp.context()
SIZES = st.sampled_from([2, 3, 4, 1])


class Chain:
    """A ``@step`` that grows operation by operation, ``value`` being the last result.

    The first is an argument of ``shape``; ``data`` draws what the operations are like.
    """

    def __init__(self, data: st.DataObject | None = None, shape: Sequence[int] = ()) -> None:
        self.data = data
        self.module = parse_module("func.func @step() { return }", CONTEXT)
        self.block = body(functions(self.module)["step"])
        self.builder = TorchBuilder(self.block.operations[0], ir.Location.unknown())
        self.value = self.argument(shape)
        self.seen = [self.value]

    def draw(self, strategy: st.SearchStrategy[Any]) -> Any:
        assert self.data is not None
        return self.data.draw(strategy)

    @property
    def shape(self) -> tuple[int, ...]:
        return shape_of(self.value.type)

    @property
    def rank(self) -> int:
        return len(self.shape)

    def argument(self, shape: Sequence[int], element: str = "f64") -> ir.Value:
        return self.block.add_argument(vtensor(shape, element), ir.Location.unknown())

    def dimension(self, negative: bool = True) -> int:
        """One of the value's dimensions, counted from either end."""
        return self.draw(st.integers(-self.rank if negative else 0, self.rank - 1))

    def like(self, shape: Sequence[int]) -> ir.Value:
        """An earlier value of that shape, or a new argument."""
        earlier = [v for v in self.seen if shape_of(v.type) == tuple(shape)]
        if earlier and self.draw(st.booleans()):
            return self.draw(st.sampled_from(earlier))
        return self.argument(shape)

    def broadcast(self) -> ir.Value:
        """An operand that broadcasts to the value's shape: of lower rank, with dimensions of 1."""
        kept = self.shape[self.draw(st.integers(0, self.rank)) :]
        return self.argument([n if self.draw(st.booleans()) else 1 for n in kept])

    def aten(self, name: str, *operands: Any, shape: Sequence[int], element: str = "f64") -> ir.Value:
        return self.builder.aten(name, *operands, shape=shape, element=element)

    def op(
        self, name: str, operands: Sequence[ir.Value], shape: Sequence[int], **attributes: Any
    ) -> ir.Value:
        """An operation of the dialect; its numbers and lists of them become attributes."""
        given = {
            key: ir.Attribute.parse(
                f"array<i64: {', '.join(map(str, v))}>" if isinstance(v, list) else _scalar(v), CONTEXT
            )
            for key, v in attributes.items()
        }
        return self.builder.create(f"sparsebp.{name}", operands, [vtensor(shape, "f64")], given)


def _scalar(value: int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value} : i64"


Growth = Callable[[Chain], ir.Value | None]
"""The next operation of a chain, or None where no such operation takes the value."""


def mm(c: Chain) -> ir.Value:
    size = c.draw(SIZES)
    if c.draw(st.booleans()):
        return c.aten("mm", c.value, c.argument((c.shape[1], size)), shape=(c.shape[0], size))
    return c.aten("mm", c.argument((size, c.shape[0])), c.value, shape=(size, c.shape[1]))


def bmm(c: Chain) -> ir.Value:
    batch, rows, columns = c.shape
    size = c.draw(SIZES)
    if c.draw(st.booleans()):
        return c.aten("bmm", c.value, c.argument((batch, columns, size)), shape=(batch, rows, size))
    return c.aten("bmm", c.argument((batch, size, rows)), c.value, shape=(batch, size, columns))


def permute(c: Chain) -> ir.Value:
    order = c.draw(st.permutations(range(c.rank)))
    given = [i - c.rank if c.draw(st.booleans()) else i for i in order]
    return c.aten("permute", c.value, given, shape=[c.shape[i] for i in order])


def transpose(c: Chain) -> ir.Value:
    a, b = c.dimension(), c.dimension()
    shape = list(c.shape)
    shape[a], shape[b] = shape[b], shape[a]
    return c.aten("transpose.int", c.value, a, b, shape=shape)


def t(c: Chain) -> ir.Value:
    return c.aten("t", c.value, shape=c.shape[::-1])


def view(c: Chain) -> ir.Value:
    """Factors of the number of elements, in the order of the value's own or in any."""
    factors = [n for size in c.shape for n in ([2, 2] if size == 4 else [size])]
    if c.draw(st.booleans()):
        factors = c.draw(st.permutations(factors))
    cuts = [i for i in range(1, len(factors)) if c.draw(st.integers(0, 3))]
    ones = c.draw(st.lists(st.integers(0, len(factors)), max_size=1))
    bounds = sorted([0, *cuts, *ones, len(factors)])
    shape = [prod(factors[a:b]) for a, b in pairwise(bounds)]
    name = c.draw(st.sampled_from(["view", "reshape", "_unsafe_view"]))
    given = list(shape)
    if c.draw(st.booleans()):
        given[c.draw(st.integers(0, len(given) - 1))] = -1
    return c.aten(name, c.value, given, shape=shape)


def unsqueeze(c: Chain) -> ir.Value:
    added = c.draw(st.integers(-c.rank - 1, c.rank))
    at = added % (c.rank + 1)
    return c.aten("unsqueeze", c.value, added, shape=[*c.shape[:at], 1, *c.shape[at:]])


def squeeze(c: Chain) -> ir.Value | None:
    if c.draw(st.booleans()):
        removed = c.dimension()
        shape = [n for i, n in enumerate(c.shape) if n != 1 or i != removed % c.rank]
        return c.aten("squeeze.dim", c.value, removed, shape=shape) if shape else None
    ones = [i for i, n in enumerate(c.shape) if n == 1 and c.draw(st.booleans())]
    shape = [n for i, n in enumerate(c.shape) if i not in ones]
    if not shape:
        return None
    return c.builder.create(
        "torch.prims.squeeze", [c.value, c.builder.int_list(ones)], [vtensor(shape, "f64")]
    )


def expand(c: Chain) -> ir.Value:
    shape = [c.draw(SIZES) if n == 1 else n for n in c.shape]
    given = [-1 if n == m and c.draw(st.booleans()) else m for n, m in zip(c.shape, shape, strict=True)]
    leading = c.draw(st.lists(SIZES, max_size=1))
    return c.aten("expand", c.value, leading + given, False, shape=leading + shape)


def slice_tensor(c: Chain) -> ir.Value:
    axis = c.dimension()
    size = c.shape[axis]
    start, step = c.draw(st.integers(-size - 1, size - 1)), c.draw(st.integers(1, 2))
    end = c.draw(st.sampled_from([size, 2**63 - 1, -1]))
    shape = list(c.shape)
    shape[axis] = len(range(size)[start:end:step])
    if shape[axis] == 0:
        start, end, step, shape[axis] = 0, size, 1, size
    return c.aten("slice.Tensor", c.value, axis, start, end, step, shape=shape)


def slice_scatter(c: Chain) -> ir.Value:
    axis = c.dimension()
    size = c.shape[axis]
    start = c.draw(st.integers(0, size - 1))
    shape = list(c.shape)
    shape[axis] = size - start
    return c.aten("slice_scatter", c.value, c.argument(shape), axis, start, size, 1, shape=c.shape)


def select_int(c: Chain) -> ir.Value:
    axis = c.dimension()
    index = c.draw(st.integers(0, c.shape[axis] - 1))
    shape = [n for i, n in enumerate(c.shape) if i != axis % c.rank]
    return c.aten("select.int", c.value, axis, index, shape=shape)


def cat(c: Chain) -> ir.Value:
    axis = c.dimension()
    shape = list(c.shape)
    shape[axis] = c.draw(SIZES)
    parts = c.draw(st.permutations([c.value, c.argument(shape), c.like(c.shape)]))
    shape[axis] += 2 * c.shape[axis]
    listed = c.builder.create("torch.prim.ListConstruct", parts, [c.builder.type("!torch.list<vtensor>")])
    return c.aten("cat", listed, axis, shape=shape)


def pad(c: Chain) -> ir.Value:
    count = c.draw(st.integers(1, c.rank))
    pads = c.draw(st.lists(st.integers(0, 1), min_size=2 * count, max_size=2 * count))
    shape = list(c.shape)
    for i in range(count):
        shape[-1 - i] += pads[2 * i] + pads[2 * i + 1]
    return c.aten("constant_pad_nd", c.value, pads, 0.5, shape=shape)


def sums(c: Chain) -> ir.Value | None:
    return _reduction(c, c.draw(st.sampled_from(["sum.dim_IntList", "mean.dim"])))


def extremes(c: Chain) -> ir.Value | None:
    return _reduction(c, c.draw(st.sampled_from(["amax", "amin"])))


def _reduction(c: Chain, name: str) -> ir.Value | None:
    reduced = c.draw(st.lists(st.integers(0, c.rank - 1), min_size=1, max_size=2, unique=True))
    given: list[int] | None = [d - c.rank if c.draw(st.booleans()) else d for d in reduced]
    keep = c.draw(st.booleans())
    if keep and c.draw(st.integers(0, 4)) == 0:
        reduced, given = list(range(c.rank)), []
    shape = [1 if i in reduced else n for i, n in enumerate(c.shape) if keep or i not in reduced]
    if not shape:
        return None
    rest = [] if name.startswith("am") else [c.draw(st.sampled_from([None, 7]))]
    return c.aten(name, c.value, given, keep, *rest, shape=shape)


def softmax(c: Chain) -> ir.Value:
    name = c.draw(st.sampled_from(["_softmax", "_log_softmax"]))
    return c.aten(name, c.value, c.dimension(), False, shape=c.shape)


def any_or_all(c: Chain) -> ir.Value | None:
    """Of a comparison; it chooses what becomes of the value."""
    axis, keep = c.dimension(), c.draw(st.booleans())
    positive = c.aten("gt.Scalar", c.value, 0, shape=c.shape, element="i1")
    name = c.draw(st.sampled_from(["any.dim", "all.dim"]))
    shape = [1 if i == axis % c.rank else n for i, n in enumerate(c.shape) if keep or i != axis % c.rank]
    found = c.aten(name, positive, axis, keep, shape=shape, element="i1")
    other = c.argument(shape)
    return c.aten("where.self", found, other, other, shape=shape)


def unary(c: Chain) -> ir.Value:
    name, *arguments = c.draw(
        st.sampled_from(
            [
                ("neg",), ("exp",), ("sigmoid",), ("add.Scalar", 1.5, 2), ("clamp", -1.0, None), ("abs",),
                ("pow.Tensor_Scalar", 2), ("gelu", "none"), ("zeros_like", None, None, None, None, None),
                ("full_like", 2.0, None, None, None, None, None), ("to.dtype", 7, False, False, None),
                ("_to_copy", 7, None, None, None, False, None), ("relu",), ("mul.Scalar", -0.5),
            ]
        )
    )  # fmt: skip
    values = [string(c, a) if isinstance(a, str) else a for a in arguments]
    return c.aten(name, c.value, *values, shape=c.shape)


def string(c: Chain, text: str) -> ir.Value:
    attributes = {"value": ir.StringAttr.get(text)}
    return c.builder.create("torch.constant.str", [], [c.builder.type("!torch.str")], attributes)


def convert(c: Chain) -> ir.Value:
    """To f32 and back."""
    narrow = [c.value, c.builder.int(6)]
    value = c.builder.create("torch.prims.convert_element_type", narrow, [vtensor(c.shape, "f32")])
    wide = [value, c.builder.int(7)]
    return c.builder.create("torch.prims.convert_element_type", wide, [vtensor(c.shape, "f64")])


def binary(c: Chain) -> ir.Value:
    name = c.draw(st.sampled_from(["add.Tensor", "sub.Tensor", "mul.Tensor", "maximum", "clamp.Tensor"]))
    other = c.broadcast() if c.draw(st.booleans()) else c.like(c.shape)
    if name == "clamp.Tensor":
        limits = c.draw(st.permutations([other, None]))
        return c.aten(name, c.value, *limits, shape=c.shape)
    operands = c.draw(st.permutations([c.value, other]))
    rest = [c.draw(st.sampled_from([1, 2, -0.5]))] if name in ("add.Tensor", "sub.Tensor") else []
    return c.aten(name, *operands, *rest, shape=c.shape)


def widen(c: Chain) -> ir.Value:
    """An operand that broadcasts the value."""
    shape = [*c.draw(st.lists(SIZES, max_size=1)), *(c.draw(SIZES) if n == 1 else n for n in c.shape)]
    return c.aten("mul.Tensor", c.value, c.argument(shape), shape=shape)


def where(c: Chain) -> ir.Value:
    other = c.broadcast()
    condition = c.aten("gt.Scalar", other, 0, shape=shape_of(other.type), element="i1")
    operands = c.draw(st.permutations([c.value, c.broadcast()]))
    if c.draw(st.booleans()):
        return c.aten("where.self", condition, *operands, shape=c.shape)
    return c.aten("where.ScalarOther", condition, c.value, -2.0, shape=c.shape)


def _window(c: Chain, spatial: int) -> dict[str, list[int]]:
    draws = {"stride": (1, 2), "padding": (0, 1), "dilation": (1, 2)}
    return {name: [c.draw(st.integers(*r)) for _ in range(spatial)] for name, r in draws.items()}


def conv_weight_grad_of_input(c: Chain) -> ir.Value | None:
    batch, channels, *size = c.shape
    groups = c.draw(st.sampled_from([g for g in (1, 2, 3, 4) if channels % g == 0]))
    window = _window(c, len(size))
    kernel = [c.draw(st.integers(1, 2)) for _ in size]
    output = _output(size, kernel, window)
    if min(output) < 1:
        return None
    outputs = groups * c.draw(st.integers(1, 2))
    grad = c.argument((batch, outputs, *output))
    weight = (outputs, channels // groups, *kernel)
    return c.op("conv_weight_grad", [grad, c.value], weight, groups=groups, **window)


def conv_of_gradient(c: Chain) -> ir.Value | None:
    """The weight or the input gradient, with the value as the output's gradient."""
    batch, outputs, *output = c.shape
    groups = c.draw(st.sampled_from([g for g in (1, 2, 3, 4) if outputs % g == 0]))
    window = _window(c, len(output))
    kernel = [c.draw(st.integers(1, 2)) for _ in output]
    size = [
        (o - 1) * s + d * (k - 1) + 1 - 2 * p
        for o, k, s, p, d in zip(output, kernel, *window.values(), strict=True)
    ]
    if min(size) < 1:
        return None
    channels = groups * c.draw(st.integers(1, 2))
    weight, source = (outputs, channels // groups, *kernel), (batch, channels, *size)
    if c.draw(st.booleans()):
        operands = [c.value, c.argument(source)]
        return c.op("conv_weight_grad", operands, weight, groups=groups, **window)
    return c.op("conv_input_grad", [c.value, c.argument(weight)], source, groups=groups, **window)


def _output(size: Sequence[int], kernel: Sequence[int], window: dict[str, list[int]]) -> list[int]:
    shapes = zip(size, kernel, *window.values(), strict=True)
    return [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in shapes]


def pool_grad(c: Chain) -> ir.Value:
    """Kernel and stride 2, with the value as the output's gradient."""
    size = (*c.shape[:2], *(2 * n for n in c.shape[2:]))
    window = {"kernel": [2, 2], "stride": [2, 2], "padding": [0, 0]}
    if c.draw(st.booleans()):
        return c.op("avg_pool_grad", [c.value], size, **window, count_include_pad=True, divisor_override=0)
    given = {key: ir.DenseI64ArrayAttr.get(v) for key, v in window.items()}
    given["dilation"] = ir.DenseI64ArrayAttr.get([1, 1])
    argmax = c.builder.create(
        "sparsebp.max_pool_argmax", [c.argument(size)], [vtensor(c.shape, "si32")], given
    )
    return c.op("max_pool_grad", [c.value, argmax], size, **window, dilation=[1, 1])


def embedding_grad(c: Chain) -> ir.Value:
    rows = c.draw(st.integers(2, 4))
    indices = c.argument(c.shape[:-1], "si64")
    attributes = {"first_row": 0, "padding_idx": c.draw(st.integers(-1, 1)), "scale_grad_by_freq": False}
    return c.op("embedding_grad", [c.value, indices], (rows, c.shape[-1]), **attributes)


ANY = (1, 2, 3, 4, 5)

#: what may grow a chain -> the ranks of the values that it takes
GROWTHS: dict[Growth, Sequence[int]] = {
    mm: (2,), bmm: (3,), t: (1, 2), permute: ANY, transpose: ANY, view: ANY, unsqueeze: (1, 2, 3, 4),
    squeeze: ANY, expand: (1, 2, 3, 4), slice_tensor: ANY, slice_scatter: ANY, select_int: (2, 3, 4, 5),
    cat: ANY, pad: ANY, sums: (2, 3, 4, 5), extremes: (2, 3, 4, 5),
    softmax: ANY, any_or_all: (2, 3, 4, 5),
    unary: ANY, convert: ANY, binary: ANY, widen: (1, 2, 3), where: ANY,
    conv_weight_grad_of_input: (3, 4), conv_of_gradient: (3, 4), pool_grad: (4,),
    embedding_grad: (2, 3, 4, 5),
}  # fmt: skip


def grow(c: Chain, growth: Growth) -> None:
    grown = growth(c)
    if grown is not None and prod(shape_of(grown.type)) < 5000:
        c.value = grown
        c.seen.append(grown)


def inputs(module: ir.Module) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = []
    for argument in body(functions(module)["step"]).arguments:
        shape, dtype = shape_of(argument.type), DTYPES[element_of(argument.type)]
        low = 0 if dtype == torch.int64 else -3
        inputs.append(torch.randint(low, 4, shape, generator=generator).to(dtype))
    return inputs


def start(data: st.DataObject, ranks: Sequence[int]) -> Chain:
    rank = data.draw(st.sampled_from([r for r in ranks if r < 5]))
    return Chain(data, data.draw(st.lists(SIZES, min_size=rank, max_size=rank)))
