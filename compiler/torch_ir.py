# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Building and reading torch-dialect IR.

``TorchBuilder`` creates operations at an insertion point; the functions below it read constants.
"""

import builtins
from collections.abc import Iterator, Sequence
from typing import Any

from torch_mlir import ir

from pock.compiler.passes.base import fail_at
from pock.dialects.types import element_of, shape_of, vtensor

#: torch's dtype numbers (c10::ScalarType) by element type
DTYPE_CODE = {
    "ui8": 0, "si8": 1, "si16": 2, "si32": 3, "si64": 4, "f16": 5, "f32": 6, "f64": 7, "i1": 11, "bf16": 15,
}  # fmt: skip

#: Operations that reorder dimensions
PERMUTATIONS = ("torch.aten.permute", "torch.aten.t", "torch.aten.transpose.int")

Number = int | float


class TorchBuilder:
    """Creates torch and sparsebp operations before ``anchor`` (an operation), at its location."""

    def __init__(self, anchor: Any, location: ir.Location | None = None) -> None:
        self.ip = ir.InsertionPoint(anchor)
        self.location = location or anchor.operation.location
        self.context = anchor.operation.context
        self._constants: dict[tuple[str, Any], ir.Value] = {}

    def type(self, text: str) -> ir.Type:
        return ir.Type.parse(text, context=self.context)

    def create(
        self,
        name: str,
        operands: Sequence[ir.Value],
        results: Sequence[ir.Type],
        attributes: dict[str, ir.Attribute] | None = None,
    ) -> Any:
        """Any operation. Returns its result, a list of them, or the operation if it has none."""
        op = ir.Operation.create(
            name,
            results=list(results),
            operands=list(operands),
            attributes=attributes or {},
            loc=self.location,
            ip=self.ip,
        )
        if len(op.results) == 1:
            return op.results[0]
        return list(op.results) if len(op.results) else op

    def _constant(self, kind: str, key: Any, type_: str, attributes: dict[str, ir.Attribute]) -> ir.Value:
        if (kind, key) not in self._constants:
            self._constants[kind, key] = self.create(
                f"torch.constant.{kind}", [], [self.type(type_)], attributes
            )
        return self._constants[kind, key]

    def int(self, value: builtins.int) -> ir.Value:
        attr = ir.IntegerAttr.get(ir.IntegerType.get_signless(64, self.context), value)
        return self._constant("int", value, "!torch.int", {"value": attr})

    def float(self, value: builtins.float) -> ir.Value:
        attr = ir.FloatAttr.get(ir.F64Type.get(self.context), value)
        return self._constant("float", value, "!torch.float", {"value": attr})

    def bool(self, value: builtins.bool) -> ir.Value:
        attr = ir.IntegerAttr.get(ir.IntegerType.get_signless(1, self.context), int(value))
        return self._constant("bool", value, "!torch.bool", {"value": attr})

    def none(self) -> ir.Value:
        return self._constant("none", None, "!torch.none", {})

    def int_list(self, values: Sequence[builtins.int]) -> ir.Value:
        elements = [self.int(v) for v in values]
        return self.create("torch.prim.ListConstruct", elements, [self.type("!torch.list<int>")])

    def argument(self, value: Any) -> ir.Value:
        """A Python value as an operand: bool, int, float, None, a list of ints, or a value as it is."""
        if isinstance(value, ir.Value):
            return value
        if value is None:
            return self.none()
        if isinstance(value, bool):
            return self.bool(value)
        if isinstance(value, int):
            return self.int(value)
        if isinstance(value, float):
            return self.float(value)
        return self.int_list(list(value))

    def i64(self, value: builtins.int) -> ir.Attribute:
        """An attribute of type i64."""
        return ir.IntegerAttr.get(ir.IntegerType.get_signless(64, self.context), value)

    def int_arrays(self, **arrays: Sequence[builtins.int]) -> dict[str, ir.Attribute]:
        """Attributes like ``array<i64: 1, 2>``, by name."""
        return {name: ir.DenseI64ArrayAttr.get(list(values), self.context) for name, values in arrays.items()}

    def aten(self, name: str, *operands: Any, shape: Sequence[builtins.int], element: str) -> ir.Value:
        """``torch.aten.<name>`` with one tensor result; Python values become constants."""
        values = [self.argument(operand) for operand in operands]
        result: ir.Value = self.create(f"torch.aten.{name}", values, [vtensor(shape, element, self.context)])
        return result

    # The arithmetic that passes build most.

    def _like(self, name: str, first: ir.Value, *rest: Any) -> ir.Value:
        return self.aten(name, first, *rest, shape=shape_of(first.type), element=element_of(first.type))

    def _wide(self, name: str, a: ir.Value, b: ir.Value, *rest: Any) -> ir.Value:
        shape = broadcast(shape_of(a.type), shape_of(b.type))
        return self.aten(name, a, b, *rest, shape=shape, element=element_of(a.type))

    def add(self, a: ir.Value, b: ir.Value | Number) -> ir.Value:
        return (
            self._wide("add.Tensor", a, b, 1)
            if isinstance(b, ir.Value)
            else self._like("add.Scalar", a, b, 1)
        )

    def sub(self, a: ir.Value, b: ir.Value | Number) -> ir.Value:
        return (
            self._wide("sub.Tensor", a, b, 1)
            if isinstance(b, ir.Value)
            else self._like("sub.Scalar", a, b, 1)
        )

    def mul(self, a: ir.Value, b: ir.Value | Number) -> ir.Value:
        return self._wide("mul.Tensor", a, b) if isinstance(b, ir.Value) else self._like("mul.Scalar", a, b)

    def div(self, a: ir.Value, b: ir.Value | Number) -> ir.Value:
        return self._wide("div.Tensor", a, b) if isinstance(b, ir.Value) else self._like("div.Scalar", a, b)

    def unary(self, name: str, a: ir.Value) -> ir.Value:
        """``torch.aten.<name>`` of one tensor, result like the operand."""
        return self._like(name, a)

    def sum(self, a: ir.Value, dims: Sequence[builtins.int], keepdim: builtins.bool = False) -> ir.Value:
        """Sum over ``dims``, in the operand's element type."""
        shape = [1 if i in dims else n for i, n in enumerate(shape_of(a.type)) if keepdim or i not in dims]
        return self.aten(
            "sum.dim_IntList", a, list(dims), keepdim, None, shape=shape, element=element_of(a.type)
        )

    def view(self, a: ir.Value, shape: Sequence[builtins.int]) -> ir.Value:
        return self.aten("view", a, list(shape), shape=shape, element=element_of(a.type))

    def permute(self, a: ir.Value, order: Sequence[builtins.int]) -> ir.Value:
        source = shape_of(a.type)
        return self.aten(
            "permute", a, list(order), shape=[source[i] for i in order], element=element_of(a.type)
        )

    def concatenated(self, parts: Sequence[ir.Value], axis: builtins.int) -> ir.Value:
        """Equal parts one behind the other along ``axis``."""
        shape = list(shape_of(parts[0].type))
        shape[axis] *= len(parts)
        listed = self.create("torch.prim.ListConstruct", parts, [self.type("!torch.list<vtensor>")])
        return self.aten("cat", listed, axis, shape=shape, element=element_of(parts[0].type))

    def read(self, symbol: str, type_: ir.Type) -> ir.Value:
        """``sparsebp.read`` of a declaration."""
        attributes = {"symbol": ir.FlatSymbolRefAttr.get(symbol, self.context)}
        value: ir.Value = self.create("sparsebp.read", [], [type_], attributes)
        return value

    def write(self, kind: str, symbol: str, mask: ir.Attribute, value: ir.Value) -> Any:
        """``sparsebp.update`` or ``sparsebp.assign`` (``kind``) of a declaration."""
        attributes = {"symbol": ir.FlatSymbolRefAttr.get(symbol, self.context), "mask": mask}
        return self.create(f"sparsebp.{kind}", [value], [], attributes)


def broadcast(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    """The shape that two shapes broadcast to."""
    rank = max(len(a), len(b))
    left, right = ([1] * (rank - len(s)) + list(s) for s in (a, b))
    return tuple(y if x == 1 else x for x, y in zip(left, right, strict=True))


def defining_op(value: ir.Value) -> Any | None:
    """The operation that defines ``value``, or None for a block argument."""
    owner = value.owner
    return None if isinstance(owner, ir.Block) else owner


def widen(values: list[int], rank: int) -> list[int]:
    """A window parameter with an entry for each dimension: PyTorch lets one number stand for all."""
    return values * rank if len(values) == 1 else values


def copied(module: ir.Module) -> ir.Module:
    """A copy of a module, in its context."""
    with module.context:
        return ir.Module.parse(str(module.operation.get_asm(enable_debug_info=True, assume_verified=True)))


def attributes_of(op: Any) -> dict[str, ir.Attribute]:
    """The attributes of an operation by name, to be given to another."""
    given = op.operation.attributes
    return {given[i].name: given[i].attr for i in range(len(given))}


class NotConstant(ValueError):
    """The value of an operand is not known at compile time."""


def constant(value: ir.Value) -> Any:
    """The Python value of a torch constant: int, float, bool, None or a list of them.

    Raises ``NotConstant`` if it is not known.
    """
    op = defining_op(value)
    name = op.operation.name if op is not None else "block argument"
    if op is not None:
        if name == "torch.constant.none":
            return None
        if name == "torch.constant.int":
            return ir.IntegerAttr(op.operation.attributes["value"]).value
        if name == "torch.constant.bool":
            return bool(ir.IntegerAttr(op.operation.attributes["value"]).value)
        if name == "torch.constant.float":
            return ir.FloatAttr(op.operation.attributes["value"]).value
        if name == "torch.prim.ListConstruct":
            return [constant(operand) for operand in op.operation.operands]
    raise NotConstant(f"operand is not a constant but {name}")


def is_constant(value: ir.Value, *expected: Any) -> bool:
    """Whether the value is a torch constant, and one of those ``expected``."""
    try:
        return constant(value) in expected
    except NotConstant:
        return False


def makers(value: ir.Value) -> Iterator[Any | None]:
    """The operations that compute ``value``, from itself backwards; None for arguments of the function."""
    pending, seen = [value], {value}
    while pending:
        maker = defining_op(pending.pop())
        yield maker
        new = set() if maker is None else reads(maker) - seen
        seen |= new
        pending.extend(new)


def reads(op: Any) -> set[ir.Value]:
    """The operands of an operation, and what its regions read from outside."""
    read, inside = set(op.operation.operands), set()
    if not len(op.operation.regions):
        return read

    def visit(inner: Any) -> ir.WalkResult:
        if inner.operation != op.operation:
            read.update(inner.operation.operands)
            inside.update(inner.operation.results)
        for region in inner.operation.regions:
            for block in region:
                inside.update(block.arguments)
        return ir.WalkResult.ADVANCE

    op.operation.walk(visit)
    return read - inside


def is_computed_from_constants(value: ir.Value) -> bool:
    """Whether ``value`` depends on no argument of its function."""
    return all(maker is not None for maker in makers(value))


def permutation(value: ir.Value) -> tuple[ir.Value, list[int]]:
    """The value that ``value`` is a permutation of, and the order of its dimensions; else itself, in order.

    Raises ``NotAStaticTensor`` for what has no known shape.
    """
    op, order = defining_op(value), list(range(len(shape_of(value.type))))
    name = "" if op is None else op.operation.name
    if op is None or name not in PERMUTATIONS:
        return value, order
    source, *arguments = op.operation.operands
    try:
        given = [constant(argument) for argument in arguments]
    except NotConstant:
        return value, order
    if name == "torch.aten.permute":
        order = [d % len(order) for d in given[0]]
    elif name == "torch.aten.t":
        order.reverse()
    else:
        i, j = (d % len(order) for d in given)
        order[i], order[j] = order[j], order[i]
    return source, order


def paddings(op: Any) -> list[tuple[int, int]]:
    """What ``torch.aten.constant_pad_nd`` puts before and behind each dimension, the first first.

    PyTorch's list counts from the last dimension and has two entries for each. Raises ``NotConstant``.
    """
    x, listed = op.operation.operands[0], constant(op.operation.operands[1])
    pairs = [(listed[i], listed[i + 1]) for i in range(0, len(listed), 2)]
    return [(0, 0)] * (len(shape_of(x.type)) - len(pairs)) + pairs[::-1]


def functions(module: ir.Module) -> dict[str, Any]:
    """The functions of a module that have bodies, by name."""
    return {
        ir.StringAttr(op.operation.attributes["sym_name"]).value: op
        for op in module.body.operations
        if op.operation.name == "func.func" and len(op.operation.regions[0].blocks)
    }


def step_of(module: ir.Module) -> Any:
    """The function ``@step`` of a training program; raises ``PassFailure`` if there is none."""
    step = functions(module).get("step")
    if step is None:
        raise fail_at(module.operation, "the program has no function @step, nothing is trained")
    return step


def gradients_of(module: ir.Module) -> Any:
    """The function that computes gradients: ``@step``, or ``@gradients`` of a part of the batch."""
    return functions(module).get("gradients") or step_of(module)


def update_of(module: ir.Module) -> Any:
    """The function that writes the state: ``@step``, or ``@update`` where the batch is split."""
    return functions(module).get("update") or step_of(module)


def body(function: Any) -> ir.Block:
    """The single block of a function; raises ``PassFailure`` if it has control flow."""
    blocks = function.operation.regions[0].blocks
    if len(blocks) != 1:
        raise fail_at(function, f"functions of training programs have one block, this one has {len(blocks)}")
    block: ir.Block = blocks[0]
    return block


def operations(function: Any, name: str | None = None) -> list[Any]:
    """The operations of a function in program order, all or those of one name.

    The list is made first, so that the caller may erase any operation that is not on it, or that it
    has been given already.
    """
    return [op for op in body(function).operations if name is None or op.operation.name == name]


def set_function_type(function: Any) -> None:
    """Make the function's type that of its block arguments and returned values."""
    block = body(function)
    returned = list(block.operations)[-1].operation.operands
    type_ = ir.FunctionType.get([a.type for a in block.arguments], [v.type for v in returned])
    function.operation.attributes["function_type"] = ir.TypeAttr.get(type_)
