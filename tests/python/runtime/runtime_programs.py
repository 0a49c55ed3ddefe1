# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiled programs for the runtime's tests, written by hand so that the compiler is not under test.

``softmax_program`` is a softmax classifier with everything that an artifact's ABI has: a frozen
parameter, a weight of which some input channels are trained with momentum, a bias that is tied to a second
name, a buffer, a step count, and a seed that drops inputs. ``wide_program`` is many small states and next
to no arithmetic.
"""

import json
import re
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from iree.compiler import ir
from safetensors.numpy import save_file

from pock.compiler.allocation import allocate_at_once

BATCH, FEATURES, CLASSES, TRAINED = 8, 6, 3, 4
"""The classifier's sizes; input channels ``[0, TRAINED)`` of its weight are updated."""

SCALE = np.linspace(0.5, 1.5, FEATURES, dtype=np.float32)
"""The frozen parameter: inputs are multiplied by it."""

WEIGHT = (np.arange(CLASSES * FEATURES, dtype=np.float32).reshape(CLASSES, FEATURES) % 5 - 2) / 8
"""The weight's initial value."""


def tensor(*shape: int, element: str = "f32") -> str:
    """``tensor<…>``."""
    return f"tensor<{''.join(f'{d}x' for d in shape)}{element}>"


def element_of(type_: str) -> str:
    """The element type of ``tensor<…>``."""
    return type_[len("tensor<") : -1].split("x")[-1]


X, Y, LOGITS, ROW = (
    tensor(BATCH, FEATURES),
    tensor(BATCH, element="i64"),
    tensor(BATCH, CLASSES),
    tensor(BATCH),
)
W, B, V, M, XK = (
    tensor(CLASSES, FEATURES),
    tensor(CLASSES),
    tensor(FEATURES),
    tensor(CLASSES, TRAINED),
    tensor(BATCH, TRAINED),
)
SCALAR, COUNT = tensor(), tensor(element="i64")


def _local(line: str) -> str:
    """A line of a body with its names set apart from the function's, ``SCALARS`` aside."""
    return re.sub(r"%(?!(?:zero|one|batch)\b)", "%_", line)


def generic(
    name: str,
    loops: str,
    inputs: Sequence[tuple[str, str]],
    result: str,
    body: Sequence[str],
    initial: str | None = None,
) -> str:
    """A ``linalg.generic``, einsum-like: ``loops`` is ``"ik,jk->ij"``; loops that the result lacks reduce.

    ``body`` computes ``%r`` from the operands' elements ``%a``, ``%b``, … and the output's, ``%o``.
    ``initial`` is what the output starts from.
    """
    operands, out = loops.split("->")
    letters = sorted(set(operands + out) - {","})
    maps = [f"affine_map<({', '.join(letters)}) -> ({', '.join(m)})>" for m in [*operands.split(","), out]]
    kinds = ['"parallel"' if letter in out else '"reduction"' for letter in letters]
    block = [f"%{chr(97 + i)}: {element_of(t)}" for i, (_, t) in enumerate(inputs)]
    local = [_local(line) for line in (f"^bb0({', '.join([*block, f'%o: {element_of(result)}'])}):", *body)]
    lines = [
        f"{name} = linalg.generic {{indexing_maps = [{', '.join(maps)}],",
        f"  iterator_types = [{', '.join(kinds)}]}}",
        f"  ins({', '.join(v for v, _ in inputs)} : {', '.join(t for _, t in inputs)})",
        f"  outs({initial or name + '_e'} : {result}) {{",
        *local,
        f"linalg.yield %_r : {element_of(result)}",
        f"}} -> {result}",
    ]
    return "\n".join([*([] if initial else [f"{name}_e = tensor.empty() : {result}"]), *lines])


def constant(name: str, value: str, type_: str) -> str:
    """A tensor of one value."""
    return f"{name} = arith.constant dense<{value}> : {type_}"


MULTIPLY_ADD = ("%p = arith.mulf %a, %b : f32", "%r = arith.addf %p, %o : f32")
ADD = ("%r = arith.addf %a, %o : f32",)
SCALARS = "\n".join(
    f"%{n} = arith.constant {v} : f32" for n, v in (("zero", "0.0"), ("one", "1.0"), ("batch", f"{BATCH}.0"))
)


def logits(x: str) -> str:
    """``%l`` = (x · scale) Wᵀ + b."""
    return "\n".join(
        [
            f"%scale = util.global.load @scale : {V}",
            generic("%xs", "ij,j->ij", [(x, X), ("%scale", V)], X, ["%r = arith.mulf %a, %b : f32"]),
            generic("%l0", "j->ij", [("%b", B)], LOGITS, ["%r = arith.addf %a, %zero : f32"]),
            generic("%l", "ik,jk->ij", [("%xs", X), ("%w", W)], LOGITS, MULTIPLY_ADD, "%l0"),
        ]
    )


def loss() -> str:
    """``%loss``, the mean cross entropy of ``%l`` against ``%y``, and what its gradient needs."""
    one_hot = [
        "%i = linalg.index 1 : index",
        "%n = arith.index_cast %i : index to i64",
        "%c = arith.cmpi eq, %n, %a : i64",
        "%r = arith.select %c, %one, %zero : f32",
    ]
    mean = [
        "%g = math.log %b : f32",
        "%h = arith.addf %a, %g : f32",
        "%k = arith.subf %h, %c : f32",
        "%q = arith.divf %k, %batch : f32",
        "%r = arith.addf %q, %o : f32",
    ]
    shifted = ["%d = arith.subf %a, %b : f32", "%r = math.exp %d : f32"]
    return "\n".join(
        [
            constant("%low", "-3.0e38", ROW),
            generic("%max", "ij->i", [("%l", LOGITS)], ROW, ["%r = arith.maximumf %a, %o : f32"], "%low"),
            generic("%ex", "ij,i->ij", [("%l", LOGITS), ("%max", ROW)], LOGITS, shifted),
            constant("%rows", "0.0", ROW),
            generic("%sum", "ij->i", [("%ex", LOGITS)], ROW, ADD, "%rows"),
            generic("%hot", "i->ij", [("%y", Y)], LOGITS, one_hot),
            generic("%pick", "ij,ij->i", [("%l", LOGITS), ("%hot", LOGITS)], ROW, MULTIPLY_ADD, "%rows"),
            constant("%loss0", "0.0", SCALAR),
            generic(
                "%loss", "i,i,i->", [("%max", ROW), ("%sum", ROW), ("%pick", ROW)], SCALAR, mean, "%loss0"
            ),
        ]
    )


def dropout() -> str:
    """``%x`` = ``%x0`` with about an eighth of its elements zeroed, by ``%seed`` and ``%count``."""
    body = [
        "%i = linalg.index 0 : index",
        "%j = linalg.index 1 : index",
        "%i64 = arith.index_cast %i : index to i64",
        "%j64 = arith.index_cast %j : index to i64",
        *(
            f"%k{n} = arith.constant {v} : i64"
            for n, v in (("a", 2654435761), ("b", 40503), ("c", 13), ("d", 7), ("e", 0))
        ),
        "%h0 = arith.addi %b, %c : i64",
        "%h1 = arith.muli %h0, %ka : i64",
        "%h2 = arith.muli %i64, %kb : i64",
        "%h3 = arith.muli %j64, %kc : i64",
        "%h4 = arith.addi %h1, %h2 : i64",
        "%h5 = arith.xori %h4, %h3 : i64",
        "%h6 = arith.shrui %h5, %kd : i64",
        "%h7 = arith.andi %h6, %kd : i64",
        "%keep = arith.cmpi ne, %h7, %ke : i64",
        "%r = arith.select %keep, %a, %zero : f32",
    ]
    return generic("%x", "ij,,->ij", [("%x0", X), ("%seed", COUNT), ("%count", COUNT)], X, body)


def update() -> str:
    """The gradients, and the new value of every state with a 1 behind its name."""
    descend = ["%p = arith.mulf %b, %c : f32", "%r = arith.subf %a, %p : f32"]
    softmax_grad = [
        "%p = arith.divf %a, %b : f32",
        "%d = arith.subf %p, %c : f32",
        "%r = arith.divf %d, %batch : f32",
    ]
    momentum = ["%p = arith.mulf %a, %c : f32", "%r = arith.addf %p, %b : f32"]
    running = [
        "%p = arith.divf %b, %batch : f32",
        "%d = arith.subf %p, %a : f32",
        "%t = arith.constant 1.25e-1 : f32",
        "%q = arith.mulf %d, %t : f32",
        "%r = arith.addf %a, %q : f32",
    ]
    return "\n".join(
        [
            generic(
                "%dl",
                "ij,i,ij->ij",
                [("%ex", LOGITS), ("%sum", ROW), ("%hot", LOGITS)],
                LOGITS,
                softmax_grad,
            ),
            constant("%gb0", "0.0", B),
            generic("%gb", "ij->j", [("%dl", LOGITS)], B, ADD, "%gb0"),
            f"%xk = tensor.extract_slice %xs[0, 0] [{BATCH}, {TRAINED}] [1, 1] : {X} to {XK}",
            f"%wk = tensor.extract_slice %w[0, 0] [{CLASSES}, {TRAINED}] [1, 1] : {W} to {M}",
            constant("%gw0", "0.0", M),
            generic("%gw", "ij,ik->jk", [("%dl", LOGITS), ("%xk", XK)], M, MULTIPLY_ADD, "%gw0"),
            generic("%m1", "ij,ij,->ij", [("%m", M), ("%gw", M), ("%momentum", SCALAR)], M, momentum),
            generic("%wn", "ij,ij,->ij", [("%wk", M), ("%m1", M), ("%lr", SCALAR)], M, descend),
            f"%w1 = tensor.insert_slice %wn into %w[0, 0] [{CLASSES}, {TRAINED}] [1, 1] : {M} into {W}",
            generic("%b1", "i,i,->i", [("%b", B), ("%gb", B), ("%lr", SCALAR)], B, descend),
            constant("%xm0", "0.0", V),
            generic("%xm", "ij->j", [("%x0", X)], V, ADD, "%xm0"),
            generic("%mean1", "i,i->i", [("%mean", V), ("%xm", V)], V, running),
            generic(
                "%count1",
                "->",
                [("%count", COUNT)],
                COUNT,
                ["%k = arith.constant 1 : i64", "%r = arith.addi %a, %k : i64"],
            ),
        ]
    )


STATES = (("%w", W), ("%b", B), ("%mean", V), ("%m", M), ("%count", COUNT), ("%seed", COUNT))


def softmax_mlir(metadata: Mapping[str, Any] | None, frozen: str, apart: bool = False) -> str:
    """The classifier's MLIR; ``frozen`` is the attribute that gives ``@scale`` its value.

    ``apart`` has it compute the loss in a function of its own, of the outputs.
    """
    types = ", ".join(t for _, t in STATES)
    donated = ", ".join(f"{n}: {t} {{iree.abi.output = {k + 2} : index}}" for k, (n, t) in enumerate(STATES))
    weight = ", ".join(f"[{', '.join(repr(float(v)) for v in row)}]" for row in WEIGHT)
    initial = ("[" + weight + "]", "0.0", "0.0", "0.0", "0", "17")
    constants = [constant(f"{n}0", v, t) for (n, t), v in zip(STATES, initial, strict=True)]
    model = f"%w: {W}, %b: {B}, %mean: {V}"
    return f"""
module @pock {{
util.global private @scale = {frozen} : {V}
func.func @init() -> ({types}){reflection(metadata)} {{
{chr(10).join(constants)}
return {", ".join(f"{n}0" for n, _ in STATES)} : {types}
}}
func.func @step(%x0: {X}, %y: {Y}, %lr: {SCALAR}, %momentum: {SCALAR}, {donated})
    -> ({SCALAR}, {LOGITS}, {types}) {{
{SCALARS}
{dropout()}
{logits("%x")}
{loss()}
{update()}
return %loss, %l, %w1, %b1, %mean1, %m1, %count1, %seed : {SCALAR}, {LOGITS}, {types}
}}
func.func @predict(%x: {X}, {model}) -> {LOGITS} {{
{SCALARS}
{logits("%x")}
return %l : {LOGITS}
}}
{_loss_apart() if apart else _evaluate(model)}
}}
"""


def _evaluate(model: str) -> str:
    return f"""
func.func @evaluate(%x: {X}, %y: {Y}, {model}) -> ({SCALAR}, {LOGITS}) {{
{SCALARS}
{logits("%x")}
{loss()}
return %loss, %l : {SCALAR}, {LOGITS}
}}"""


def _loss_apart() -> str:
    return f"""
func.func @loss(%l: {LOGITS}, %y: {Y}) -> {SCALAR} {{
{SCALARS}
{loss()}
return %loss : {SCALAR}
}}"""


def reflection(metadata: Mapping[str, Any] | None) -> str:
    """The attribute that hangs ``metadata`` on a function; nothing for None."""
    if metadata is None:
        return ""
    text = json.dumps(metadata).replace("\\", "\\\\").replace('"', '\\"')
    return f' attributes {{iree.reflection = {{"pock.metadata" = "{text}"}}}}'


def spec(name: str, shape: Sequence[int], dtype: str = "float32") -> dict[str, Any]:
    """A tensor of the metadata."""
    return {"name": name, "shape": list(shape), "dtype": dtype}


def softmax_metadata(**changes: Any) -> dict[str, Any]:
    """The classifier's metadata, with ``changes`` to its top level."""
    full = {"update": "full"}
    channels = {"update": "range", "dimension": "input_channels", "axis": 1, "indices": [0, TRAINED]}
    base: dict[str, Any] = {
        "format": 1,
        "pock": "0.1.0",
        "versions": {"torch-mlir": "20261001", "iree": "3.13.0"},
        "model": "Softmax",
        "target": "cpu",
        "device": "local-task",
        "inputs": [spec("x", (BATCH, FEATURES))],
        "targets": [spec("y", (BATCH,), "int64")],
        "outputs": [spec("logits", (BATCH, CLASSES))],
        "hyperparameters": [{"name": "lr", "default": None}, {"name": "momentum", "default": 0.5}],
        "state": [
            {**spec("fc.weight", (CLASSES, FEATURES)), "kind": "parameter", "mask": channels},
            {**spec("fc.bias", (CLASSES,)), "kind": "parameter", "mask": full},
            {**spec("norm.mean", (FEATURES,)), "kind": "buffer", "mask": full},
            {
                **spec("fc.weight.momentum", (CLASSES, TRAINED)),
                "kind": "optimizer",
                "mask": full,
                "parameter": "fc.weight",
                "slot": "momentum",
            },
            {**spec("step", (), "int64"), "kind": "step", "mask": full},
            {**spec("seed", (), "int64"), "kind": "seed", "mask": full},
        ],
        "tied": {"head.bias": "fc.bias"},
        "scheme": {"version": 1, "rules": [{"match": "*", "update": "full"}]},
        "optimizer": {"name": "sgd"},
        "parameters": {"storage": "embedded"},
        "loss_reduction": "mean",
        "task": "classification",
        "memory": {"transient": 4096},
    }
    return {**base, **changes}


def compile_mlir(text: str, path: Path, target: str = "cpu", at_once: bool = False) -> Path:
    """Compile with iree-compile into ``path``; ``at_once`` as pock has memory taken on the host."""
    source = path.with_suffix(".mlir")
    source.write_text(text)
    options = {
        "cpu": ["--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu"],
        "vulkan": ["--iree-hal-target-device=vulkan"],
    }[target]
    if target == "cpu":
        options.append("--iree-llvmcpu-target-cpu=host")
    if not at_once:
        return iree_compile(source, path, options)
    stream = iree_compile(source, path.with_suffix(".stream.mlir"), [*options, "--compile-to=stream"])
    with ir.Context():
        module = ir.Module.parse(stream.read_text())
        assert allocate_at_once(module)
        stream.write_text(str(module))
    return iree_compile(stream, path, [*options, "--compile-from=stream"])


def iree_compile(source: Path, path: Path, options: Sequence[str]) -> Path:
    """Run iree-compile."""
    tool = Path(sysconfig.get_path("scripts")) / "iree-compile"
    done = subprocess.run([tool, source, *options, "-o", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


def softmax_program(
    path: Path, target: str = "cpu", metadata: Mapping[str, Any] | None = None, apart: bool = False
) -> Path:
    """The classifier with its frozen parameter embedded; ``apart`` is that of ``softmax_mlir``."""
    values = ", ".join(repr(float(v)) for v in SCALE)
    text = softmax_mlir(metadata or softmax_metadata(), f"dense<[{values}]>", apart)
    return compile_mlir(text, path, target)


def external_program(path: Path, storage: Mapping[str, Any]) -> Path:
    """The classifier with its frozen parameter in an archive that ``storage`` describes."""
    text = softmax_mlir(softmax_metadata(parameters=dict(storage)), '#flow.parameter.named<"model"::"scale">')
    return compile_mlir(text, path)


def write_archive(path: Path) -> Path:
    """The archive of ``external_program``."""
    save_file({"scale": SCALE}, path)
    return path


def wide_program(path: Path, states: int, size: int = 16) -> Path:
    """``states`` parameters of ``size`` elements that a step moves by ``lr · mean(x)`` each."""
    each, x = tensor(size), tensor(4, size)
    names = [f"%s{i}" for i in range(states)]
    donated = ", ".join(f"{n}: {each} {{iree.abi.output = {i + 2} : index}}" for i, n in enumerate(names))
    types = ", ".join([each] * states)
    zero = constant("%zero", "0.0", each)
    move = ["%p = arith.mulf %b, %c : f32", "%r = arith.subf %a, %p : f32"]
    updates = [
        generic(f"{n}n", "i,i,->i", [(n, each), ("%sum", each), ("%lr", SCALAR)], each, move) for n in names
    ]
    metadata = softmax_metadata(
        model="Wide",
        inputs=[spec("x", (4, size))],
        targets=[],
        outputs=[spec("sum", (size,))],
        hyperparameters=[{"name": "lr", "default": None}],
        state=[
            {**spec(f"s{i}", (size,)), "kind": "parameter", "mask": {"update": "full"}} for i in range(states)
        ],
        tied={},
        task=None,
    )
    return compile_mlir(
        f"""
module @pock {{
func.func @init() -> ({types}){reflection(metadata)} {{
{zero}
return {", ".join(["%zero"] * states)} : {types}
}}
func.func @step(%x: {x}, %lr: {SCALAR}, {donated}) -> ({SCALAR}, {each}, {types}) {{
{zero}
{generic("%sum", "ij->j", [("%x", x)], each, ADD, "%zero")}
{constant("%loss0", "0.0", SCALAR)}
{generic("%loss", "i->", [("%sum", each)], SCALAR, ADD, "%loss0")}
{chr(10).join(updates)}
return %loss, %sum, {", ".join(f"{n}n" for n in names)} : {SCALAR}, {each}, {types}
}}
func.func @predict(%x: {x}, {", ".join(f"{n}: {each}" for n in names)}) -> {each} {{
{zero}
{generic("%sum", "ij->j", [("%x", x)], each, ADD, "%zero")}
return %sum : {each}
}}
}}
""",
        path,
    )


def slab_program(path: Path, rows: int = 4096, columns: int = 5120) -> Path:
    """One parameter of ``columns``, and in each function ``rows`` times as much between two dispatches.

    ``predict`` is of the first three quarters of its input, and needs less.
    """
    x, w, fewer = tensor(rows), tensor(columns), rows * 3 // 4
    metadata = softmax_metadata(
        model="Slab",
        inputs=[spec("x", (rows,))],
        targets=[],
        outputs=[spec("sum", (columns,))],
        hyperparameters=[{"name": "lr", "default": None}],
        state=[{**spec("w", (columns,)), "kind": "parameter", "mask": {"update": "full"}}],
        tied={},
        task=None,
    )
    move = ["%p = arith.mulf %b, %c : f32", "%r = arith.subf %a, %p : f32"]

    def sums(of: str, count: int) -> str:
        part, slab = tensor(count), tensor(count, columns)
        return "\n".join(
            [
                generic("%outer", "i,j->ij", [(of, part), ("%w", w)], slab, ["%r = arith.mulf %a, %b : f32"]),
                f"%kept = util.optimization_barrier %outer : {slab}",
                constant("%zeros", "0.0", w),
                generic("%sum", "ij->j", [("%kept", slab)], w, ADD, "%zeros"),
                constant("%loss0", "0.0", SCALAR),
                generic("%loss", "i->", [("%sum", w)], SCALAR, ADD, "%loss0"),
            ]
        )

    return compile_mlir(
        f"""
module @pock {{
func.func @init() -> {w}{reflection(metadata)} {{
{constant("%ones", "1.0", w)}
return %ones : {w}
}}
func.func @step(%x: {x}, %lr: {SCALAR}, %w: {w} {{iree.abi.output = 2 : index}}) -> ({SCALAR}, {w}, {w}) {{
{sums("%x", rows)}
{generic("%new", "i,i,->i", [("%w", w), ("%sum", w), ("%lr", SCALAR)], w, move)}
return %loss, %sum, %new : {SCALAR}, {w}, {w}
}}
func.func @predict(%x: {x}, %w: {w}) -> {w} {{
%part = tensor.extract_slice %x[0] [{fewer}] [1] : {x} to {tensor(fewer)}
{sums("%part", fewer)}
return %sum : {w}
}}
func.func @evaluate(%x: {x}, %w: {w}) -> ({SCALAR}, {w}) {{
{sums("%x", rows)}
return %loss, %sum : {SCALAR}, {w}
}}
}}
""",
        path,
        at_once=True,
    )


def shards_metadata(count: int, **changes: Any) -> dict[str, Any]:
    """What ``sharded_program`` says of itself, with ``changes`` to its top level."""
    full = {"mask": {"update": "full"}}
    state = [
        {**spec("fc.weight", (CLASSES, FEATURES)), "kind": "parameter", **full},
        {
            **spec("fc.weight.momentum", (CLASSES, FEATURES)),
            "kind": "optimizer",
            "parameter": "fc.weight",
            "slot": "momentum",
            **full,
        },
        {**spec("fc.bias", (CLASSES,)), "kind": "parameter", **full},
        {**spec("step", (), "int64"), "kind": "step", **full},
    ]
    shapes = ((), (CLASSES, FEATURES), (CLASSES,))
    shards = {
        "count": count,
        "divided": [True, True],
        "whole": ["x"],
        "state": ["fc.weight", "fc.bias"],
        "partials": [{"shape": list(shape), "dtype": "float32"} for shape in shapes],
    }
    return softmax_metadata(model="Sharded", state=state, shards=shards, **changes)


def sharded_program(path: Path, count: int, metadata: Mapping[str, Any] | None = None) -> Path:
    """A softmax classifier of inputs less their mean over the whole batch, whose steps have ``count`` shards.

    Its weight has momentum, and its partial sums are the loss, the weight's gradient and the bias's.
    """
    part, labels = tensor(BATCH // count, FEATURES), tensor(BATCH // count, element="i64")
    rows, scores = tensor(BATCH // count), tensor(BATCH // count, CLASSES)
    sums = ((SCALAR, ()), (W, "ij"), (B, "i"))
    partials = [f"%{n}{k}" for k in range(count) for n in ("pl", "pw", "pb")]
    descend = ["%p = arith.mulf %b, %c : f32", "%r = arith.subf %a, %p : f32"]

    def less_mean(of: str, type_: str) -> list[str]:
        share = ["%d = arith.divf %a, %batch : f32", "%r = arith.addf %d, %o : f32"]
        return [
            constant("%none", "0.0", V),
            generic("%mean", "ij->j", [("%x", X)], V, share, "%none"),
            generic("%xs", "ij,j->ij", [(of, type_), ("%mean", V)], type_, ["%r = arith.subf %a, %b : f32"]),
        ]

    def scored(type_: str, logits: str) -> list[str]:
        return [
            generic("%l0", "j->ij", [("%b", B)], logits, ["%r = arith.addf %a, %zero : f32"]),
            generic("%l", "ik,jk->ij", [("%xs", type_), ("%w", W)], logits, MULTIPLY_ADD, "%l0"),
        ]

    one_hot = [
        "%i = linalg.index 1 : index",
        "%n = arith.index_cast %i : index to i64",
        "%c = arith.cmpi eq, %n, %a : i64",
        "%r = arith.select %c, %one, %zero : f32",
    ]
    softmax_grad = [
        "%p = arith.divf %a, %b : f32",
        "%d = arith.subf %p, %c : f32",
        "%r = arith.divf %d, %batch : f32",
    ]
    mean = [
        "%g = math.log %a : f32",
        "%k = arith.subf %g, %b : f32",
        "%q = arith.divf %k, %batch : f32",
        "%r = arith.addf %q, %o : f32",
    ]
    gradients = [
        *less_mean("%part", part),
        *scored(part, scores),
        generic("%ex", "ij->ij", [("%l", scores)], scores, ["%r = math.exp %a : f32"]),
        constant("%rows", "0.0", rows),
        generic("%sum", "ij->i", [("%ex", scores)], rows, ADD, "%rows"),
        generic("%hot", "i->ij", [("%y", labels)], scores, one_hot),
        generic("%pick", "ij,ij->i", [("%l", scores), ("%hot", scores)], rows, MULTIPLY_ADD, "%rows"),
        constant("%loss0", "0.0", SCALAR),
        generic("%loss", "i,i->", [("%sum", rows), ("%pick", rows)], SCALAR, mean, "%loss0"),
        generic(
            "%dl", "ij,i,ij->ij", [("%ex", scores), ("%sum", rows), ("%hot", scores)], scores, softmax_grad
        ),
        constant("%gw0", "0.0", W),
        generic("%gw", "ij,ik->jk", [("%dl", scores), ("%xs", part)], W, MULTIPLY_ADD, "%gw0"),
        constant("%gb0", "0.0", B),
        generic("%gb", "ij->j", [("%dl", scores)], B, ADD, "%gb0"),
    ]
    added = []
    for name, (type_, loops) in zip(("pl", "pw", "pb"), sums, strict=True):
        for k in range(1, count):
            before = f"%{name}0" if k == 1 else f"%{name}s{k - 1}"
            last = f"%{name}s{k}"
            index = "".join(loops)
            terms = [(before, type_), (f"%{name}{k}", type_)]
            added.append(
                generic(last, f"{index},{index}->{index}", terms, type_, ["%r = arith.addf %a, %b : f32"])
            )
    total = {n: f"%{n}s{count - 1}" for n in ("pl", "pw", "pb")}
    momentum = ["%p = arith.mulf %a, %c : f32", "%r = arith.addf %p, %b : f32"]
    update = [
        *added,
        generic("%m1", "ij,ij,->ij", [("%m", W), (total["pw"], W), ("%momentum", SCALAR)], W, momentum),
        generic("%w1", "ij,ij,->ij", [("%w", W), ("%m1", W), ("%lr", SCALAR)], W, descend),
        generic("%b1", "i,i,->i", [("%b", B), (total["pb"], B), ("%lr", SCALAR)], B, descend),
        generic(
            "%count1",
            "->",
            [("%count", COUNT)],
            COUNT,
            ["%k = arith.constant 1 : i64", "%r = arith.addi %a, %k : i64"],
        ),
    ]
    states = (("%w", W), ("%m", W), ("%b", B), ("%count", COUNT))
    types = ", ".join(t for _, t in states)
    donated = ", ".join(f"{n}: {t} {{iree.abi.output = {k + 1} : index}}" for k, (n, t) in enumerate(states))
    asked = ", ".join(f"%out{k}: {t} {{iree.abi.output = {k + 1} : index}}" for k, (t, _) in enumerate(sums))
    given = ", ".join(f"{p}: {sums[i % 3][0]}" for i, p in enumerate(partials))
    rows_of_weight = ", ".join(f"[{', '.join(repr(float(v)) for v in row)}]" for row in WEIGHT)
    return compile_mlir(
        f"""
module @pock {{
func.func @init() -> ({types}){reflection(metadata or shards_metadata(count))} {{
{constant("%w", f"[{rows_of_weight}]", W)}
{constant("%m", "0.0", W)}
{constant("%b", "0.0", B)}
{constant("%count", "0", COUNT)}
return %w, %m, %b, %count : {types}
}}
func.func @gradients(%part: {part}, %y: {labels}, %x: {X}, %w: {W}, %b: {B}, {asked})
    -> ({scores}, {SCALAR}, {W}, {B}) {{
{SCALARS}
{chr(10).join(gradients)}
return %l, %loss, %gw, %gb : {scores}, {SCALAR}, {W}, {B}
}}
func.func @update({given}, %lr: {SCALAR}, %momentum: {SCALAR}, {donated}) -> ({SCALAR}, {types}) {{
{SCALARS}
{chr(10).join(update)}
return {total["pl"]}, %w1, %m1, %b1, %count1 : {SCALAR}, {types}
}}
func.func @predict(%x: {X}, %w: {W}, %b: {B}) -> {LOGITS} {{
{SCALARS}
{chr(10).join([*less_mean("%x", X), *scored(X, LOGITS)])}
return %l : {LOGITS}
}}
}}
""",
        path,
    )
