# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-materialize-state``: declarations become constants, donated arguments and results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from torch_mlir import ir
from torch_mlir.dialects import linalg, tensor

from pock.compiler.analysis.declared import frozen, role_of, symbol_of
from pock.compiler.conversions.builder import LinalgBuilder, shape
from pock.compiler.program import archive_key
from pock.compiler.torch_ir import TorchBuilder, body, functions, operations, set_function_type, update_of
from pock.dialects import sparsebp
from pock.dialects.sparsebp import Mask, MaskKind
from pock.dialects.types import element_of, shape_of, vtensor

from .base import Pass, fail_at
from .split_batch import partials_of
from .split_evaluation import LOSS

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
    returns the initial state, each value in storage of its own. ::

        "sparsebp.parameter"() {sym_name = "w", ...} : () -> ()
        func.func @step(%x: ...) -> !torch.vtensor<[],f32> {
          %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[8],f32>
          ...
          "sparsebp.assign"(%new) {mask = #sparsebp.mask<"full", "", array<i64>>, symbol = @w} : ...
          return %loss : !torch.vtensor<[],f32>

    becomes::

        "util.global"() {initial_value = #flow.parameter.named<"model"::"w">, sym_name = "w", ...} : () -> ()
        func.func @init() -> tensor<8xf32> { ... }
        func.func @step(%x: ..., %w: !torch.vtensor<[8],f32> {iree.abi.output = 1 : index})
            -> (!torch.vtensor<[],f32>, !torch.vtensor<[8],f32>) {
          ...
          return %loss, %new : !torch.vtensor<[],f32>, !torch.vtensor<[8],f32>

    ``@predict`` and ``@evaluate`` take the parameters and buffers among the state and change nothing;
    ``@loss`` (``sparsebp-split-evaluation``) takes none. An assign of a slice inserts it into the old value.
    Where the batch is divided (``sparsebp-split-batch``), ``@update`` takes the state as ``@step`` does;
    ``@gradients`` takes what it reads of it, then donated storage for each result that is for ``@update``.
    """

    name: ClassVar[str] = "sparsebp-materialize-state"

    def apply(self, module: ir.Module) -> None:
        by_name, declared, state = functions(module), sparsebp.declarations(module), state_of(module)
        if "init" in by_name:
            raise fail_at(by_name["init"], "there is a function @init already")
        for update in operations(update_of(module), "sparsebp.update"):
            raise fail_at(update, "an update is left: run sparsebp-expand-optimizer first")
        model_state = {n: op for n, op in state.items() if role_of(op) in MODEL_STATE}
        types = _read_types(module)
        writing = update_of(module)
        for name, function in by_name.items():
            others = _read_by(function, state) if name in ("gradients", LOSS) else model_state
            donate = function == writing
            _Materialization(function, declared, state if donate else others, types, donate).run()
            if name == "gradients":
                _donate_storage(function)
        _add_init(module, state)
        _declare_globals(module)


def _read_by(function: Any, state: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the declarations in ``state`` that a function reads."""
    read = {symbol_of(op) for op in operations(function, "sparsebp.read")}
    return {name: op for name, op in state.items() if name in read}


def _donate_storage(function: Any) -> None:
    """Give ``@gradients`` an argument for each result that is for ``@update``, which takes its storage."""
    block = body(function)
    returned = list(list(block.operations)[-1].operation.operands)
    attributes = _attributes_of(function, "arg_attrs", len(block.arguments))
    for i in range(len(returned) - partials_of(function), len(returned)):
        block.add_argument(returned[i].type, returned[i].location)
        output = ir.IntegerAttr.get(ir.IndexType.get(), i)
        attributes.append(ir.DictAttr.get({"iree.abi.output": output}))
    set_function_type(function)
    function.operation.attributes["arg_attrs"] = ir.ArrayAttr.get(attributes)


def tensor_type(declaration: Any) -> ir.RankedTensorType:
    """The builtin tensor type of a declaration."""
    return ir.RankedTensorType(ir.TypeAttr(declaration.operation.attributes["type"]).value)


def _read_types(module: ir.Module) -> dict[str, ir.Type]:
    """The torch type of each declaration that is read: builtin types know no signs of integers."""
    return {
        symbol_of(op): op.operation.results[0].type
        for function in functions(module).values()
        for op in operations(function, "sparsebp.read")
    }


def _torch_type(declaration: Any) -> ir.Type:
    """The torch type of a declaration that nothing reads."""
    type_ = tensor_type(declaration)
    element = str(type_.element_type)
    torch_element = f"s{element}" if element in ("i64", "i32", "i16", "i8") else element
    return vtensor(type_.shape, torch_element)


# -- functions ----------------------------------------------------------------------------------


@dataclass
class _Materialization:
    """Makes ``state`` arguments of ``function`` and, when donated, its last results."""

    function: Any
    declared: Mapping[str, Any]
    state: Mapping[str, Any]
    types: Mapping[str, ir.Type]
    donate: bool

    def run(self) -> None:
        block = body(self.function)
        terminator = list(block.operations)[-1]
        plain = len(terminator.operation.operands)
        attributes = _attributes_of(self.function, "arg_attrs", len(block.arguments))
        current: dict[str, ir.Value] = {}
        for i, (name, declaration) in enumerate(self.state.items()):
            type_ = self.types.get(name) or _torch_type(declaration)
            current[name] = block.add_argument(type_, declaration.operation.location)
            output = {"iree.abi.output": ir.IntegerAttr.get(ir.IndexType.get(), plain + i)}
            attributes.append(ir.DictAttr.get(output if self.donate else {}))
        for op in operations(self.function):
            if op.operation.name == "sparsebp.read":
                value = current.get(symbol_of(op)) or self._constant(op)
                op.operation.results[0].replace_all_uses_with(value)
                op.operation.erase()
            elif op.operation.name == "sparsebp.assign":
                # Prediction changes nothing, whatever the model does in evaluation mode.
                if self.donate:
                    symbol = symbol_of(op)
                    current[symbol] = _assigned(op, current[symbol], self.state[symbol])
                op.operation.erase()
        if self.donate:
            self._return([current[name] for name in self.state])
        set_function_type(self.function)
        self.function.operation.attributes["arg_attrs"] = ir.ArrayAttr.get(attributes)

    def _constant(self, read: Any) -> ir.Value:
        """The value of an immutable global, or the initial value of state that the function is not given."""
        builder, declaration = LinalgBuilder(read), self.declared[symbol_of(read)]
        if declaration.operation.name == "sparsebp.state":
            type_, initial = tensor_type(declaration), declaration.operation.attributes["initial"]
            splat = ir.DenseElementsAttr.get_splat(type_, initial)
            loaded = builder.create("arith.constant", [], [type_], {"value": splat})
        else:
            loaded = _load(builder, declaration)
        value: ir.Value = builder.create(
            "torch_c.from_builtin_tensor", [loaded], [read.operation.results[0].type]
        )
        return value

    def _return(self, state: Sequence[ir.Value]) -> None:
        """Return ``state`` besides."""
        terminator = list(body(self.function).operations)[-1]
        given = list(terminator.operation.operands)
        TorchBuilder(terminator).create("func.return", [*given, *state], [])
        terminator.operation.erase()
        if "res_attrs" in self.function.operation.attributes:
            attributes = _attributes_of(self.function, "res_attrs", len(given))
            attributes += [ir.DictAttr.get({})] * len(state)
            self.function.operation.attributes["res_attrs"] = ir.ArrayAttr.get(attributes)


def _attributes_of(function: Any, name: str, count: int) -> list[ir.Attribute]:
    """The attributes of a function's ``count`` arguments or results."""
    attributes = function.operation.attributes
    return list(ir.ArrayAttr(attributes[name])) if name in attributes else [ir.DictAttr.get({})] * count


def _load(builder: LinalgBuilder, declaration: Any) -> ir.Value:
    """The initial value of a parameter or buffer."""
    name = ir.StringAttr(declaration.operation.attributes["sym_name"]).value
    attributes = {"global": ir.FlatSymbolRefAttr.get(name)}
    loaded = builder.create("util.global.load", [], [_global_type(declaration)], attributes)
    return builder.cast(loaded, tensor_type(declaration).element_type)


def _global_type(declaration: Any) -> ir.RankedTensorType:
    """The type of the global of a parameter or buffer: truth values are bytes, IREE imports no ``i1``."""
    type_ = tensor_type(declaration)
    byte = ir.IntegerType.get_signless(8)
    return ir.RankedTensorType.get(type_.shape, byte) if str(type_.element_type) == "i1" else type_


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


def _add_init(module: ir.Module, state: Mapping[str, Any]) -> None:
    """``@init``, which returns the initial state as builtin tensors, each in storage of its own."""
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
    builder = LinalgBuilder(ret)
    builder.create("func.return", _apart(builder, [_Initial.of(builder, op) for op in state.values()]), [])
    ret.erase()


@dataclass
class _Initial:
    """An initial value: a tensor, or the scalar ``part`` everywhere. ``part`` is an element of the tensor."""

    type: ir.RankedTensorType
    tensor: ir.Value | None
    part: ir.Value

    @staticmethod
    def of(builder: LinalgBuilder, declaration: Any) -> "_Initial":
        type_ = tensor_type(declaration)
        if declaration.operation.name == "sparsebp.state":
            value = {"value": declaration.operation.attributes["initial"]}
            return _Initial(type_, None, builder.create("arith.constant", [], [type_.element_type], value))
        whole = _load(builder, declaration)
        if prod(type_.shape) > 1:
            return _Initial(type_, whole, builder.slice(whole, [0] * type_.rank, [1] * type_.rank))
        return _Initial(type_, None, _only_element(builder, whole))


def _only_element(builder: LinalgBuilder, value: ir.Value) -> ir.Value:
    """The scalar of a tensor that has one element; of one without, zero."""
    type_, index = ir.RankedTensorType(value.type), ir.IndexType.get()
    if prod(type_.shape) == 0:
        return builder.scalar(0, type_.element_type)
    zero = builder.create("arith.constant", [], [index], {"value": ir.IntegerAttr.get(index, 0)})
    scalar: ir.Value = builder.create("tensor.extract", [value, *[zero] * type_.rank], [type_.element_type])
    return scalar


def _apart(builder: LinalgBuilder, values: Sequence[_Initial]) -> list[ir.Value]:
    """The tensors of ``values``, no two of them in one storage, so that each can be updated in place.

    IREE gives equal values one buffer, as all momenta of one shape and all biases of zero are. What has been
    through a barrier is equal to nothing: a single element of each tensor, which is put back into a copy.
    """
    opaque = {v.part: _through_barrier(builder, v.part) for v in values}
    return [
        _filled(builder, v.type, opaque[v.part])
        if v.tensor is None
        else _inserted(builder, opaque[v.part], v.tensor)
        for v in values
    ]


def _through_barrier(builder: LinalgBuilder, value: ir.Value) -> ir.Value:
    """``value`` behind a barrier of its own: IREE fails on barriers of values that it keeps differently."""
    opaque: ir.Value = builder.create("util.optimization_barrier", [value], [value.type])
    return opaque


def _filled(builder: LinalgBuilder, type_: ir.RankedTensorType, scalar: ir.Value) -> ir.Value:
    with builder.ip, builder.location:
        return linalg.fill(scalar, outs=[builder.empty(type_.shape, type_.element_type)])


def _inserted(builder: LinalgBuilder, part: ir.Value, whole: ir.Value) -> ir.Value:
    """``whole`` with its first element replaced by ``part``, of the same rank."""
    ones = [1] * len(shape(part))
    with builder.ip, builder.location:
        return tensor.insert_slice(part, whole, [], [], [], [0] * len(ones), ones, ones)


def in_archive(name: str, type_: ir.Type) -> ir.Attribute:
    """The initial value of a global that the parameter archive has under ``name``."""
    key = ir.StringAttr.get(archive_key(name))
    return ir.Attribute.parse(f'#flow.parameter.named<"{SCOPE}"::{key}> : {type_}')


def declare_global(anchor: Any, name: str, type_: ir.Type, initial: ir.Attribute) -> None:
    """Declare an immutable global in front of ``anchor``."""
    attributes = {
        "sym_name": ir.StringAttr.get(name),
        "sym_visibility": ir.StringAttr.get("private"),
        "type": ir.TypeAttr.get(type_),
        "initial_value": initial,
    }
    TorchBuilder(anchor).create("util.global", [], [], attributes)


def _declare_globals(module: ir.Module) -> None:
    """An immutable global for each parameter and buffer; the declarations go."""
    loaded = {
        ir.FlatSymbolRefAttr(op.operation.attributes["global"]).value
        for function in functions(module).values()
        for op in operations(function, "util.global.load")
    }
    for name, declaration in sparsebp.declarations(module).items():
        if name in loaded:
            type_ = _global_type(declaration)
            declare_global(declaration, name, type_, in_archive(name, type_))
        declaration.operation.erase()
