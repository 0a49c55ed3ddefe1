# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-materialize-state``: declarations become constants, donated arguments and results."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.analysis.declared import frozen, role_of, symbol_of
from pock.compiler.torch_ir import TorchBuilder, body, functions, operations, set_function_type, step_of
from pock.dialects import sparsebp
from pock.dialects.sparsebp import Mask, MaskKind
from pock.dialects.types import element_of, shape_of, vtensor

from .base import Pass, fail_at

SCOPE = "model"
"""The parameter scope under which initial values are found."""

MODEL_STATE = ("parameter", "buffer")
"""Roles of the state that prediction and evaluation take."""


def state_of(module: ir.Module) -> dict[str, Any]:
    """The declarations that the caller of the compiled program holds, by name, in their order.

    These are what a training step writes, and the random seed, which the caller sets.
    """
    constant = frozen(module)
    return {name: op for name, op in sparsebp.declarations(module).items() if name not in constant}


@dataclass(frozen=True)
class MaterializeState(Pass):
    """Turn declarations into the calling convention of a compiled program.

    What no training step writes becomes a constant: an immutable global of IREE, initialised from
    the parameter archive. What is written becomes an argument of ``@step`` that is donated: its
    storage holds the result too (``iree.abi.output``), so that a step works in place. ``@init``
    returns the initial state. ::

        "sparsebp.parameter"() {sym_name = "w", ...} : () -> ()
        func.func @step(%x: ...) -> !torch.vtensor<[],f32> {
          %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[8],f32>
          ...
          "sparsebp.assign"(%new) {mask = #sparsebp.mask<"full", "", array<i64>>, symbol = @w} : ...
          return %loss : !torch.vtensor<[],f32>

    becomes::

        "util.global"() {initial_value = #flow.parameter.named<"model"::"w">, sym_name = "w", ...} : () -> ()
        func.func @init() -> !torch.vtensor<[8],f32> { ... }
        func.func @step(%x: ..., %w: !torch.vtensor<[8],f32> {iree.abi.output = 1 : index})
            -> (!torch.vtensor<[],f32>, !torch.vtensor<[8],f32>) {
          ...
          return %loss, %new : !torch.vtensor<[],f32>, !torch.vtensor<[8],f32>

    ``@predict`` and ``@evaluate`` take the parameters and buffers among the state and change nothing.
    An assign of a slice inserts it into the old value.
    """

    name: ClassVar[str] = "sparsebp-materialize-state"

    def apply(self, module: ir.Module) -> None:
        state = state_of(module)
        model_state = {n: op for n, op in state.items() if role_of(op) in MODEL_STATE}
        by_name = functions(module)
        for update in operations(step_of(module), "sparsebp.update"):
            raise fail_at(update, "an update is left: run sparsebp-expand-optimizer first")
        for name, function in by_name.items():
            _materialize(function, state if name == "step" else model_state, donate=name == "step")
        _add_init(module, state)
        _declare_globals(module, state)


def tensor_type(declaration: Any) -> ir.RankedTensorType:
    """The builtin tensor type of a declaration."""
    return ir.RankedTensorType(ir.TypeAttr(declaration.operation.attributes["type"]).value)


def _torch_type(declaration: Any) -> ir.Type:
    tensor = tensor_type(declaration)
    element = str(tensor.element_type)
    torch_element = f"s{element}" if element in ("i64", "i32", "i16", "i8") else element
    return vtensor(tensor.shape, torch_element)


# -- functions ----------------------------------------------------------------------------------


def _materialize(function: Any, state: dict[str, Any], donate: bool) -> None:
    """Make ``state`` arguments of ``function`` and, when donated, its last results."""
    block = body(function)
    terminator = list(block.operations)[-1]
    plain = len(terminator.operation.operands)
    attributes = list(_argument_attributes(function))
    current: dict[str, ir.Value] = {}
    for i, (name, declaration) in enumerate(state.items()):
        current[name] = block.add_argument(_torch_type(declaration), declaration.operation.location)
        output = {"iree.abi.output": ir.IntegerAttr.get(ir.IndexType.get(), plain + i)} if donate else {}
        attributes.append(ir.DictAttr.get(output))
    for op in operations(function):
        name = op.operation.name
        if name == "sparsebp.read":
            symbol = symbol_of(op)
            value = current[symbol] if symbol in state else _load(TorchBuilder(op), op, symbol)
            op.operation.results[0].replace_all_uses_with(value)
            op.operation.erase()
        elif name == "sparsebp.assign":
            # Prediction changes nothing, whatever the model does in evaluation mode.
            if donate:
                symbol = symbol_of(op)
                current[symbol] = _assigned(op, current[symbol], state[symbol])
            op.operation.erase()
    if donate:
        results = [*terminator.operation.operands, *(current[name] for name in state)]
        TorchBuilder(terminator).create("func.return", results, [])
        terminator.operation.erase()
    set_function_type(function)
    function.operation.attributes["arg_attrs"] = ir.ArrayAttr.get(attributes)


def _argument_attributes(function: Any) -> Sequence[ir.Attribute]:
    attributes = function.operation.attributes
    if "arg_attrs" in attributes:
        return list(ir.ArrayAttr(attributes["arg_attrs"]))
    return [ir.DictAttr.get({}) for _ in body(function).arguments]


def _load(builder: TorchBuilder, read: Any, symbol: str) -> ir.Value:
    """A constant: the value of an immutable global, or the initial value of state."""
    declaration = sparsebp.declarations(_module_of(read))[symbol]
    tensor = tensor_type(declaration)
    if declaration.operation.name == "sparsebp.state":
        loaded = _initial(builder, declaration)
    else:
        attributes = {"global": ir.FlatSymbolRefAttr.get(symbol)}
        loaded = builder.create("util.global.load", [], [tensor], attributes)
    value: ir.Value = builder.create(
        "torch_c.from_builtin_tensor", [loaded], [read.operation.results[0].type]
    )
    return value


def _module_of(op: Any) -> Any:
    parent = op.operation.parent
    while parent.operation.name != "builtin.module":
        parent = parent.operation.parent
    return parent


def _initial(builder: TorchBuilder, declaration: Any) -> ir.Value:
    tensor = tensor_type(declaration)
    splat = ir.DenseElementsAttr.get_splat(tensor, declaration.operation.attributes["initial"])
    value: ir.Value = builder.create("arith.constant", [], [tensor], {"value": splat})
    return value


# -- assigns ------------------------------------------------------------------------------------


def _assigned(assign: Any, old: ir.Value, declaration: Any) -> ir.Value:
    """The new value of the whole tensor: ``old`` with the assigned part in it."""
    new: ir.Value = assign.operation.operands[0]
    mask = Mask.from_attr(assign.operation.attributes["mask"])
    if not mask.is_sliced:
        return new
    names = [ir.StringAttr(n).value for n in ir.ArrayAttr(declaration.operation.attributes["dimensions"])]
    axis = mask.axis(names)
    builder = TorchBuilder(assign)
    shape, element = shape_of(old.type), element_of(old.type)
    if mask.kind is MaskKind.RANGE:
        begin, end = mask.indices
        return builder.aten("slice_scatter", old, new, axis, begin, end, 1, shape=shape, element=element)
    return _spread(builder, old, new, axis, mask)


def _spread(builder: TorchBuilder, old: ir.Value, new: ir.Value, axis: int, mask: Mask) -> ir.Value:
    """``old`` with the channels of a list replaced: gather and select, since scatters are slow."""
    shape, element = shape_of(old.type), element_of(old.type)
    positions, chosen = [0] * shape[axis], ["false"] * shape[axis]
    for i, channel in enumerate(mask.positions()):
        positions[channel], chosen[channel] = i, "true"
    along = [shape[axis] if i == axis else 1 for i in range(len(shape))]
    where = builder.view(_literal(builder, chosen, "i1"), along)
    wide = builder.aten(
        "index_select", new, axis, _literal(builder, positions, "si64"), shape=shape, element=element
    )
    return builder.aten("where.self", where, wide, old, shape=shape, element=element)


def _literal(builder: TorchBuilder, values: Sequence[object], element: str) -> ir.Value:
    """A vector of integers or of ``true`` and ``false``."""
    listed = ", ".join(str(v) for v in values)
    dense = ir.Attribute.parse(f"dense<[{listed}]> : tensor<{len(values)}x{element}>")
    type_ = vtensor([len(values)], element)
    value: ir.Value = builder.create("torch.vtensor.literal", [], [type_], {"value": dense})
    return value


# -- module -------------------------------------------------------------------------------------


def _add_init(module: ir.Module, state: dict[str, Any]) -> None:
    """``@init``, which returns the initial state as builtin tensors."""
    types = [tensor_type(op) for op in state.values()]
    first = next(iter(functions(module).values()))
    with ir.InsertionPoint(first):
        function = ir.Operation.create(
            "func.func",
            regions=1,
            attributes={
                "sym_name": ir.StringAttr.get("init"),
                "function_type": ir.TypeAttr.get(ir.FunctionType.get([], types)),
            },
            loc=ir.Location.unknown(),
        )
    block = ir.Block.create_at_start(function.regions[0], [])
    with ir.InsertionPoint(block):
        ret = ir.Operation.create("func.return", operands=[], loc=ir.Location.unknown())
    builder = TorchBuilder(ret)
    values = []
    for (name, declaration), type_ in zip(state.items(), types, strict=True):
        if declaration.operation.name == "sparsebp.state":
            values.append(_initial(builder, declaration))
        else:
            attributes = {"global": ir.FlatSymbolRefAttr.get(name)}
            values.append(builder.create("util.global.load", [], [type_], attributes))
    builder.create("func.return", values, [])
    ret.erase()


def _declare_globals(module: ir.Module, state: dict[str, Any]) -> None:
    """An immutable global for each parameter and buffer; the declarations go."""
    loaded = {
        ir.FlatSymbolRefAttr(op.operation.attributes["global"]).value
        for function in functions(module).values()
        for op in operations(function, "util.global.load")
    }
    for name, declaration in sparsebp.declarations(module).items():
        if name in loaded:
            initial = f'#flow.parameter.named<"{SCOPE}"::{_quoted(name)}> : {tensor_type(declaration)}'
            attributes = {
                "sym_name": ir.StringAttr.get(name),
                "sym_visibility": ir.StringAttr.get("private"),
                "type": ir.TypeAttr.get(tensor_type(declaration)),
                "initial_value": ir.Attribute.parse(initial),
            }
            TorchBuilder(declaration).create("util.global", [], [], attributes)
        declaration.operation.erase()


def _quoted(name: str) -> str:
    return str(ir.StringAttr.get(name))
