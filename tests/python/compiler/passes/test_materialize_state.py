# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What IREE makes of the initial state: every value has storage of its own, under any name."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import iree.runtime as rt
import ml_dtypes
import numpy as np
import pytest

from pock.compiler import SGD, Artifact, TrainingProgram, compile_program
from pock.compiler.opt import parse_module
from pock.compiler.program import Signature, TensorSpec
from pock.dialects import sparsebp

ODD = 'layers.0."quoted" \\ 100%\t\N{SNOWMAN}'
SHAPES = {
    "scalar": "f32", "a": "2x3xf32", "b": "2x3xf32", "c": "6xf32", "one": "1xf32", "half": "2x3xbf16",
    ODD: "2xf32",
}  # fmt: skip
DTYPES = {"f32": np.dtype(np.float32), "bf16": np.dtype(ml_dtypes.bfloat16)}

_PROGRAM = """
func.func @step(%x: !torch.vtensor<[],f32>) -> !torch.vtensor<[],f32> {{
  {body}
  return %x : !torch.vtensor<[],f32>
}}
func.func @predict(%x: !torch.vtensor<[],f32>) -> !torch.vtensor<[],f32> {{
  return %x : !torch.vtensor<[],f32>
}}
"""

_DECLARATION = """
"sparsebp.parameter"() {{sym_name = {name}, type = tensor<{shape}>, dimensions = [{dimensions}],
  role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>}} : () -> ()
"""

_TRAINED = """
  %{i} = "sparsebp.read"() {{symbol = @{name}}} : () -> {type}
  "sparsebp.update"(%{i}) {{symbol = @{name}, mask = #sparsebp.mask<"full", "", array<i64>>}} : ({type}) -> ()
"""


def _quoted(name: str) -> str:
    return '"' + "".join(c if c.isalnum() else "".join(f"\\{b:02X}" for b in c.encode()) for c in name) + '"'


def _program() -> TrainingProgram:
    """Parameters of ones, each its own gradient."""
    declared, body, values = "", "", {}
    for i, (name, shape) in enumerate(SHAPES.items()):
        *sizes, element = shape.split("x")
        dimensions = ", ".join(f'"d{axis}"' for axis in range(len(sizes)))
        declared += _DECLARATION.format(name=_quoted(name), shape=shape, dimensions=dimensions)
        type_ = f"!torch.vtensor<[{','.join(sizes)}],{element}>"
        body += _TRAINED.format(i=i, name=_quoted(name), type=type_)
        values[name] = np.ones([int(size) for size in sizes], DTYPES[element])
    module = parse_module(declared + _PROGRAM.format(body=body), sparsebp.context())
    scalars = (TensorSpec("x", (), "float32"),)
    return TrainingProgram(module, values, Signature("test", scalars, (), scalars))


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return compile_program(_program(), optimizer=SGD(momentum=0.9))


def _initial_state(vmfb: bytes) -> list[Any]:
    config = rt.Config("local-sync")
    module = rt.VmModule.copy_buffer(config.vm_instance, vmfb)
    context = rt.SystemContext(config=config)
    context.add_vm_module(module)
    results = rt.VmVariantList(0)
    context.vm_context.invoke(module.lookup_function("init"), rt.VmVariantList(0), results)
    views = [results.get_as_object(i, rt.HalBufferView) for i in range(len(results))]
    return [rt.DeviceArray(config.device, view) for view in views]


def test_no_two_initial_values_share_storage(artifact: Artifact) -> None:
    state = _initial_state(artifact.vmfb)
    names = [entry["name"] for entry in artifact.metadata["state"]]
    assert names == [*SHAPES, *(f"{name}#momentum" for name in SHAPES)]
    ranges = []
    for name, array in zip(names, state, strict=True):
        host = array.to_host()
        assert (host == (0 if name.endswith("#momentum") else 1)).all(), name
        mapped = array._buffer_view.map().asarray([1], np.dtype(np.int8))
        begin = mapped.__array_interface__["data"][0]
        ranges.append((begin, begin + host.nbytes))
    ranges.sort()
    assert all(end <= begin for (_, end), (begin, _) in pairwise(ranges))


def test_a_saved_program_keeps_its_names(tmp_path: Path) -> None:
    program = _program()
    program.save(tmp_path / "program")
    loaded = TrainingProgram.load(tmp_path / "program")
    assert loaded.parameters.keys() == program.parameters.keys()
    for name, value in program.parameters.items():
        assert (loaded.parameters[name].dtype, loaded.parameters[name].shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(loaded.parameters[name], value)
