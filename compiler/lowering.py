# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""From arithmetic in the torch dialect to linalg on tensors, and what has no way there."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from torch_mlir import ir

from .errors import PassFailure, PockError
from .opt import Stage, run_mlir_passes, run_pipeline
from .passes.connect_ranks import ConnectRanks
from .passes.convert_to_linalg import ConvertToLinalg
from .passes.materialize_state import MaterializeState
from .passes.separate_padding import SeparatePadding
from .passes.signed_arithmetic import SignedArithmetic
from .source import sources_of
from .torch_ir import defining_op, functions, operations

#: torch-mlir's `torchdynamo-export-to-torch-backend-pipeline` and
#: `torch-backend-to-linalg-on-tensors-backend-pipeline`, without the check at the end of the latter: it
#: knows no operation of IREE's. `_left` takes its place. Nor is there `convert-torch-to-tmtensor`: IREE does
#: not know what it makes, and it crashes on scatters along a negative dimension.
TO_LINALG: tuple[Stage, ...] = (
    "func.func(torch-match-quantized-custom-ops)",
    "torchdynamo-export-to-torch-backend-pipeline",
    "func.func(torch-restructure-non-constant-axes)",
    "func.func(canonicalize)",
    "func.func(convert-torch-to-linalg)",
    "func.func(canonicalize)",
    "func.func(convert-torch-to-scf)",
    "func.func(convert-torch-to-arith)",
    "func.func(convert-torch-to-tensor)",
    "convert-torch-conversion-to-mlprogram",
    "func.func(memref-expand)",
    "func.func(canonicalize)",
    "func.func(resolve-shaped-type-result-dims)",
    "func.func(cse)",
    "torch-func-backend-type-conversion",
    "func.func(canonicalize)",
    "func.func(torch-finalizing-backend-type-conversion)",
)

#: What must not be left: IREE does not know it.
_FOREIGN = ("torch.", "torch_c.", "sparsebp.", "tm_tensor.")

#: Operations that only make operands, besides constants.
_PARTS = ("torch.vtensor.literal", "torch.prim.ListConstruct", "torch.derefine")

_FILE_LOCATION = re.compile(r'"([^"]+)":(\d+)')


class LoweringError(PockError):
    """Operations that have no lowering to linalg."""


def lower(module: ir.Module, panel: int = 0, scheduler: str = "", winograd: int = 0) -> None:
    """Lower a program whose updates are arithmetic to linalg on tensors.

    ``panel``, ``scheduler`` and ``winograd`` are the target's (see ``Target``).

    Raises ``LoweringError`` naming every operation that has no lowering, with its source line.
    """
    convert = ConvertToLinalg(panel, winograd)
    run_pipeline(module, [MaterializeState(), SignedArithmetic(), convert], verify_each=False)
    before = module.operation.clone()
    reason = "the lowering leaves operations that IREE does not know"
    try:
        run_pipeline(module, TO_LINALG, verify_each=False)
        run_pipeline(module, [ConnectRanks(scheduler)])
        left = _left(module)
        if not left:
            run_pipeline(module, [SeparatePadding()])
            _forget(module)
            _locate(module)
            return
        reason = f"{reason}: {', '.join(sorted({f'{op.name} at {source_line(op.location)}' for op in left}))}"
    except PassFailure as failure:
        # One line: what follows the first sentence is the operation as MLIR prints it.
        reason = (failure.diagnostics or (str(failure),))[0].split("\n")[0][:300]
    missing = list(dict.fromkeys(_described(op) for op in unlowered(before)))
    if not missing:
        raise LoweringError(f"the program cannot be lowered: {reason}")
    noun = "operation has" if len(missing) == 1 else "operations have"
    raise LoweringError(f"{len(missing)} {noun} no lowering: {'; '.join(missing)}")


def _forget(module: ir.Module) -> None:
    """Drop what the dialect has noted on functions."""
    for function in functions(module).values():
        attributes = function.operation.attributes
        for name in [name for name in attributes if name.startswith("sparsebp.")]:
            del attributes[name]


def _locate(module: ir.Module) -> None:
    """Give operations that come from no line of the user's a line nevertheless.

    For a dispatch without one, IREE writes uninitialised memory into its executables: compiling twice
    would not give the same bytes.
    """
    nowhere = ir.Location.file("pock", 0, 0, module.context)

    def visit(op: Any) -> ir.WalkResult:
        if not _FILE_LOCATION.search(str(op.location)):
            sources = sources_of(op.location)
            op.location = sources[0].around(nowhere) if sources else nowhere
        return ir.WalkResult.ADVANCE

    for function in functions(module).values():
        function.operation.walk(visit)


def _left(module: ir.Module) -> list[Any]:
    """The operations of functions that are not IREE's."""
    found: list[Any] = []

    def visit(op: Any) -> ir.WalkResult:
        if op.operation.name.startswith(_FOREIGN):
            found.append(op.operation)
        return ir.WalkResult.ADVANCE

    for function in functions(module).values():
        function.operation.walk(visit)
    return found


def source_line(location: ir.Location) -> str:
    """``file:line`` of the user's innermost frame in a location."""
    found = _FILE_LOCATION.search(str(location))
    return f"{found[1]}:{found[2]}" if found else "unknown source"


def _described(op: Any) -> str:
    name = ir.StringAttr(op.attributes["name"]).value if op.name == "torch.operator" else op.name
    return f"{name.removeprefix('torch.')} at {source_line(op.location)}"


# -- operations one by one ----------------------------------------------------------------------


def unlowered(module: ir.Module) -> list[Any]:
    """The torch operations of a program that cannot be lowered even by themselves, in order.

    Each kind (operation, constants and types) is tried once, in groups that are halved where they fail.
    """
    kinds: dict[str, list[Any]] = {}
    order: dict[Any, int] = {}
    for function in functions(module).values():
        for op in operations(function):
            operation = op.operation
            if operation.name.startswith("torch.") and not _is_part(operation):
                kinds.setdefault(_kind(operation), []).append(operation)
                order[operation] = len(order)
    failing = _failing([same[0] for same in kinds.values()])
    found = [op for example in failing for op in kinds[_kind(example)]]
    return sorted(found, key=lambda op: order[op])


def _failing(examples: Sequence[Any]) -> list[Any]:
    if not examples or _lowers(examples):
        return []
    if len(examples) == 1:
        return list(examples)
    half = len(examples) // 2
    return _failing(examples[:half]) + _failing(examples[half:])


def _lowers(examples: Sequence[Any]) -> bool:
    """Whether a program of nothing but ``examples``, each in a function of its own, can be lowered."""
    with examples[0].context, ir.Location.unknown():
        module = ir.Module.create()
        for i, op in enumerate(examples):
            _add_function(module, f"f{i}", op)
        try:
            for stage in TO_LINALG:
                run_mlir_passes(module, f"builtin.module({stage})")
        except PassFailure:
            return False
        return not _left(module)


def _add_function(module: ir.Module, name: str, op: Any) -> None:
    """A function that does what ``op`` does to its arguments; constants and lists are made inside."""
    arguments = list(dict.fromkeys(_leaves(op)))
    results = [r for r in op.results if str(r.type).startswith("!torch.vtensor")]
    type_ = ir.FunctionType.get([a.type for a in arguments], [r.type for r in results])
    attributes = {"sym_name": ir.StringAttr.get(name), "function_type": ir.TypeAttr.get(type_)}
    with ir.InsertionPoint(module.body):
        function = ir.Operation.create("func.func", regions=1, attributes=attributes)
    block = ir.Block.create_at_start(function.regions[0], type_.inputs)
    made = dict(zip(arguments, block.arguments, strict=True))
    with ir.InsertionPoint(block):
        copy = _copied(op, made)
        places = {value: i for i, value in enumerate(op.results)}
        ir.Operation.create("func.return", operands=[copy.results[places[r]] for r in results])


def _is_part(op: Any) -> bool:
    """Whether an operation only makes an operand of another: a constant, or a list of values."""
    return op.name.startswith("torch.constant.") or op.name in _PARTS


def _part(value: ir.Value) -> Any | None:
    owner = defining_op(value)
    return owner.operation if owner is not None and _is_part(owner.operation) else None


def _leaves(op: Any) -> Iterator[ir.Value]:
    """What ``op`` computes from."""
    for value in op.operands:
        part = _part(value)
        yield from [value] if part is None else _leaves(part)


def _copied(op: Any, made: dict[ir.Value, ir.Value]) -> Any:
    """``op`` and its parts, at the insertion point, on the operands that ``made`` gives."""
    operands = []
    for value in op.operands:
        part = _part(value)
        operands.append(made[value] if part is None else _copied(part, made).results[0])
    return ir.Operation.create(
        op.name,
        results=[r.type for r in op.results],
        operands=operands,
        attributes={name: op.attributes[name] for name in op.attributes},
        loc=op.location,
    )


def _kind(op: Any) -> str:
    """Text that is the same for operations that are lowered in the same way."""
    parts = [_part(value) for value in op.operands]
    operands = [
        str(value.type) if part is None else _kind(part)
        for value, part in zip(op.operands, parts, strict=True)
    ]
    attributes = [f"{name}={op.attributes[name]}" for name in op.attributes]
    results = [str(r.type) for r in op.results]
    return f"{op.name}{attributes}({', '.join(operands)})->({', '.join(results)})"
