# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiles functions of one operation each with IREE and compares their results with PyTorch's.

Many cases share a module, because iree-compile's start costs more than a function.
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import iree.runtime as rt
import numpy as np
import torch

from pock.compiler import lowering
from pock.compiler.errors import PassFailure
from pock.compiler.opt import Stage, parse_module, run_pipeline
from pock.compiler.passes.convert_to_linalg import ConvertToLinalg
from pock.compiler.passes.raise_gradients import RaiseGradients
from pock.dialects import sparsebp

ELEMENT = {
    torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16", torch.float64: "f64",
    torch.int64: "si64", torch.int32: "si32", torch.bool: "i1",
}  # fmt: skip

TO_LINALG: list[Stage] = [
    RaiseGradients(),
    ConvertToLinalg(),
    *lowering.TO_LINALG,
]

CPU = (
    "--iree-hal-target-device=local",
    "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-llvmcpu-target-cpu=host",
)


@dataclass
class Case:
    """A function of ``inputs`` and what it must return."""

    inputs: Sequence[torch.Tensor]
    note: str = ""
    body: list[str] = field(default_factory=list)
    results: "list[Result]" = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = [f"%a{i}" for i in range(len(self.inputs))]
        self._fresh = 0

    def value(self, text: str) -> str:
        """Append ``%name = text`` and return the name."""
        self._fresh += 1
        self.body.append(f"%v{self._fresh} = {text}")
        return f"%v{self._fresh}"

    def returns(self, value: str, expected: torch.Tensor, scale: torch.Tensor | None = None) -> None:
        """Return ``value`` too, which must be ``expected``.

        ``scale``, of the same shape, is the sum of the magnitudes that an element accumulates, to which
        rounding errors are in proportion; by default the magnitude of the element.
        """
        self.results.append(Result(value, expected, expected.double().abs() if scale is None else scale))

    def int(self, value: int) -> str:
        return self.value(f"torch.constant.int {value}")

    def bool(self, value: bool) -> str:
        return self.value(f"torch.constant.bool {str(value).lower()}")

    def none(self) -> str:
        return self.value("torch.constant.none")

    def ints(self, values: "Sequence[int]") -> str:
        return self._list([self.int(v) for v in values], "int")

    def bools(self, values: "Sequence[bool]") -> str:
        return self._list([self.bool(v) for v in values], "bool")

    def _list(self, names: "list[str]", kind: str) -> str:
        types = ", ".join([f"!torch.{kind}"] * len(names))
        return self.value(f"torch.prim.ListConstruct {', '.join(names)} : ({types}) -> !torch.list<{kind}>")

    def function(self, name: str) -> str:
        """The text of the function."""
        arguments = ", ".join(f"{n}: {vtensor(t)}" for n, t in zip(self.names, self.inputs, strict=True))
        types = ", ".join(vtensor(result.expected) for result in self.results)
        names = ", ".join(result.value for result in self.results)
        lines = "\n".join(f"    {line}" for line in self.body)
        return (
            f"  func.func @{name}({arguments}) -> ({types}) {{\n{lines}\n    return {names} : {types}\n  }}\n"
        )


@dataclass
class Result:
    """A value that a function returns and what it must be, within a tolerance of ``scale``."""

    value: str
    expected: torch.Tensor
    scale: torch.Tensor


def last(tensor: torch.Tensor) -> torch.Tensor:
    """``[N, C, *spatial]`` as ``[N, *spatial, C]``."""
    return tensor.movedim(1, -1).contiguous()


def i64s(values: Sequence[int]) -> str:
    """An array attribute."""
    return f"array<i64: {', '.join(map(str, values))}>"


def vtensor(tensor: torch.Tensor) -> str:
    """The torch-dialect type of a tensor."""
    return f"!torch.vtensor<[{','.join(map(str, tensor.shape))}],{ELEMENT[tensor.dtype]}>"


def lower(text: str, stages: Sequence[Stage] = TO_LINALG) -> str:
    """A torch-dialect module as linalg."""
    module = parse_module(text, sparsebp.context())
    try:
        run_pipeline(module, stages)
    except PassFailure as failure:
        raise AssertionError("\n".join([str(failure), *failure.diagnostics])) from failure
    return str(module)


def compile_module(linalg: str, folder: Path, flags: Sequence[str] = CPU) -> Path:
    """Run iree-compile; raises with its standard error."""
    source, artifact = folder / "cases.mlir", folder / "cases.vmfb"
    source.write_text(linalg)
    command = [Path(sys.executable).parent / "iree-compile", source, "-o", artifact, *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"iree-compile failed:\n{done.stderr[:4000]}")
    return artifact


def run(artifact: Path, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
    """The lists of results of the named functions, each called with its arrays."""
    config = rt.Config("local-sync")
    module = rt.VmModule.copy_buffer(config.vm_instance, artifact.read_bytes())
    context = rt.SystemContext(config=config)
    context.add_vm_module(module)
    functions = context.modules[module.name]
    outputs = [functions[name](*inputs) for name, inputs in calls]
    return [[v.to_host() for v in (out if isinstance(out, tuple | list) else [out])] for out in outputs]


def check(
    cases: Sequence[Case], folder: Path, tolerance: float = 1e-4, stages: Sequence[Stage] = TO_LINALG
) -> None:
    """Compile all cases as one module and compare each with what PyTorch computed."""
    text = "module {\n" + "".join(case.function(f"case{i}") for i, case in enumerate(cases)) + "}\n"
    artifact = compile_module(lower(text, stages), folder)
    calls = [(f"case{i}", [array(t) for t in case.inputs]) for i, case in enumerate(cases)]
    for case, outputs in zip(cases, run(artifact, calls), strict=True):
        for result, got in zip(case.results, outputs, strict=True):
            compare(result, got, tolerance, case.note)


def array(tensor: torch.Tensor) -> Any:
    """A tensor as numpy has it, bfloat16 included."""
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def compare(result: Result, got: Any, tolerance: float, note: str) -> None:
    """Assert that ``got`` is what was expected, NaN where that is."""
    expected, bound = np.asarray(result.expected.double()), tolerance * np.asarray(result.scale.double())
    got = np.asarray(got).astype(np.float64)
    with np.errstate(invalid="ignore"):
        same = (got == expected) | (np.isnan(got) & np.isnan(expected))
        excess = np.where(same, 0.0, np.abs(got - expected) - bound)
    if not np.max(excess, initial=0.0) <= 1e-6 * tolerance:
        at = np.unravel_index(np.argmax(excess), excess.shape)
        raise AssertionError(
            f"{note}, {result.value}{[int(i) for i in at]}: "
            f"got {got[at]}, expected {expected[at]} +- {bound[at]}"
        )
