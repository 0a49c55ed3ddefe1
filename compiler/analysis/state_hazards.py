# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Proving that updating state in place is safe, on IREE's stream-level IR.

State whose argument carries ``iree.abi.output`` lives in one buffer before and after a step. IREE does
not see that a later read of the old value conflicts with the write, so it is checked here: once a
buffer has been written, nothing may read it; nothing may touch it beside the write; and a dispatch
that both reads and writes it must read each element only where it writes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from iree.compiler import ir

READ, WRITE = 1, 2


@dataclass
class _Resource:
    """What happened so far to one donated buffer."""

    argument: int
    written: bool = False
    problem: str | None = None


@dataclass(frozen=True)
class _Access:
    """One command's access to a donated buffer."""

    resource: _Resource
    kind: int
    command: str


@dataclass
class StepAnalysis:
    """What the stream-level IR of a step says: hazards by argument index, and transient memory."""

    hazards: dict[int, str] = field(default_factory=dict)
    transient_bytes: int = 0


def analyse_step(module: ir.Module, name: str = "step") -> StepAnalysis:
    """Check every donated argument of the function ``name`` of a module at the stream phase."""
    function = _function(module, name)
    result = StepAnalysis()
    roots: dict[Any, _Resource] = {}
    block = function.regions[0].blocks[0]
    if len(function.regions[0].blocks) != 1:
        raise ValueError(f"@{name} has control flow at the stream phase; it cannot be checked")
    arguments = {argument: i for i, argument in enumerate(block.arguments)}
    executables = _executables(module)
    for op in (o.operation for o in block.operations):
        if op.name == "stream.tensor.import" and "consume" in op.attributes:
            roots[op.results[0]] = _Resource(arguments[op.operands[0]])
        elif op.name == "stream.timepoint.await":
            for operand, output in zip(op.operands, op.results, strict=False):
                if operand in roots:
                    roots[output] = roots[operand]
        elif op.name == "stream.resource.alloca":
            result.transient_bytes += _constant(op.operands[0]) or 0
        elif op.name == "stream.cmd.execute":
            _execute(op, roots, executables)
    for resource in roots.values():
        if resource.problem is not None:
            result.hazards[resource.argument] = resource.problem
    return result


def _function(module: ir.Module, name: str) -> Any:
    for op in module.body.operations:
        if (
            op.operation.name == "util.func"
            and ir.StringAttr(op.operation.attributes["sym_name"]).value == name
        ):
            return op.operation
    raise ValueError(f"no function @{name} at the stream phase")


def _executables(module: ir.Module) -> dict[str, Any]:
    return {
        ir.StringAttr(op.operation.attributes["sym_name"]).value: op.operation
        for op in module.body.operations
        if op.operation.name == "stream.executable"
    }


def _constant(value: Any) -> int | None:
    owner = value.owner
    if isinstance(owner, ir.Block) or owner.name != "arith.constant":
        return None
    return ir.IntegerAttr(owner.attributes["value"]).value


# -- commands -----------------------------------------------------------------------------------


def _segments(op: Any) -> list[list[Any]]:
    sizes = ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"])
    operands, segments, start = list(op.operands), [], 0
    for size in sizes:
        segments.append(operands[start : start + size])
        start += size
    return segments


def _execute(op: Any, roots: dict[Any, _Resource], executables: dict[str, Any]) -> None:
    resources = _segments(op)[0]
    block = op.regions[0].blocks[0]
    local = {
        argument: roots[resource]
        for argument, resource in zip(block.arguments, resources, strict=False)
        if resource in roots
    }
    _sequence(block, local, executables)


def _sequence(block: Any, local: dict[Any, _Resource], executables: dict[str, Any]) -> None:
    """Commands that run one after the other."""
    for op in (o.operation for o in block.operations):
        if op.name == "stream.cmd.concurrent":
            _concurrent(op, local, executables)
        elif op.name == "stream.cmd.serial":
            _sequence(op.regions[0].blocks[0], local, executables)
        else:
            for access in _accesses(op, local, executables):
                _apply(access)


def _apply(access: _Access) -> None:
    resource = access.resource
    if access.kind & READ and resource.written:
        resource.problem = f"{access.command} reads the state after its update"
    if access.kind & WRITE:
        resource.written = True


def _concurrent(op: Any, local: dict[Any, _Resource], executables: dict[str, Any]) -> None:
    """Commands without an order: a written buffer must belong to one of them alone."""
    commands = [list(_nested(o.operation, local, executables)) for o in op.regions[0].blocks[0].operations]
    for i, accesses in enumerate(commands):
        for access in accesses:
            beside = [
                a
                for j, other in enumerate(commands)
                if j != i
                for a in other
                if a.resource is access.resource
            ]
            if access.kind & WRITE and beside:
                access.resource.problem = f"{beside[0].command} runs beside the update"
    reads = [a for accesses in commands for a in accesses if a.kind == READ]
    writes = [a for accesses in commands for a in accesses if a.kind & WRITE]
    for access in (*reads, *writes):
        _apply(access)


def _nested(op: Any, local: dict[Any, _Resource], executables: dict[str, Any]) -> Iterator[_Access]:
    if op.regions:
        for inner in op.regions[0].blocks[0].operations:
            yield from _nested(inner.operation, local, executables)
    else:
        yield from _accesses(op, local, executables)


def _accesses(op: Any, local: dict[Any, _Resource], executables: dict[str, Any]) -> Iterator[_Access]:
    """The accesses of one command to donated buffers; reads before writes."""
    touched = [operand for operand in op.operands if operand in local]
    if not touched:
        return
    if op.name == "stream.cmd.dispatch":
        yield from _dispatch(op, local, executables)
    elif op.name == "stream.cmd.copy":
        source, target = op.operands[0], op.operands[3]
        if source in local:
            yield _Access(local[source], READ, "a copy")
        if target in local:
            yield _Access(local[target], WRITE, "a copy")
    elif op.name == "stream.cmd.fill":
        yield _Access(local[touched[0]], WRITE, "a fill")
    elif op.name not in ("stream.cmd.flush", "stream.cmd.invalidate", "stream.cmd.discard", "stream.yield"):
        for value in touched:
            local[value].problem = f"{op.name} touches the state in a way that is not understood"


def _dispatch(op: Any, local: dict[Any, _Resource], executables: dict[str, Any]) -> Iterator[_Access]:
    resources = _segments(op)[2]  # behind workload and uniform operands; in the function they come first
    kinds = [ir.IntegerAttr(k).value for k in ir.ArrayAttr(op.attributes["resource_accesses"])]
    entry = str(ir.ArrayAttr(op.attributes["entry_points"])[0])
    found = [
        (_Access(local[r], kind, f"dispatch {entry.rsplit('@', 1)[-1]}"), i)
        for i, (r, kind) in enumerate(zip(resources, kinds, strict=True))
        if r in local
    ]
    for access, binding in found:
        written_too = any(a.resource is access.resource and a.kind & WRITE for a, _ in found)
        if access.kind & READ and written_too and not _reads_in_step(executables, entry, binding):
            access.resource.problem = f"{access.command} reads the state elsewhere than where it updates it"
    reads = [a for a, _ in found if a.kind == READ]
    yield from reads
    yield from (a for a, _ in found if a.kind & WRITE)


# -- inside a dispatch --------------------------------------------------------------------------


def _reads_in_step(executables: dict[str, Any], entry: str, binding: int) -> bool:
    """Whether a dispatch uses a binding element by element, each where its result has the same place."""
    executable, function = (part.strip('@"') for part in entry.split("::"))
    return _all_pointwise(_dispatch_function(executables[executable], function), binding)


def _dispatch_function(executable: Any, name: str) -> Any:
    for op in executable.regions[0].blocks[0].operations:
        if op.operation.name == "builtin.module":
            for inner in op.operation.regions[0].blocks[0].operations:
                operation = inner.operation
                if "sym_name" in operation.attributes and operation.attributes["sym_name"].value == name:
                    return operation
    raise ValueError(f"no dispatch function @{name}")


def _all_pointwise(function: Any, binding: int) -> bool:
    argument = function.regions[0].blocks[0].arguments[binding]
    if str(argument.type) != "!stream.binding":
        return False
    return all(_pointwise(use.owner.operation, use.operand_number) for use in argument.uses)


def _pointwise(op: Any, operand: int) -> bool:
    if op.name in ("stream.binding.subspan", "iree_tensor_ext.dispatch.tensor.load", "tensor.extract_slice"):
        return all(_pointwise(use.owner.operation, use.operand_number) for use in op.results[0].uses)
    if op.name == "linalg.generic":
        maps = [ir.AffineMapAttr(m).value for m in ir.ArrayAttr(op.attributes["indexing_maps"])]
        iterators = [str(i) for i in ir.ArrayAttr(op.attributes["iterator_types"])]
        return all("parallel" in i for i in iterators) and maps[operand] == maps[-1]
    # What is stored unchanged is what was read.
    return op.name in ("iree_tensor_ext.dispatch.tensor.store", "tensor.insert_slice")
