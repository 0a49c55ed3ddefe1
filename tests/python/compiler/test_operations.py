# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Operations of compiled programs against PyTorch's, with hard inputs: values and gradients.

Many cases share a program. Each trains its own tensors; a gradient is read off as the momentum of a first
step. Subnormal numbers are left out: IREE's runtime flushes them to zero.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pock.compiler import SGD, TrainingTask, compile_program, trace
from pock.runtime import Trainer

INF, NAN = float("inf"), float("nan")


@dataclass
class Case:
    """A function of tensors, of which those of floats are trained.

    Results are to be within ``units`` units in the last place of what f64 gives, or of ``floor`` where
    that is larger: for results that are differences of larger numbers. Gradients may be twice as far off.
    """

    name: str
    function: Callable[..., Tensor]
    arguments: Sequence[Tensor]
    units: float = 4
    floor: float = 0.0


class Cases(nn.Module):
    def __init__(self, cases: Sequence[Case]) -> None:
        super().__init__()
        self.cases = cases
        for i, case in enumerate(cases):
            for j, value in enumerate(case.arguments):
                if value.is_floating_point():
                    self.register_parameter(f"c{i}_{j}", nn.Parameter(value.clone()))
                else:
                    self.register_buffer(f"c{i}_{j}", value.clone())

    def forward(self, _: Tensor) -> tuple[Tensor, ...]:
        return tuple(
            case.function(*(getattr(self, f"c{i}_{j}") for j in range(len(case.arguments))))
            for i, case in enumerate(self.cases)
        )


def weighed(value: Tensor) -> Tensor:
    """A sum in which every element has its own weight, so that gradients differ."""
    weights = torch.arange(value.numel(), dtype=torch.float64) % 5 / 4 + 0.5
    return (value * weights.view(value.shape).to(value.dtype)).sum()


def loss(outputs: tuple[Tensor, ...]) -> Tensor:
    return torch.stack([weighed(o).float() for o in outputs if o.is_floating_point()]).sum()


def reference(case: Case, dtype: torch.dtype | None) -> tuple[Tensor, list[Tensor] | None]:
    """Value and gradients as PyTorch computes them, in ``dtype`` or each argument's own."""
    arguments = [
        a.to(dtype or a.dtype).clone().requires_grad_() if a.is_floating_point() else a
        for a in case.arguments
    ]
    value = case.function(*arguments)
    if not value.requires_grad:
        return value, None
    trained = [a for a in arguments if a.is_floating_point()]
    found = torch.autograd.grad(weighed(value), trained, allow_unused=True)
    return value.detach(), [
        torch.zeros_like(a) if g is None else g for a, g in zip(trained, found, strict=True)
    ]


def compare(what: str, found: Any, wanted: Tensor, exact: Tensor, units: float, floor: float) -> None:
    """Assert equal integers, equal positions of NaN and infinities, and finite values close to ``exact``."""
    got = torch.from_numpy(np.asarray(found, np.float64))
    limits = torch.finfo(wanted.dtype if wanted.is_floating_point() else torch.float64)
    want, exact = wanted.double(), exact.double()
    assert got.shape == want.shape, what
    exact = torch.where(exact.isfinite() & want.isfinite(), exact, want)
    # Results below the normal numbers are flushed, inside a gradient too; what PyTorch itself is off is not
    # held against us.
    flushed = 128 * torch.finfo(torch.float32).tiny if limits.bits == 32 else limits.tiny
    allowed = units * limits.eps * exact.abs().clamp(min=floor) + flushed + 2 * (want - exact).abs()
    right = torch.where(
        want.isfinite(), (got - exact).abs() <= allowed, (got == want) | (got.isnan() & want.isnan())
    )
    wrong = (~right).flatten().nonzero().flatten().tolist()
    listed = [(i, got.flatten()[i].item(), want.flatten()[i].item()) for i in wrong[:5]]
    assert not wrong, f"{what}: {len(wrong)} wrong, as (index, got, PyTorch's) {listed}"


def check(cases: Sequence[Case], folder: Path) -> None:
    """Compile all cases as one program and compare values and gradients."""
    program = trace(TrainingTask(Cases(cases), (torch.zeros(1),), (), loss))
    compile_program(program, optimizer=SGD(momentum=0.5)).save(folder / "cases.vmfb")
    trainer = Trainer(folder / "cases.vmfb")
    predicted = trainer.predict(np.zeros(1, np.float32))
    predicted = predicted if isinstance(predicted, tuple) else (predicted,)
    trainer.step(np.zeros(1, np.float32), lr=0.0)
    state = trainer.state_dict(optimizer=True)
    failures = []
    for i, case in enumerate(cases):
        value, gradients = reference(case, None)
        exact, exact_gradients = reference(case, torch.float64)
        results = [(case.name, predicted[i], value, exact, case.units)]
        results.append((f"{case.name} in a step", trainer.outputs[i], value, exact, case.units))
        trained = [j for j, a in enumerate(case.arguments) if a.is_floating_point()]
        for k, j in enumerate(trained if gradients is not None else []):
            if (found := state.get(f"c{i}_{j}#momentum")) is not None:
                assert gradients is not None and exact_gradients is not None
                name = f"gradient of {case.name} with respect to {j}"
                results.append((name, found, gradients[k], exact_gradients[k], 2 * case.units))
        for result in results:
            try:
                compare(*result, case.floor)
            except AssertionError as failure:
                failures.append(str(failure))
    assert not failures, "\n".join(failures)


# -- elementwise --------------------------------------------------------------------------------

VALUES = torch.tensor(
    [0.0, -0.0, INF, -INF, NAN, 1e-30, -1e-30, 1e-8, -1e-8, 1e-4, -1e-3, 0.1, -0.3, 0.5, -0.5, 1.0, -1.0,
     0.9999999, 1.5, -1.5, 2.5, -2.5, 2.0, 3.0, -3.0, math.pi, 4.0, 6.0, -6.0, 9.01, 17.0, -17.0, 20.0, 20.5,
     -20.0, 80.0, -80.0, 104.0, 127.0, 300.0, 8191.0, 8193.0, 1.2345e5, -1e10, 1e20, -1e30]
)  # fmt: skip
FINITE = VALUES[VALUES.abs() < 1e9]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu, "relu6": lambda x: x.clamp(0.0, 6.0), "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "elu": F.elu, "elu 0.5": lambda x: F.elu(x, 0.5), "selu": F.selu, "celu": lambda x: F.celu(x, 1.3),
    "hardsigmoid": F.hardsigmoid, "hardswish": F.hardswish, "silu": F.silu,
    "sigmoid": torch.sigmoid, "tanh": torch.tanh, "softplus": F.softplus, "log_sigmoid": F.logsigmoid,
    "softplus 2": lambda x: F.softplus(x, beta=2.0, threshold=5.0), "softsign": F.softsign,
    "softshrink": F.softshrink, "threshold": lambda x: F.threshold(x, 0.1, 2.0),
}  # fmt: skip

UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs, "atan": torch.atan, "ceil": torch.ceil, "cosh": torch.cosh, "erf": torch.erf,
    "exp": torch.exp, "expm1": torch.expm1, "exp2": torch.exp2, "floor": torch.floor, "log": torch.log,
    "log1p": torch.log1p, "log2": torch.log2, "log10": torch.log10, "reciprocal": torch.reciprocal,
    "round": torch.round, "rsqrt": torch.rsqrt, "sgn": torch.sgn, "sign": torch.sign, "sin": torch.sin,
    "cos": torch.cos, "tan": torch.tan, "sinh": torch.sinh, "asinh": torch.asinh, "acosh": torch.acosh,
    "atanh": torch.atanh, "asin": torch.asin, "acos": torch.acos, "sqrt": torch.sqrt,
    "square": torch.square, "trunc": torch.trunc, "nan_to_num": torch.nan_to_num,
    "isnan": torch.isnan, "isinf": torch.isinf, "isfinite": torch.isfinite,
    "clamp": lambda x: x.clamp(-1.0, 2.0), "clamp_min": lambda x: x.clamp(min=-1.0),
    "clamp_max": lambda x: x.clamp(max=2.0), "remainder": lambda x: x.remainder(1.5),
    "self": lambda x: torch.where(x != x, 3.0, torch.where(x == x, x * 2, 0.0)),
    "where": lambda x: torch.where(x > 0, x, 0.0), "rsub": lambda x: 1.5 - x,
    "logical_not": torch.logical_not,
}  # fmt: skip


def grid(values: Sequence[float], others: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Every pair of them."""
    pairs = torch.cartesian_prod(torch.tensor(values), torch.tensor(others))
    return pairs[:, 0].contiguous(), pairs[:, 1].contiguous()


PAIRS = grid(*[[0.0, -0.0, INF, -INF, NAN, 2.0, -2.0, -8.0, 0.5, 1.0, -1.0, 1e6, -1.5, 7.3, 0.1, -0.1]] * 2)

BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "atan2": torch.atan2,
    "maximum": torch.maximum, "minimum": torch.minimum, "fmod": torch.fmod, "remainder": torch.remainder,
    "floor division": lambda a, b: torch.div(a, b, rounding_mode="floor"),
    "truncated division": lambda a, b: torch.div(a, b, rounding_mode="trunc"),
    "clamp": lambda a, b: a.clamp(-b.abs(), b.abs()), "logaddexp": torch.logaddexp,
    "eq": torch.eq, "ne": torch.ne, "lt": torch.lt, "le": torch.le, "gt": torch.gt, "ge": torch.ge,
    "where": lambda a, b: torch.where(a > b, a, b), "xlogy": torch.xlogy,
    "broadcast": lambda a, b: torch.atan2(a.view(16, 16), b[:16]) + torch.maximum(a[:16], b.view(16, 16, 1)),
}  # fmt: skip


#: Of each kind that torch-mlir or IREE get wrong, or that hide NaN there, one.
MENDED = ("elu", "hardswish", "exp2", "log10", "sin", "tan", "sinh", "asinh", "nan_to_num", "clamp", "self")


def unary(values: Tensor, names: Sequence[str]) -> list[Case]:
    functions = {**UNARY, **ACTIVATIONS}
    # The derivative of tanh is a difference from 1.
    return [Case(n, functions[n], (values,), floor=1.0 if n == "tanh" else 0.0) for n in names]


def losses() -> list[Case]:
    """Cross entropy with ignored samples, all of them too, and with weights of classes."""
    generator = torch.Generator().manual_seed(0)
    x, weights = torch.randn(8, 5, generator=generator), torch.tensor([0.5, 1.0, 2.0, 0.0, 3.0])
    labels, none = torch.tensor([0, 2, 4, 1, 3, 2, -100, 1]), torch.full((8,), -100)
    return [
        Case("weighted", lambda x, y: F.cross_entropy(x, y, weight=weights.to(x.dtype)), (x, labels), 16),
        Case("ignored", F.cross_entropy, (x, none)),
        Case("smoothed", lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1), (x * 50, labels), 16),
        Case("without bias", lambda c, a: torch.addmm(c, a, a.T, beta=0), (torch.full((8, 8), NAN), x), 16),
    ]


def periodic() -> list[Case]:
    """Close to multiples of pi/2, where all digits cancel."""
    generator = torch.Generator().manual_seed(0)
    multiples = torch.randint(1, 2**24, (4096,), generator=generator).double()
    multiples = (multiples * torch.exp2(torch.arange(4096) // 32 - 24.0)).round().clamp(min=1)
    values = (torch.cat([multiples, -multiples]) * math.pi / 2).float()
    functions = (("sin", torch.sin, 3), ("cos", torch.cos, 3), ("tan", torch.tan, 5))
    return [Case(f"{name} near its zeros", function, (values,), units) for name, function, units in functions]


def gelus() -> list[Case]:
    """Differences, in PyTorch too, where they are NaN at infinity."""
    return [
        Case("gelu", F.gelu, (FINITE,), floor=1.0),
        Case("gelu tanh", lambda x: F.gelu(x, approximate="tanh"), (FINITE,), floor=1.0),
        Case("mish", F.mish, (FINITE,), floor=1.0),
        Case("tanhshrink", F.tanhshrink, (FINITE,), floor=1.0),
    ]


def binary(names: Sequence[str]) -> list[Case]:
    tenths = torch.arange(40) / 10
    cases = [Case(name, BINARY[name], PAIRS) for name in names]
    return [*cases, Case("floors", lambda x: torch.div(x, 0.1, rounding_mode="floor"), (tenths,))]


def test_mended(tmp_path: Path) -> None:
    names = ("atan2", "maximum", "floor division", "logaddexp")
    check([*unary(VALUES, MENDED), *periodic(), *gelus()[:1], *binary(names), *losses()], tmp_path)


@pytest.mark.slow
def test_unary(tmp_path: Path) -> None:
    check([*unary(VALUES, (*UNARY, *ACTIVATIONS)), *gelus()], tmp_path)


@pytest.mark.slow
def test_binary(tmp_path: Path) -> None:
    check(binary(tuple(BINARY)), tmp_path)


# -- powers -------------------------------------------------------------------------------------

BASES = (0.0, -0.0, INF, -INF, NAN, 2.0, -2.0, -8.0, 0.5, 1.0, -1.0, 3e38, 1e-30, -1.5, 10.0, 0.9999999)
EXPONENTS = (0.0, -0.0, INF, -INF, NAN, 2.0, 3.0, -2.0, -3.0, 0.5, -0.5, 1 / 3, 1.0, -1.0, 1e10, 101.0, 2.5)


EVERY_EXPONENT = (0, 1, 2, 3, -1, -2, 0.5, -0.5, 1 / 3, 2.5, 101, -101, INF, -INF, NAN)
EVERY_BASE = (0.0, 2.0, -2.0, 0.5, 1.0, -1.0, INF, 2, -8.0)


def powers(exponents: Sequence[float], bases: Sequence[float]) -> list[Case]:
    cases = [Case("pow", torch.pow, grid(BASES, EXPONENTS), 6)]
    cases += [Case(f"x**{e}", lambda x, e=e: x**e, (VALUES,), 6) for e in exponents]
    cases += [Case(f"{b}**x", lambda x, b=b: torch.pow(b, x), (VALUES,), 6) for b in bases]
    generator = torch.Generator().manual_seed(0)
    base = torch.exp2(torch.rand(4096, generator=generator) * 200 - 100)
    exponent = (torch.rand(4096, generator=generator) * 2 - 1) * 120 / base.log2().abs()
    return [*cases, Case("random", torch.pow, (base, exponent), 2)]


@pytest.mark.slow
def test_powers(tmp_path: Path) -> None:
    check(powers(EVERY_EXPONENT, EVERY_BASE), tmp_path)


def integers() -> list[Case]:
    numbers = torch.tensor([0, 1, -1, 2, -2, 3, 7, -5])
    pairs = torch.cartesian_prod(numbers, torch.tensor([0, 1, 2, 3, 5, 40]))
    base, exponent = pairs[:, 0].contiguous(), pairs[:, 1].contiguous()
    small = torch.tensor([0, 1, 2, 3, 16, 200, 255], dtype=torch.uint8)
    return [
        Case("pow", torch.pow, (base, exponent)),
        Case("pow of i32", lambda a, b: torch.pow(a.int(), b.int()), (base, exponent)),
        Case("negative", lambda a, b: torch.pow(a, -b), (base[base != 0], exponent[base != 0])),
        Case("cube", lambda i: i**3, (numbers,)),
        Case("square of bytes", lambda u: u**2, (small,)),
        Case("powers of bytes", lambda u: u**u, (small,)),
        Case("root of bytes", lambda u: u**0.5, (small,)),
        Case("powers of 2", lambda i: 2 ** i.abs(), (numbers,)),
        Case("powers of 2.5", lambda i: 2.5**i, (numbers,)),
        Case("clamp", lambda i: i.clamp(-1, 3), (numbers,)),
        Case("maximum", lambda u: torch.maximum(u, u.flip(0)), (small,)),
        Case("sine", torch.sin, (numbers,)),
        Case("remainder", lambda a, b: torch.remainder(a, b + 1), (base, exponent)),
        Case("floor", lambda a: a // -2, (numbers,)),
        Case("trunc", lambda a: torch.div(a, -2, rounding_mode="trunc"), (numbers,)),
        Case("mixed", lambda x, i: x**i, (torch.linspace(-2, 2, 8), numbers)),
    ]


def test_powers_and_integers(tmp_path: Path) -> None:
    check([*powers((-1, 1 / 3), (-2.0,)), *integers()], tmp_path)


# -- constants ----------------------------------------------------------------------------------


def compared(constant: Tensor) -> Callable[[Tensor], Tensor]:
    """Every relation of a constant to some numbers, a bit each."""

    def function(x: Tensor) -> Tensor:
        relations = (torch.lt, torch.le, torch.gt, torch.ge, torch.eq, torch.ne)
        pairs = [(relation, number) for number in (1, -1, 1.5) for relation in relations]
        return x * sum(2**i * relation(constant, number) for i, (relation, number) in enumerate(pairs))

    return function


def test_constants_are_compared_as_pytorch_does(tmp_path: Path) -> None:
    constants = [
        torch.tensor([0.0, 1.0, 1.5, -1.5]), torch.tensor([True, False]), torch.tensor([5, -1]),
        torch.tensor([200, 0], dtype=torch.uint8),
    ]  # fmt: skip
    cases = [Case(f"{c.dtype}", compared(c), (torch.ones(len(c)),)) for c in constants]
    cases.append(Case("ones", lambda x: (torch.ones(4) == 1) * x, (torch.ones(4),)))
    check(cases, tmp_path)


@pytest.mark.slow
def test_a_loss_that_compares_constants(tmp_path: Path) -> None:
    pairs = torch.linspace(-1, 1, 12).view(3, 4), torch.linspace(-1, 2, 12).view(3, 4).square()
    check([Case("embedding", lambda a, b: F.cosine_embedding_loss(a, b, torch.ones(3)), pairs, 16)], tmp_path)


# -- every dtype --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_floats(dtype: torch.dtype, tmp_path: Path) -> None:
    # Without NaN, at which gradients of PyTorch's 16-bit kernels are those of positive numbers.
    values = VALUES[(VALUES.abs() < 1e4) & ((VALUES == 0) | (VALUES.abs() > 1e-4))]
    names = [name for name in (*UNARY, *ACTIVATIONS) if name not in ("log10", "acosh", "asinh", "atanh")]
    cases = unary(values.to(dtype), names)
    bases, exponents = grid(BASES[:11], EXPONENTS[:12])
    cases.append(Case("pow", torch.pow, (bases.to(dtype), exponents.to(dtype))))
    cases += [Case(n, BINARY[n], tuple(p.to(dtype) for p in PAIRS)) for n in ("maximum", "atan2", "clamp")]
    # IREE's runtime binds 32 buffers to a kernel, and the f32 of every case's sum is written by one.
    for start in range(0, len(cases), 16):
        check(cases[start : start + 16], tmp_path)
