# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Steps that IREE gets wrong in place, compiled and run against NumPy; and those that stay in place."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import iree.runtime as rt
import numpy as np
import pytest

from pock.compiler.codegen import Request, generate
from pock.compiler.in_place import InPlaceError, InPlaceModule
from pock.targets import get_target

N = 48
T = f"tensor<{N}x{N}xf32>"
Arrays = Mapping[str, np.ndarray]

PREAMBLE = f"""
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : {T}
  %zeros = linalg.fill ins(%zero : f32) outs(%empty : {T}) -> {T}
  %scale = arith.constant dense<{1 / N}> : {T}
"""


def matmul(name: str, a: str, b: str) -> str:
    return f"""
  {name}_sum = linalg.matmul ins({a}, {b} : {T}, {T}) outs(%zeros : {T}) -> {T}
  {name} = arith.mulf {name}_sum, %scale : {T}"""


def transpose(name: str, a: str) -> str:
    return f"  {name} = linalg.transpose ins({a} : {T}) outs(%empty : {T}) permutation = [1, 0]"


def take(name: str, a: str, begin: int, rows: int) -> str:
    part = f"[{begin}, 0] [{rows}, {N}] [1, 1]"
    return f"  {name} = tensor.extract_slice {a}{part} : {T} to tensor<{rows}x{N}xf32>"


def put(name: str, a: str, into: str, begin: int, rows: int) -> str:
    return f"""  {name} = tensor.insert_slice {a} into {into}[{begin}, 0] [{rows}, {N}] [1, 1]
    : tensor<{rows}x{N}xf32> into {T}"""


@dataclass(frozen=True)
class Step:
    """A step of ``x`` and the states: lines of linalg, names of its results, and the same in NumPy.

    ``results`` are an output and the new value of each state; ``copied`` are the states that cannot be
    updated in place.
    """

    lines: tuple[str, ...]
    results: tuple[str, ...]
    compute: Callable[[Arrays], tuple[np.ndarray, ...]]
    copied: tuple[str, ...] = ()
    states: tuple[str, ...] = field(default=("w",))

    def text(self) -> str:
        states = [f"%{s}: {T} {{iree.abi.output = {i + 1} : index}}" for i, s in enumerate(self.states)]
        types = ", ".join([T] * len(self.results))
        body = "\n".join(self.lines)
        return f"""
module @pock {{
  func.func @init() -> tensor<f32> {{
    %c = arith.constant dense<0.0> : tensor<f32>
    return %c : tensor<f32>
  }}
  func.func @step(%x: {T}, {", ".join(states)}) -> ({types}) {{
    {PREAMBLE}
    {body}
    return {", ".join(self.results)} : {types}
  }}
}}"""


def mean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a @ b / N


def with_rows(a: np.ndarray, begin: int, rows: np.ndarray) -> np.ndarray:
    changed = a.copy()
    changed[begin : begin + len(rows)] = rows
    return changed


def every_other(a: np.ndarray, rows: np.ndarray) -> np.ndarray:
    changed = a.copy()
    changed[1::2] = rows
    return changed


def with_column(a: np.ndarray, at: int, column: np.ndarray) -> np.ndarray:
    changed = a.copy()
    changed[:, at] = column
    return changed


HALF = N // 2
UPDATE = "  %new = arith.subf %w, %x : " + T
STEPS = {
    "elementwise": Step((UPDATE,), ("%x", "%new"), lambda v: (v["x"], v["w"] - v["x"])),
    "behind its gradient, after the last read": Step(
        (
            matmul("%dx", "%x", "%w"),
            matmul("%dw", "%dx", "%x"),
            f"  %new = arith.subf %w, %dw : {T}",
        ),
        ("%dx", "%new"),
        lambda v: (mean(v["x"], v["w"]), v["w"] - mean(mean(v["x"], v["w"]), v["x"])),
    ),
    "behind its gradient, in front of the last read": Step(
        (
            matmul("%dw", "%x", "%x"),
            matmul("%dx", "%x", "%w"),
            f"  %sum = arith.addf %dx, %x : {T}",
            f"  %new = arith.subf %w, %dw : {T}",
        ),
        ("%sum", "%new"),
        lambda v: (mean(v["x"], v["w"]) + v["x"], v["w"] - mean(v["x"], v["x"])),
    ),
    "a slice of it": Step(
        (
            take("%top", "%w", HALF, HALF),
            take("%g", "%x", 0, HALF),
            f"  %n = arith.subf %top, %g : tensor<{HALF}x{N}xf32>",
            put("%new", "%n", "%w", HALF, HALF),
        ),
        ("%x", "%new"),
        lambda v: (v["x"], with_rows(v["w"], HALF, v["w"][HALF:] - v["x"][:HALF])),
    ),
    "passed through": Step(
        (UPDATE,),
        ("%new", "%w", "%s"),
        lambda v: (v["w"] - v["x"], v["w"], v["s"]),
        states=("w", "s"),
    ),
    "read behind the update, as dX = dY W is": Step(
        (
            UPDATE,
            matmul("%y", "%x", "%x"),
            matmul("%dy", "%y", "%x"),
            matmul("%dx", "%dy", "%w"),
        ),
        ("%dx", "%new"),
        lambda v: (mean(mean(mean(v["x"], v["x"]), v["x"]), v["w"]), v["w"] - v["x"]),
        copied=("w",),
    ),
    "transposed": Step(
        (transpose("%t", "%w"), f"  %new = arith.addf %w, %t : {T}"),
        ("%x", "%new"),
        lambda v: (v["x"], v["w"] + v["w"].T),
        copied=("w",),
    ),
    "multiplied by itself": Step(
        (matmul("%new", "%w", "%w"),),
        ("%x", "%new"),
        lambda v: (v["x"], mean(v["w"], v["w"])),
        copied=("w",),
    ),
    "its other half": Step(
        (
            take("%top", "%w", 0, HALF),
            f"  %n = arith.addf %top, %top : tensor<{HALF}x{N}xf32>",
            put("%new", "%n", "%w", HALF, HALF),
        ),
        ("%x", "%new"),
        lambda v: (v["x"], with_rows(v["w"], HALF, 2 * v["w"][:HALF])),
        copied=("w",),
    ),
    "returned as it was": Step((UPDATE,), ("%w", "%new"), lambda v: (v["w"], v["w"] - v["x"]), copied=("w",)),
    "swapped": Step(
        (), ("%x", "%s", "%w"), lambda v: (v["x"], v["s"], v["w"]), copied=("w", "s"), states=("w", "s")
    ),
    "one value for two": Step(
        (UPDATE,),
        ("%x", "%new", "%new"),
        lambda v: (v["x"], v["w"] - v["x"], v["w"] - v["x"]),
        states=("w", "s"),
    ),
    "from a constant": Step(
        (), ("%w", "%scale"), lambda v: (v["w"], np.full((N, N), 1 / N, np.float32)), ("w",)
    ),
    "an input that is changed": Step(
        (
            take("%top", "%w", 0, HALF),
            put("%y", "%top", "%x", HALF, HALF),
            f"  %new = arith.mulf %w, %w : {T}",
        ),
        ("%y", "%new"),
        lambda v: (with_rows(v["x"], HALF, v["w"][:HALF]), v["w"] * v["w"]),
    ),
    "an input that is changed and returned": Step(
        (take("%top", "%x", 0, HALF), put("%new", "%top", "%x", HALF, HALF)),
        ("%x", "%new"),
        lambda v: (v["x"], with_rows(v["x"], HALF, v["x"][:HALF])),
    ),
    "a result that is changed": Step(
        (
            f"  %v = arith.mulf %w, %x : {T}",
            transpose("%t", "%s"),
            take("%part", "%t", HALF, HALF),
            put("%new", "%part", "%v", 0, HALF),
        ),
        ("%v", "%new", "%x"),
        lambda v: (v["w"] * v["x"], with_rows(v["w"] * v["x"], 0, v["s"].T[HALF:]), v["x"]),
        states=("w", "s"),
    ),
    "a result of which every other row is changed, seen through a reshape": Step(
        (
            f"  %v = arith.mulf %w, %x : {T}",
            f"  %flat = tensor.collapse_shape %v [[0, 1]] : {T} into tensor<{N * N}xf32>",
            f"""  %again = tensor.expand_shape %flat [[0, 1]] output_shape [{N}, {N}]
                : tensor<{N * N}xf32> into {T}""",
            transpose("%t", "%w"),
            take("%part", "%t", 0, HALF),
            f"""  %new = tensor.insert_slice %part into %again[1, 0] [{HALF}, {N}] [2, 1]
                : tensor<{HALF}x{N}xf32> into {T}""",
        ),
        ("%v", "%new"),
        lambda v: (v["w"] * v["x"], every_other(v["w"] * v["x"], v["w"].T[:HALF])),
        copied=("w",),
    ),
    "a read of the old value that something else updates by, in front of what runs beside the update": Step(
        (
            matmul("%d", "%x", "%x"),
            matmul("%r", "%d", "%w"),
            f"  %snew = arith.subf %s, %r : {T}",
            f"  %wnew = arith.subf %w, %d : {T}",
            matmul("%e", "%d", "%x"),
            matmul("%f", "%e", "%x"),
        ),
        ("%f", "%wnew", "%snew"),
        lambda v: (
            np.linalg.matrix_power(v["x"] / N, 4) * N,
            v["w"] - v["x"] @ v["x"] / N,
            v["s"] - v["x"] @ v["x"] / N @ v["w"] / N,
        ),
        states=("w", "s"),
    ),
    "a result of which a column is changed": Step(
        (
            f"  %v = arith.mulf %w, %x : {T}",
            f"  %row = tensor.extract_slice %w[3, 0] [1, {N}] [1, 1] : {T} to tensor<{N}xf32>",
            f"  %new = tensor.insert_slice %row into %v[0, 5] [{N}, 1] [1, 1] : tensor<{N}xf32> into {T}",
        ),
        ("%v", "%new"),
        lambda v: (v["w"] * v["x"], with_column(v["w"] * v["x"], 5, v["w"][3])),
        copied=("w",),
    ),
}


def run(
    vmfb: bytes, folder: Path, x: np.ndarray, states: list[np.ndarray], returned: Sequence[int]
) -> tuple[list[np.ndarray], np.ndarray]:
    """The output and the state of two steps, each on the last one's, and what the last has left in ``x``.

    ``returned`` is the state that a step returns; it leaves the rest where it was.
    """
    path = folder / "step.vmfb"
    path.write_bytes(vmfb)
    config = rt.Config("local-task")
    context = rt.SystemContext(config=config)
    context.add_vm_module(rt.VmModule.mmap(config.vm_instance, str(path)))
    state = [rt.asdevicearray(config.device, s.copy()) for s in states]
    results: list[np.ndarray] = []
    for _ in range(2):
        given = rt.asdevicearray(config.device, x.copy())
        made = context.modules.pock.step(given, *state)
        output, *moved = made if returned else [made]
        for index, value in zip(returned, moved, strict=True):
            state[index] = value
        results += [np.array(a.to_host()) for a in (output, *state)]
    return results, np.array(given.to_host())


@pytest.mark.parametrize("name", STEPS)
def test_steps(tmp_path: Path, name: str) -> None:
    step = STEPS[name]
    request = Request(step.text(), get_target("cpu").compile_flags(), b"", "model", embed=False)
    generated = generate(request, lambda facts: {"copied": list(facts.copied)})
    assert {step.states[i - 1] for i in generated.facts.copied} == set(step.copied), generated.facts.copied
    assert all(generated.facts.copied.values())

    generator = np.random.default_rng(0)
    x, *states = (generator.standard_normal((N, N)).astype(np.float32) for _ in range(1 + len(step.states)))
    returned = sorted(i - 1 for i in generated.facts.copied)
    if not generated.facts.drops_donated:
        returned = list(range(len(states)))
    results, left = run(generated.vmfb, tmp_path, x, list(states), returned)
    expected: list[np.ndarray] = []
    for _ in range(2):
        made = step.compute({"x": x, **dict(zip(step.states, states, strict=True))})
        expected += made
        states = list(made[1:])
    for got, want in zip(results, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(left, x, err_msg="the caller's input was overwritten")


def test_the_text_stays_as_it_is_where_nothing_is_wrong() -> None:
    text = STEPS["elementwise"].text()
    module = InPlaceModule(text)
    assert module.text() is text and not module.changed


DONATED = """
module @pock {
  func.func @init() { return }
  func.func @predict(%a: tensor<f32> {iree.abi.output = 0 : index}) -> tensor<f32> { return %a : tensor<f32> }
  func.func @step(
      %x: tensor<2xf32> {test.kept = "=)", iree.abi.output = 1 : index} loc("x.py":1:2),
      %n: tensor<i64> {iree.abi.output = 0 : index},
      %e: tensor<4xf32, #iree_encoding.testing<>> {iree.abi.output = 2 : index})
      -> (tensor<i64>, tensor<2xf32>, tensor<4xf32, #iree_encoding.testing<>>) {
    return %n, %x, %e : tensor<i64>, tensor<2xf32>, tensor<4xf32, #iree_encoding.testing<>>
  } loc("s.py":3:4)
}
"""


def test_donation_is_dropped_whatever_the_type() -> None:
    for dropped in ({0}, {1}, {2}, {0, 2}):
        module = InPlaceModule(DONATED)
        module.copied = dict.fromkeys(dropped, "because")
        text = module.text()
        results = {0: 1, 1: 0, 2: 2}
        for argument, result in results.items():
            # @predict, which is none of its business, has one of index 0.
            there = text.count(f"iree.abi.output = {result} : index") - (result == 0)
            assert there == (argument not in dropped), text
        assert 'test.kept = "=)"' in text and '"x.py":1:2' in text and '"s.py":3:4' in text
        assert InPlaceModule(text).text() is text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("module {", "IREE cannot read the program"),
        ("func.func @step() { return %x : f32 }", "use of undeclared SSA value"),
        (
            f"""func.func @step(%x: {T}, %w: {T}, %i: index) -> ({T}, {T}) {{
              %v = arith.addf %x, %w : {T}
              %row = tensor.extract_slice %x[0, 0] [1, {N}] [1, 1] : {T} to tensor<1x{N}xf32>
              %y = tensor.insert_slice %row into %v[%i, 0] [1, {N}] [1, 1] : tensor<1x{N}xf32> into {T}
              return %v, %y : {T}, {T}
            }}""",
            "a place known only at run time",
        ),
    ],
)
def test_what_cannot_be_made_right_is_one_line(text: str, message: str) -> None:
    with pytest.raises(InPlaceError, match=message) as error:
        InPlaceModule(text)
    assert "\n" not in str(error.value)
