# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The way through the compiler: training program, scheme, optimizer and target to an artifact."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from torch_mlir import ir

from pock.dialects.types import element_of, forget, shape_of
from pock.targets import Target, TargetError, get_target

from .analysis.commands import DISPATCH, Command
from .analysis.declared import dimensions_of, mask_of, role_of, symbol_of
from .codegen import CodegenError, Facts, FinalError, Progress, Request, generate
from .errors import UsageError
from .files import replacing, write_bytes
from .opt import run_pipeline
from .optimizers import SGD, Optimizer
from .passes.expand_optimizer import hyperparameters_of
from .passes.fold_constants import fold_constants
from .passes.materialize_state import SCOPE, state_of, tensor_type
from .passes.split_batch import division_of, partials_of
from .passes.split_evaluation import LOSS
from .program import TrainingProgram, digest, parameter_bytes
from .ranks import Part, exchange_bytes, exchanges, merge, of_rank, part_values, parts_of, state_parts
from .scheme import Scheme
from .sharding import Division, divided, divided_among
from .stages import lowered, masked, pruned, storable, trained
from .torch_ir import functions, gradients_of, operations

FORMAT = 1
"""The version of the metadata that artifacts carry."""


PARAMETERS = ("embedded", "external")
"""Where the parameters of a compiled program may be: inside it, or in an archive beside it."""


class Emit(StrEnum):
    """Where to stop: the program as traced, with masks and gradient operations, pruned, lowered, compiled."""

    TORCH = "torch"
    SPARSEBP = "sparsebp"
    PRUNED = "pruned"
    LINALG = "linalg"
    VMFB = "vmfb"


def emit(
    program: TrainingProgram,
    stage: Emit,
    scheme: Scheme,
    optimizer: Optimizer,
    target: str | Target = "cpu",
    shards: int = 1,
    ranks: int = 1,
    cores: int = 1,
) -> str:
    """The program as MLIR text at a stage before ``vmfb``; for ``target``, which shows from ``linalg`` on.

    ``shards``, ``ranks`` and ``cores`` are those of ``compile_program``; of ranks, this is the first's.
    """
    module = program.copy_module()
    if stage is not Emit.TORCH:
        run_pipeline(module, masked(scheme))
    if stage in (Emit.PRUNED, Emit.LINALG):
        run_pipeline(module, pruned())
        _, (module, *_) = _divided(module, optimizer, Division(shards, ranks), cores)
    if stage is Emit.LINALG:
        chosen = _target(target)
        run_pipeline(module, trained(optimizer, _stores_bytes(chosen)))
        lowered(module, chosen)
    return str(module)


# -- artifacts ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Artifact:
    """A compiled training program.

    ``archive`` is the parameter archive (safetensors) of a program with external parameters, which
    belongs beside the ``.vmfb`` under the name that the metadata gives. ``commands`` is what a step does on
    the device, which a profile needs and the device does not.
    """

    vmfb: bytes
    metadata: dict[str, Any]
    archive: bytes | None = None
    notes: tuple[str, ...] = field(default=())
    commands: tuple[Command, ...] = field(default=())

    def save(self, path: str | Path) -> list[Path]:
        """Write the ``.vmfb``, and the archive beside it if there is one; the files written.

        Both are replaced or neither is. Raises ``PockError``.
        """
        path = Path(path)
        if self.archive is None:
            write_bytes(str(path), self.vmfb)
            return [path]
        beside = path.with_name(archive_name(path))
        if beside.name != self.metadata["parameters"]["file"]:
            raise UsageError(
                f"compiled for parameters in {self.metadata['parameters']['file']}, "
                f"which {path.name} would not find; give compile_program output={path.name!r}"
            )
        with replacing(path) as program, replacing(beside) as archive:
            program.write(self.vmfb)
            archive.write(self.archive)
        return [path, beside]


def archive_name(path: str | Path) -> str:
    """The name of the parameter archive beside an artifact."""
    return f"{Path(path).stem}.safetensors"


def compile_program(
    program: TrainingProgram,
    scheme: Scheme | None = None,
    optimizer: Optimizer | None = None,
    target: str | Target = "cpu",
    parameters: str = "embedded",
    output: str | Path = "model.vmfb",
    progress: Progress = lambda _: None,
    shards: int = 1,
    ranks: int = 1,
    cores: int = 1,
) -> Artifact:
    """Compile a training program.

    Without a scheme everything is trained; without an optimizer by SGD. ``parameters`` is
    ``"embedded"`` or ``"external"``: then ``output`` is where the artifact will be saved, as it refers
    to the archive by name. ``progress`` is told what is being done, a phase at a time. With ``shards``, a
    step computes the gradients of as many equal parts of the batch, each on one core, before it
    updates: see ``sparsebp-split-batch``. With ``ranks``, as many cores share the channels of its layers: see
    ``sparsebp-split-channels``. With ``cores``, it is divided among as many in whichever of these ways is
    faster than none (``sharding.py``). Raises ``PockError``.
    """
    if parameters not in PARAMETERS:
        raise UsageError(f"parameters must be 'embedded' or 'external', got '{parameters}'")
    given = {"shards": shards, "ranks": ranks, "cores": cores}
    for name, count in given.items():
        if count < 1:
            raise UsageError(f"{name} must be 1 or more, got {count}")
    ways = [name for name, count in given.items() if count > 1]
    if len(ways) > 1:
        raise UsageError(f"a step is divided in one way: give {' or '.join(ways)}")
    if parameters == "external" and archive_name(output) == Path(output).name:
        raise UsageError(
            f"{output} is where the parameters would be; name the program otherwise, as in .vmfb"
        )
    options = _Options(
        scheme or Scheme.full(), optimizer or SGD(), _target(target), parameters, output, progress,
        Division(shards, ranks), cores,
    )  # fmt: skip
    if ways and not options.target.is_local:
        raise UsageError(
            f"target '{options.target}' has no cores to divide a step among; leave out {ways[0]}"
        )
    if ranks > 1 and options.optimizer.clip_grad_norm is not None:
        raise UsageError("ranks know no norm of all gradients; leave out ranks or clip_grad_norm")
    bits = _stores_bytes(options.target)
    try:
        return _compiled(program, options, bits)
    except FinalError:
        raise
    except CodegenError:
        # IREE copies choices by saved bits into the kernels that use them. Of such a choice among elements
        # that are looked up, before a sum, it makes vectors that it then finds too large.
        if not bits or not _saves_bits(_transformed(program, options, bits)[1][0]):
            raise
        progress("compiling without saved bits")
        return _compiled(program, options, False)
    finally:
        forget()


@dataclass(frozen=True)
class _Options:
    """What ``compile_program`` was asked for."""

    scheme: Scheme
    optimizer: Optimizer
    target: Target
    parameters: str
    output: str | Path
    progress: Progress
    division: Division
    cores: int


def _transformed(program: TrainingProgram, options: _Options, bits: bool) -> tuple[Division, list[ir.Module]]:
    """How a step is divided, and the program, or those of the ranks, before they are lowered.

    ``bits`` is whether bits may be saved.
    """
    module = program.copy_module()
    options.progress("applying the scheme")
    run_pipeline(module, masked(options.scheme), verify_each=False)
    options.progress("pruning the backward pass")
    run_pipeline(module, pruned(), verify_each=False)
    division, modules = _divided(module, options.optimizer, options.division, options.cores)
    options.progress("expanding the optimizer")
    for each in modules:
        run_pipeline(each, trained(options.optimizer, bits), verify_each=False)
    return division, modules


def _divided(
    module: ir.Module, optimizer: Optimizer, division: Division, cores: int
) -> tuple[Division, list[ir.Module]]:
    """A pruned program divided as is asked for, or as is fastest on ``cores``."""
    return divided_among(cores, module, optimizer) if cores > 1 else (division, divided(module, division))


def _saves_bits(module: ir.Module) -> bool:
    saves = operations(gradients_of(module), "sparsebp.save")
    return any(element_of(op.operation.results[0].type) == "i1" for op in saves)


def _compiled(program: TrainingProgram, options: _Options, bits: bool) -> Artifact:
    """The artifact; ``bits`` is whether bits may be saved."""
    scheme, optimizer, chosen, progress = options.scheme, options.optimizer, options.target, options.progress
    parameters, output = options.parameters, options.output
    (shards, ranks), modules = _transformed(program, options, bits)
    module = modules[0]
    if ranks > 1 and not exchanges(module):
        return _compiled(program, replace(options, division=Division(), cores=1), bits)
    with module.context, ir.Location.unknown():
        described = _describe(program, module, scheme, optimizer, chosen)
        if shards > 1:
            described["shards"] = _shards(program, module, shards)
        if ranks > 1:
            described["ranks"] = {"count": ranks, "state": state_parts(module)}
        parts = parts_of(module)
    progress("lowering to linalg")
    for each in modules:
        lowered(each, chosen)
        run_pipeline(each, storable(chosen), verify_each=False)
    if ranks > 1:
        described["ranks"]["exchange"] = exchange_bytes(module)
        merge(modules, parts)
    progress("folding constants")
    values = _needed(program, module, parts)
    flags = [*chosen.compile_flags(), *_precision(chosen, described, values)]
    values = fold_constants(module, values)
    archive = parameter_bytes(values)
    described["parameters"] = _storage(parameters, output, archive)
    _name_module(module)
    text = str(module.operation.get_asm(enable_debug_info=True, assume_verified=True))
    names = _state_arguments(described)
    request = Request(
        text,
        flags,
        archive,
        SCOPE,
        embed=parameters == "embedded",
        tiling=partial(chosen.tiling, alone=max(shards, ranks) > 1),
        tuning_flags=chosen.tuning_flags(),
        callers=_callers(described, chosen, functions(module)),
        phases=_phases(shards, ranks),
        queued=not chosen.is_local,
    )
    generated = generate(request, lambda facts: _with_facts(described, facts, names), progress)
    copied = {names[i]: why for i, why in generated.facts.copied.items()}
    metadata = json.loads(json.dumps(_with_facts(described, generated.facts, names)))
    return Artifact(
        generated.vmfb,
        metadata,
        archive if parameters == "external" else None,
        tuple(f"'{name}' is copied, not updated in place: {why}" for name, why in copied.items()),
        generated.facts.commands,
    )


def _phases(shards: int, ranks: int) -> list[dict[str, int]]:
    """What a step runs one after the other, and how often of each side by side."""
    if shards > 1:
        return [{"gradients": shards}, {"update": 1}]
    return [{of_rank("step", rank): 1 for rank in range(ranks)}]


def _stores_bytes(target: Target) -> bool:
    return target.storage_bits <= 8


def _target(target: str | Target) -> Target:
    if isinstance(target, Target):
        return target
    try:
        return get_target(target)
    except TargetError as error:
        raise UsageError(str(error)) from None


def _name_module(module: ir.Module) -> None:
    with module.context:
        module.operation.attributes["sym_name"] = ir.StringAttr.get("pock")


def _needed(program: TrainingProgram, module: ir.Module, parts: Mapping[str, Part]) -> dict[str, np.ndarray]:
    """The values that globals of the lowered module start from, as they are stored."""
    starts = {**program.parameters, **part_values(program.parameters, parts)}
    types = {
        ir.StringAttr(op.operation.attributes["sym_name"]).value: ir.TypeAttr(op.operation.attributes["type"])
        for op in module.body.operations
        if op.operation.name == "util.global"
    }
    return {
        name: _as_stored(starts[name], ir.RankedTensorType(type_.value).element_type)
        for name, type_ in types.items()
    }


def _as_stored(value: np.ndarray, element: ir.Type) -> np.ndarray:
    """A parameter's value, in wider integers if ``sparsebp-widen-bits`` has widened it."""
    if isinstance(element, ir.IntegerType) and element.width > 8 * value.itemsize:
        return value.astype(f"int{element.width}")
    return value


def _precision(target: Target, described: Mapping[str, Any], values: Mapping[str, np.ndarray]) -> list[str]:
    """The flags that keep double precision, which IREE by default computes in single precision.

    Raises ``UsageError`` if the target has none.
    """
    double = [
        f"{kind} '{entry['name']}'"
        for key, kind in (("inputs", "input"), ("targets", "target"), ("outputs", "output"))
        for entry in described[key]
        if entry["dtype"] == "float64"
    ]
    double += [f"parameter '{name}'" for name, value in values.items() if value.dtype == np.float64]
    if not double:
        return []
    if not target.supports_f64:
        more = f" and {len(double) - 3} more" if len(double) > 3 else ""
        raise UsageError(
            f"target '{target}' does not compute in float64, which is the dtype of "
            f"{', '.join(double[:3])}{more}; convert the task to float32"
        )
    return ["--iree-input-demote-f64-to-f32=false"]


def _storage(kind: str, output: str | Path, archive: bytes) -> dict[str, str]:
    if kind == "embedded":
        return {"storage": "embedded"}
    return {"storage": "external", "scope": SCOPE, "file": archive_name(output), "sha256": digest(archive)}


def _state_arguments(described: Mapping[str, Any]) -> dict[int, str]:
    """Index of each argument of ``@step``, or ``@update``, that is state -> its name."""
    first = sum(len(described[key]) for key in ("inputs", "targets", "hyperparameters"))
    if "shards" in described:
        shards = described["shards"]
        first = shards["count"] * len(shards["partials"]) + len(described["hyperparameters"])
    return {first + i: entry["name"] for i, entry in enumerate(described["state"])}


def _callers(described: Mapping[str, Any], target: Target, names: Collection[str]) -> dict[str, int]:
    """How many arguments of the functions with these names the target reads in the caller's memory."""
    if not target.is_local:
        return {}
    inputs, outputs, targets = (len(described[key]) for key in ("inputs", "outputs", "targets"))
    whole = len(described["shards"]["whole"]) if "shards" in described else 0
    callers = {
        "step": inputs + targets,
        "gradients": inputs + targets + whole,
        "predict": inputs,
        "evaluate": inputs + targets,
        LOSS: outputs + targets,
    }
    ranks = described["ranks"]["count"] if "ranks" in described else 1
    every = {of_rank(name, k): count for k in range(ranks) for name, count in callers.items()}
    return {name: every[name] for name in names if name in every}


def _with_facts(described: Mapping[str, Any], facts: Facts, names: Mapping[int, str]) -> dict[str, Any]:
    """The metadata with what code generation found out; memory is in bytes."""
    memory = {
        "transient": facts.transient_bytes + _partial_bytes(described.get("shards")),
        "state": sum(_bytes(entry) for entry in described["state"]),
        "copied_state": sorted(names[i] for i in facts.copied),
    }
    return {
        **described,
        "memory": memory,
        "returned": [names[i] for i in sorted(names) if i in facts.copied] if facts.drops_donated else None,
        "unaligned_inputs": facts.unaligned_inputs,
        "work": _work(facts.commands),
    }


def _partial_bytes(shards: Mapping[str, Any] | None) -> int:
    """The memory of what ``@gradients`` returns for all parts of the batch."""
    return 0 if shards is None else shards["count"] * sum(map(_bytes, shards["partials"]))


def _work(commands: Iterable[Command]) -> dict[str, int]:
    """What the runtime chooses the cores for a step by."""
    dispatches = [command for command in commands if command.kind == DISPATCH]
    return {
        "dispatches": len(dispatches),
        "bytes": sum(command.read + command.written for command in dispatches),
        "flops": sum(command.flops for command in dispatches),
    }


def _bytes(entry: Mapping[str, Any]) -> int:
    name = entry.get("stored", entry["dtype"])
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    return int(np.prod(entry["shape"], dtype=np.int64)) * dtype.itemsize


def _stored(entry: dict[str, Any], target: Target) -> dict[str, Any]:
    """A tensor's entry in the metadata, with the dtype that it has on the device if that is another."""
    dtype = np.dtype(getattr(ml_dtypes, entry["dtype"], entry["dtype"]))
    narrow = dtype.kind in "biu" and 8 * dtype.itemsize < target.storage_bits
    return {**entry, "stored": f"int{target.storage_bits}"} if narrow else entry


def _describe(
    program: TrainingProgram, module: ir.Module, scheme: Scheme, optimizer: Optimizer, target: Target
) -> dict[str, Any]:
    """The metadata of the artifact, before code generation."""
    signature = program.signature
    parts = parts_of(module)
    versions = {
        **program.versions,
        "torch-mlir": version("torch-mlir"),
        "iree-base-compiler": version("iree-base-compiler"),
    }
    return {
        "format": FORMAT,
        "pock": version("pock"),
        "versions": versions,
        "model": signature.model,
        "target": str(target),
        "device": target.device,
        "inputs": [_stored(asdict(spec), target) for spec in signature.inputs],
        "targets": [_stored(asdict(spec), target) for spec in signature.targets],
        "outputs": [_stored(asdict(spec), target) for spec in signature.outputs],
        "hyperparameters": [
            {"name": name, "default": default} for name, default in hyperparameters_of(module)
        ],
        "state": [
            _stored(_state_entry(name, op, program, parts.get(name)), target)
            for name, op in state_of(module).items()
        ],
        "tied": signature.tied,
        "scheme": scheme.to_dict(),
        "optimizer": optimizer.to_dict(),
    }


def _shards(program: TrainingProgram, module: ir.Module, count: int) -> dict[str, Any]:
    """The metadata of a split batch: what ``@gradients`` takes and gives."""
    gradients = gradients_of(module)
    divided, whole = division_of(gradients)
    names = [spec.name for spec in (*program.signature.inputs, *program.signature.targets)]
    read = {symbol_of(op) for op in operations(gradients, "sparsebp.read")}
    returned = list(operations(gradients)[-1].operation.operands)
    types = [value.type for value in returned[len(returned) - partials_of(gradients) :]]
    return {
        "count": count,
        "divided": divided,
        "whole": [names[i] for i in whole],
        "state": [name for name in state_of(module) if name in read],
        "partials": [{"shape": list(shape_of(t)), "dtype": _dtype(element_of(t))} for t in types],
    }


def _dtype(element: str) -> str:
    """The dtype of a torch element type."""
    return _DTYPES.get(element, element.replace("ui", "uint", 1).replace("si", "int", 1))


_DTYPES = {"f32": "float32", "f64": "float64", "f16": "float16", "bf16": "bfloat16", "i1": "bool"}


def _state_dtype(name: str, element: str, program: TrainingProgram) -> str:
    """The dtype of a parameter or buffer is its value's: builtin types know no signs of integers."""
    if name in program.parameters:
        return program.parameters[name].dtype.name
    return _DTYPES.get(element, element.replace("i", "int", 1))


def _state_entry(name: str, declaration: Any, program: TrainingProgram, part: Part | None) -> dict[str, Any]:
    tensor = tensor_type(declaration)
    element = str(tensor.element_type)
    shape = list(tensor.shape)
    if part is not None:
        shape[part.axis] *= part.ranks
    entry: dict[str, Any] = {
        "name": name,
        "kind": role_of(declaration),
        "shape": shape,
        "dtype": _state_dtype(name, element, program),
    }
    attributes = declaration.operation.attributes
    mask = mask_of(declaration)
    entry["mask"] = {"update": mask.kind.value}
    if mask.is_sliced:
        axis = mask.axis(dimensions_of(declaration))
        entry["mask"] |= {"dimension": mask.dimension, "axis": axis, "indices": list(mask.indices)}
    if entry["kind"] == "optimizer":
        entry["parameter"] = ir.StringAttr(attributes["parameter"]).value
        entry["slot"] = ir.StringAttr(attributes["slot"]).value
    return entry
