# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What `sparsebp-fold-constants` computes is what IREE computes, and nothing is left to compute."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import iree.runtime as rt
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch_mlir import ir

from pock.compiler import SGD, Scheme, TrainingTask, compile_program, trace
from pock.compiler.opt import parse_module
from pock.compiler.passes.fold_constants import fold_constants
from pock.compiler.torch_ir import functions, operations
from pock.dialects import sparsebp
from pock.runtime import Trainer
from tests.e2e import zoo

CPU = (
    "--iree-hal-target-device=local",
    "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-llvmcpu-target-cpu=host",
    "--iree-opt-const-eval=false",
)

Value = tuple[str, tuple[int, ...]]
"""A name, and the shape of the tensor of f32 that has it."""


class Expressions:
    """Functions that each return what a random chain of operations computes from a global."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._values = np.random.default_rng(seed)
        self._lines: list[str] = []
        self.globals: dict[str, Any] = {}
        self.text = ""

    def function(self, i: int) -> None:
        self._lines = []
        rank = self._random.randint(1, 4)
        value = self._global(i, tuple(self._random.randint(1, 5) for _ in range(rank)))
        steps: list[Callable[[Value], Value]] = [
            self._transposed, self._unary, self._scaled, self._compared, self._gathered, self._sliced,
            self._inserted, self._padded, self._flattened, self._broadcast, self._filled,
        ]  # fmt: skip
        for _ in range(self._random.randint(1, 4)):
            value = self._random.choice(steps)(value)
        # Not a reshape of a global, which is left.
        value = self._unary(value)
        body = "\n  ".join(self._lines)
        type_ = _type(value)
        self.text += f"func.func @f{i}() -> {type_} {{\n  {body}\n  return {value[0]} : {type_}\n}}\n"

    def module(self, archived: bool) -> str:
        declared = ""
        for name, array in self.globals.items():
            type_ = f"tensor<{''.join(f'{n}x' for n in array.shape)}f32>"
            initial = f'dense<"0x{array.tobytes().hex().upper()}"> : {type_}'
            if array.size == 1:
                initial = f"dense<0x{array.view(np.uint32).item():08X}> : {type_}"
            if archived:
                initial = f'#flow.parameter.named<"model"::"{name}"> : {type_}'
            declared += (
                f'"util.global"() {{sym_name = "{name}", sym_visibility = "private", type = {type_}, '
                f"initial_value = {initial}}} : () -> ()\n"
            )
        return declared + self.text

    # -- operations --

    def _line(self, shape: tuple[int, ...], text: str) -> Value:
        name = f"%v{len(self._lines)}"
        self._lines.append(f"{name} = {text}")
        return name, shape

    def _global(self, i: int, shape: tuple[int, ...]) -> Value:
        name = f"g{i}_{len(self._lines)}"
        self.globals[name] = self._values.uniform(0.5, 2.0, shape).astype(np.float32)
        type_ = _type(("", shape))
        return self._line(shape, f'"util.global.load"() {{global = @{name}}} : () -> {type_}')

    def _empty(self, shape: tuple[int, ...]) -> Value:
        return self._line(shape, f"tensor.empty() : {_type(('', shape))}")

    def _generic(self, shape: tuple[int, ...], operands: list[tuple[Value, list[str]]], body: str) -> Value:
        """A ``linalg.generic`` of ``shape``; ``body`` computes ``%r`` from ``%a0``, ``%a1`` and so on."""
        empty = self._empty(shape)
        loops = ", ".join(f"d{i}" for i in range(len(shape)))
        results = [", ".join(at) for _, at in operands] + [loops]
        maps = ", ".join(f"affine_map<({loops}) -> ({at})>" for at in results)
        kinds = ", ".join(['"parallel"'] * len(shape))
        ins = (
            ""
            if not operands
            else f" ins({', '.join(v[0] for v, _ in operands)} : {', '.join(_type(v) for v, _ in operands)})"
        )
        arguments = ", ".join([*(f"%a{i}: f32" for i in range(len(operands))), "%out: f32"])
        return self._line(
            shape,
            f"linalg.generic {{indexing_maps = [{maps}], iterator_types = [{kinds}]}}{ins} "
            f"outs({empty[0]} : {_type(empty)}) {{\n  ^bb0({arguments}):\n    {body}\n"
            f"    linalg.yield %r : f32\n  }} -> {_type(empty)}",
        )

    def _transposed(self, value: Value) -> Value:
        order = list(range(len(value[1])))
        self._random.shuffle(order)
        empty = self._empty(tuple(value[1][i] for i in order))
        return self._line(
            empty[1],
            f"linalg.transpose ins({value[0]} : {_type(value)}) outs({empty[0]} : {_type(empty)}) "
            f"permutation = {order}",
        )

    def _unary(self, value: Value) -> Value:
        body = self._random.choice([
            "%r = arith.negf %a0 : f32",
            "%s = math.absf %a0 : f32\n    %r = math.sqrt %s : f32",
            "%s = arith.mulf %a0, %a0 : f32\n    %e = arith.constant 0.125 : f32\n"
            "    %t = arith.addf %s, %e : f32\n    %r = math.rsqrt %t : f32",
            "%w = arith.extf %a0 : f32 to f64\n    %s = arith.addf %w, %w : f64\n"
            "    %r = arith.truncf %s : f64 to f32",
        ])  # fmt: skip
        return self._generic(value[1], [(value, _dims(value))], body)

    def _scaled(self, value: Value) -> Value:
        """By a vector along one dimension, in another order of loops."""
        axis = self._random.randrange(len(value[1]))
        vector = self._global(len(self.globals), (value[1][axis],))
        kind = self._random.choice(["mulf", "addf", "subf", "divf", "maximumf", "minimumf"])
        return self._generic(
            value[1], [(value, _dims(value)), (vector, [f"d{axis}"])], f"%r = arith.{kind} %a0, %a1 : f32"
        )

    def _compared(self, value: Value) -> Value:
        """Elements whose numbers compare so with 1 as they are, and the others negative."""
        other = self._global(len(self.globals), value[1])
        name = next(reversed(self.globals))
        self.globals[name] = self._values.choice(np.float32([0.5, 1, 2, np.nan]), value[1])
        kind = self._random.choice(["ogt", "oge", "olt", "ole", "une", "oeq"])
        body = (
            f"%one = arith.constant 1.0 : f32\n    %c = arith.cmpf {kind}, %a1, %one : f32\n"
            "    %n = arith.negf %a0 : f32\n    %r = arith.select %c, %a0, %n : f32"
        )
        return self._generic(value[1], [(value, _dims(value)), (other, _dims(value))], body)

    def _gathered(self, value: Value) -> Value:
        """Elements by index, zero for those outside, as for gradients of strided convolutions."""
        shape = tuple(self._random.randint(1, 5) for _ in value[1])
        lines, indices = ["%zero = arith.constant 0.0 : f32", "%c0 = arith.constant 0 : index"], []
        inside = ""
        for i, n in enumerate(value[1]):
            lines += [
                f"%i{i} = linalg.index {i} : index",
                f"%most{i} = arith.constant {n - 1} : index",
                f"%d{i} = arith.subi %most{i}, %i{i} : index",
                f"%at{i} = arith.maxsi %d{i}, %c0 : index",
                f"%in{i} = arith.cmpi sge, %d{i}, %c0 : index",
            ]
            indices.append(f"%at{i}")
            inside = f"%in{i}"
        source = f"tensor.extract {value[0]}[{', '.join(indices)}] : {_type(value)}"
        lines += [f"%e = {source}", f"%r = arith.select {inside}, %e, %zero : f32"]
        return self._generic(shape, [], "\n    ".join(lines))

    def _sliced(self, value: Value) -> Value:
        window = [self._window(n) for n in value[1]]
        shape = tuple(size for _, size, _ in window)
        return self._line(
            shape, f"tensor.extract_slice {value[0]}{_lists(window)} : {_type(value)} to {_type(('', shape))}"
        )

    def _inserted(self, value: Value) -> Value:
        window = [self._window(n) for n in value[1]]
        part = self._global(len(self.globals), tuple(size for _, size, _ in window))
        return self._line(
            value[1],
            f"tensor.insert_slice {part[0]} into {value[0]}{_lists(window)} "
            f": {_type(part)} into {_type(value)}",
        )

    def _window(self, n: int) -> tuple[int, int, int]:
        offset, step = self._random.randrange(n), self._random.randint(1, 2)
        return offset, self._random.randint(1, (n - offset + step - 1) // step), step

    def _padded(self, value: Value) -> Value:
        low, high = ([self._random.randint(0, 2) for _ in value[1]] for _ in range(2))
        shape = tuple(n + a + b for n, a, b in zip(value[1], low, high, strict=True))
        indices = ", ".join(f"%p{i}: index" for i in range(len(shape)))
        number = self._line((), "arith.constant 0.5 : f32")
        # Behind a barrier: what a kernel computes and then pads, IREE stores in the wrong place.
        apart = self._line(
            value[1],
            f'"iree_tensor_ext.compute_barrier.start"({value[0]}) : ({_type(value)}) -> {_type(value)}',
        )
        return self._line(
            shape,
            f"tensor.pad {apart[0]} low{low} high{high} {{\n  ^bb0({indices}):\n"
            f"    tensor.yield {number[0]} : f32\n  }} : {_type(value)} to {_type(('', shape))}",
        )

    def _flattened(self, value: Value) -> Value:
        shape = (int(np.prod(value[1])),)
        groups = [list(range(len(value[1])))]
        return self._line(
            shape, f"tensor.collapse_shape {value[0]} {groups} : {_type(value)} into {_type(('', shape))}"
        )

    def _broadcast(self, value: Value) -> Value:
        axis = self._random.randint(0, len(value[1]))
        shape = (*value[1][:axis], 3, *value[1][axis:])
        empty = self._empty(shape)
        return self._line(
            shape,
            f"linalg.broadcast ins({value[0]} : {_type(value)}) outs({empty[0]} : {_type(empty)}) "
            f"dimensions = [{axis}]",
        )

    def _filled(self, value: Value) -> Value:
        """Times what a tensor is filled with."""
        number = self._line((), "arith.constant 1.5 : f32")
        empty = self._empty(value[1])
        filled = self._line(
            value[1],
            f"linalg.fill ins({number[0]} : f32) outs({empty[0]} : {_type(empty)}) -> {_type(empty)}",
        )
        return self._generic(
            value[1], [(value, _dims(value)), (filled, _dims(value))], "%r = arith.mulf %a0, %a1 : f32"
        )


def _type(value: Value) -> str:
    return f"tensor<{''.join(f'{n}x' for n in value[1])}f32>"


def _dims(value: Value) -> list[str]:
    return [f"d{i}" for i in range(len(value[1]))]


def _lists(window: list[tuple[int, int, int]]) -> str:
    return "".join(f"[{', '.join(map(str, numbers))}]" for numbers in zip(*window, strict=True))


def run_by_iree(text: str, folder: Path, count: int) -> list[Any]:
    source, output = folder / "in.mlir", folder / "out.vmfb"
    source.write_text(text)
    command = [str(Path(sys.executable).parent / "iree-compile"), str(source), "-o", str(output), *CPU]
    subprocess.run(command, check=True, capture_output=True, text=True)
    config = rt.Config("local-sync")
    context = rt.SystemContext(config=config)
    context.add_vm_module(rt.VmModule.copy_buffer(config.vm_instance, output.read_bytes()))
    return [context.modules.module[f"f{i}"]().to_host() for i in range(count)]


@pytest.mark.parametrize("seed", range(4))
def test_values_are_those_that_iree_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("pock.compiler.passes.fold_constants.SMALL", 1 << 30)
    count = 40
    expressions = Expressions(seed)
    for i in range(count):
        expressions.function(i)
    with sparsebp.context() as context:
        module = parse_module(expressions.module(archived=True), context)
        values = fold_constants(module, expressions.globals)
        assert module.operation.verify()
        for i, expected in enumerate(run_by_iree(expressions.module(archived=False), tmp_path, count)):
            left = [op.operation for op in operations(functions(module)[f"f{i}"])]
            assert len(left) == 2, f"f{i}: {left}"
            if left[0].name == "arith.constant":
                found = np.array(ir.DenseElementsAttr(left[0].attributes["value"]))
            else:
                found = values[ir.FlatSymbolRefAttr(left[0].attributes["global"]).value]
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6, err_msg=f"f{i}")


def test_a_program_computes_the_same_with_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    net = zoo.settle(zoo.ConvNet())
    images, labels = torch.randn(2, 3, 16, 16), torch.tensor([0, 2])
    scheme = Scheme.last_layer(*[name for name, _ in net.named_parameters()][-2:])
    program = trace(TrainingTask(net, (images,), (labels,), torch.nn.functional.cross_entropy))
    losses, archives = [], []
    for name in ("with", "without"):
        if name == "without":
            monkeypatch.setattr("pock.compiler.pipeline.fold_constants", lambda _, values: values)
        artifact = compile_program(program, scheme, SGD(), parameters="external", output="a.vmfb")
        artifact.save(tmp_path / "a.vmfb")
        archives.append(set(load_file(tmp_path / "a.safetensors")))
        trainer = Trainer(tmp_path / "a.vmfb")
        losses.append([trainer.step(images.numpy(), labels.numpy(), lr=0.1) for _ in range(4)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert archives[0] != archives[1] and archives[1] <= set(program.parameters)
