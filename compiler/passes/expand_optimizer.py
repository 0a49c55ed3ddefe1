# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-expand-optimizer``: updates become the optimizer's arithmetic and assignments."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from torch_mlir import ir

from pock.compiler.analysis.declared import dimensions_of, mask_of, symbol_of
from pock.compiler.optimizers import SGD, Adam, AdamW, Lion, Optimizer, parse_optimizer
from pock.compiler.source import MODEL, Part, Source
from pock.compiler.state import STEP, count_steps
from pock.compiler.torch_ir import (
    DTYPE_CODE,
    TorchBuilder,
    body,
    operations,
    set_function_type,
    update_of,
)
from pock.dialects import sparsebp
from pock.dialects.sparsebp import Mask
from pock.dialects.types import builtin_tensor, element_of, shape_of, vtensor

from .base import Pass, fail_at

HYPERPARAMETERS = "sparsebp.hyperparameters"
"""The attribute of ``@step`` that names its last arguments, with their defaults."""

Scalar: TypeAlias = float | ir.Value
"""A constant or a 0-d tensor."""


@dataclass(frozen=True)
class ExpandOptimizer(Pass):
    """Turns every ``sparsebp.update`` into the optimizer's arithmetic and a ``sparsebp.assign``.

    Before, with ``sgd:momentum=0.9``::

        func.func @step(%x: !torch.vtensor<[2,4],f32>) {
          …
          "sparsebp.update"(%g) {symbol = @w, mask = #sparsebp.mask<"range", "input_channels", array<i64: 0, 2>>}
              : (!torch.vtensor<[3,2],f32>) -> ()

    After::

        "sparsebp.state"() {sym_name = "w#momentum", type = tensor<3x2xf32>, role = "optimizer", parameter = "w",
            slot = "momentum", initial = 0.0 : f32}
        func.func @step(%x: !torch.vtensor<[2,4],f32>, %lr: !torch.vtensor<[],f32>)
            attributes {sparsebp.hyperparameters = [{name = "lr"}]} {
          …
          %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[3,4],f32>
          %p = "sparsebp.select_channels"(%w) {axis = 1, mask = #sparsebp.mask<"range", …>} : … -> !torch.vtensor<[3,2],f32>
          %m = "sparsebp.read"() {symbol = @"w#momentum"} : () -> !torch.vtensor<[3,2],f32>
          %0 = torch.aten.mul.Scalar %m, %float9.0e-01
          %1 = torch.aten.add.Tensor %0, %g, %int1
          "sparsebp.assign"(%1) {symbol = @"w#momentum", mask = #sparsebp.mask<"full", "", array<i64>>}
          %2 = torch.aten.mul.Tensor %1, %lr
          %3 = torch.aten.sub.Tensor %p, %2, %int1
          "sparsebp.assign"(%3) {symbol = @w, mask = #sparsebp.mask<"range", "input_channels", array<i64: 0, 2>>}

    State has the shape of what is trained and is f32, as is the arithmetic, unless the parameter is f64;
    narrower parameters are converted there and back. The learning rate and the hyper-parameters that the
    optimizer's ``runtime`` names become the last arguments of ``@step``, 0-d f32 tensors; a step has the
    learning rate as an argument even if nothing is trained. Adam, and SGD with dampening, need the number
    of the step: they share the count that dropout uses. Clipping puts all arithmetic behind the last
    gradient.
    """  # noqa: E501

    name: ClassVar[str] = "sparsebp-expand-optimizer"

    optimizer: str = "sgd"
    """The optimizer in its textual form: ``sgd:momentum=0.9,nesterov=true``."""

    @classmethod
    def of(cls, optimizer: Optimizer) -> "ExpandOptimizer":
        """The pass that expands updates by ``optimizer``."""
        return cls(optimizer.to_string())

    def apply(self, module: ir.Module) -> None:
        optimizer = parse_optimizer(self.optimizer)
        step = update_of(module)
        if HYPERPARAMETERS in step.operation.attributes:
            raise fail_at(step, "the optimizer has been expanded already")
        updates = list(operations(step, "sparsebp.update"))
        declared = sparsebp.declarations(module)
        _check(updates, declared)
        hyper = _add_inputs(step, optimizer)
        if not updates:
            return
        end = list(body(step).operations)[-1] if optimizer.clip_grad_norm is not None else None
        location = Source(Part.UPDATE, MODEL).around(updates[0].operation.location)
        shared = TorchBuilder(end or updates[0], location)
        steps = _completed_steps(module, shared.location) if _needs_steps(optimizer) else None
        gradients = [_gradient(update) for update in updates]
        if optimizer.clip_grad_norm is not None:
            coefficient = _clip_coefficient(shared, gradients, hyper["clip_grad_norm"])
            gradients = [shared.mul(g, coefficient) for g in gradients]
        rule = _RULES[type(optimizer)](optimizer, shared, hyper, steps)
        first_function = next(op for op in module.body.operations if op.operation.name == "func.func")
        states = TorchBuilder(first_function, ir.Location.unknown())
        for update, gradient in zip(updates, gradients, strict=True):
            builder = TorchBuilder(end or update, update.operation.location)
            _expand(builder, states, update, declared[symbol_of(update)], gradient, rule)
            update.operation.erase()


def hyperparameters_of(module: ir.Module) -> list[tuple[str, float | None]]:
    """Name and default of the last arguments of an expanded ``@step``, in order."""
    attribute = update_of(module).operation.attributes[HYPERPARAMETERS]
    entries = [ir.DictAttr(entry) for entry in ir.ArrayAttr(attribute)]
    return [
        (ir.StringAttr(e["name"]).value, ir.FloatAttr(e["default"]).value if "default" in e else None)
        for e in entries
    ]


def _check(updates: Sequence[Any], declared: dict[str, Any]) -> None:
    seen: set[str] = set()
    for update in updates:
        symbol = symbol_of(update)
        if symbol in seen:
            raise fail_at(update, f"updates @{symbol} a second time in one step")
        seen.add(symbol)
        if Mask.from_attr(update.operation.attributes["mask"]) != mask_of(declared[symbol]):
            raise fail_at(
                update, f"has another mask than @{symbol}'s declaration; run sparsebp-prune-backward first"
            )
        if not element_of(update.operation.operands[0].type).lstrip("b").startswith("f"):
            raise fail_at(update, f"cannot train @{symbol}, which does not hold floating-point numbers")


def _add_inputs(step: Any, optimizer: Optimizer) -> dict[str, Scalar]:
    """Append the learning rate and the run-time hyper-parameters; all values by name."""
    block, operation = body(step), step.operation
    values: dict[str, Scalar] = {name: optimizer.value(name) or 0.0 for name in optimizer.tunable}
    entries = []
    for name in optimizer.inputs:
        values[name] = block.add_argument(vtensor((), "f32"), operation.location)
        default = (
            {} if name == "lr" else {"default": ir.FloatAttr.get(ir.F64Type.get(), optimizer.value(name))}
        )
        entries.append(ir.DictAttr.get({"name": ir.StringAttr.get(name), **default}))
    operation.attributes[HYPERPARAMETERS] = ir.ArrayAttr.get(entries)
    if "arg_attrs" in operation.attributes:
        empty = [ir.DictAttr.get({})] * len(entries)
        operation.attributes["arg_attrs"] = ir.ArrayAttr.get([*operation.attributes["arg_attrs"], *empty])
    set_function_type(step)
    return values


def _needs_steps(optimizer: Optimizer) -> bool:
    if isinstance(optimizer, SGD):
        return optimizer.used("momentum") and optimizer.used("dampening")
    return isinstance(optimizer, Adam)


def _completed_steps(module: ir.Module, location: ir.Location) -> ir.Value:
    """The number of steps before this one, a 0-d f32; ``@step`` counts from now on."""
    count_steps(module)
    builder = TorchBuilder(next(iter(body(update_of(module)).operations)), location)
    # In front of everything, so in front of where the count is assigned. f32 holds 2**24 steps exactly;
    # everything that is computed from the count has reached its limit long before.
    return _convert(builder, builder.read(STEP, vtensor((), "si64")), "f32")


def _convert(builder: TorchBuilder, value: ir.Value, element: str) -> ir.Value:
    if element_of(value.type) == element:
        return value
    shape = shape_of(value.type)
    return builder.aten(
        "to.dtype", value, DTYPE_CODE[element], False, False, None, shape=shape, element=element
    )


def _arithmetic(element: str) -> str:
    """The element type of the arithmetic for a parameter of ``element``."""
    return "f64" if element == "f64" else "f32"


def _gradient(update: Any) -> ir.Value:
    value = update.operation.operands[0]
    return _convert(TorchBuilder(update), value, _arithmetic(element_of(value.type)))


def _clip_coefficient(builder: TorchBuilder, gradients: Sequence[ir.Value], limit: Scalar) -> ir.Value:
    """``min(limit / (‖gradients‖₂ + 1e-6), 1)``, as ``torch.nn.utils.clip_grad_norm_``."""
    total = None
    for gradient in gradients:
        squares = builder.mul(gradient, gradient)
        if shape_of(squares.type):
            squares = builder.aten("sum", squares, None, shape=(), element=element_of(squares.type))
        squares = _convert(builder, squares, "f32")
        total = squares if total is None else builder.add(total, squares)
    assert total is not None
    reciprocal = builder.unary("reciprocal", builder.add(builder.unary("sqrt", total), 1e-6))
    one = builder.aten("full", [], 1.0, DTYPE_CODE["f32"], None, None, None, shape=(), element="f32")
    # A norm that is not a number must reach every gradient, as it does in PyTorch. torch-mlir compares and
    # selects: the second operand where the comparison fails, as it does with NaN; its clamp drops NaN.
    return builder.aten("minimum", one, builder.mul(reciprocal, limit), shape=(), element="f32")


@dataclass(frozen=True)
class _Update:
    """One parameter's update: what a rule computes with."""

    builder: TorchBuilder
    states: TorchBuilder
    """Creates declarations."""
    symbol: str
    parameter: ir.Value
    """What is trained of the parameter, in the type of the arithmetic."""
    gradient: ir.Value

    def slot(self, name: str) -> ir.Value:
        """Declares state of the parameter's shape, and reads it."""
        tensor = builtin_tensor(self.gradient.type)
        attributes = {
            "sym_name": ir.StringAttr.get(f"{self.symbol}#{name}"),
            "type": ir.TypeAttr.get(tensor),
            "role": ir.StringAttr.get("optimizer"),
            "parameter": ir.StringAttr.get(self.symbol),
            "slot": ir.StringAttr.get(name),
            "initial": ir.FloatAttr.get(tensor.element_type, 0.0),
        }
        self.states.create("sparsebp.state", [], [], attributes)
        return self.builder.read(f"{self.symbol}#{name}", self.gradient.type)

    def assign(self, name: str, new: ir.Value) -> None:
        """Assigns the state of that name."""
        self.builder.write("assign", f"{self.symbol}#{name}", Mask.full().to_attr(), new)


def _expand(
    builder: TorchBuilder,
    states: TorchBuilder,
    update: Any,
    declaration: Any,
    gradient: ir.Value,
    rule: Callable[[_Update], ir.Value],
) -> None:
    """The arithmetic of one update, and the assign."""
    symbol, mask = symbol_of(update), mask_of(declaration)
    element = element_of(update.operation.operands[0].type)
    whole = tuple(ir.RankedTensorType(ir.TypeAttr(declaration.operation.attributes["type"]).value).shape)
    value = builder.read(symbol, vtensor(whole, element))
    if mask.is_sliced:
        axis = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), mask.axis(dimensions_of(declaration)))
        selected = vtensor(shape_of(gradient.type), element)
        attributes = {"axis": axis, "mask": mask.to_attr()}
        value = builder.create("sparsebp.select_channels", [value], [selected], attributes)
    parameter = _convert(builder, value, element_of(gradient.type))
    new = rule(_Update(builder, states, symbol, parameter, gradient))
    builder.write("assign", symbol, mask.to_attr(), _convert(builder, new, element))


def _one_minus(builder: TorchBuilder, value: Scalar) -> Scalar:
    if isinstance(value, float):
        return 1.0 - value
    return builder.aten("rsub.Scalar", value, 1.0, 1, shape=(), element="f32")


def _decay(builder: TorchBuilder, hyper: dict[str, Scalar]) -> ir.Value:
    """The factor ``1 - lr · weight_decay`` of decoupled weight decay."""
    decay = _one_minus(builder, builder.mul(_value(hyper["lr"]), hyper["weight_decay"]))
    return _value(decay)


def _value(scalar: Scalar) -> ir.Value:
    assert isinstance(scalar, ir.Value)
    return scalar


def _sgd(
    optimizer: Optimizer, shared: TorchBuilder, hyper: dict[str, Scalar], steps: ir.Value | None
) -> Callable[[_Update], ir.Value]:
    """``torch.optim.SGD``."""
    assert isinstance(optimizer, SGD)
    lr, momentum = _value(hyper["lr"]), hyper["momentum"]
    fresh: ir.Value | None = None
    if steps is not None:
        # The first step starts the momentum from the gradient itself: no dampening there.
        later = shared.aten("clamp", steps, None, 1.0, shape=(), element="f32")
        fresh = _value(_one_minus(shared, shared.mul(later, hyper["dampening"])))

    def rule(update: _Update) -> ir.Value:
        b, gradient = update.builder, update.gradient
        if optimizer.used("weight_decay"):
            gradient = b.add(gradient, b.mul(update.parameter, hyper["weight_decay"]))
        if optimizer.used("momentum"):
            damped = gradient if fresh is None else b.mul(gradient, fresh)
            buffer = b.add(b.mul(update.slot("momentum"), momentum), damped)
            update.assign("momentum", buffer)
            gradient = b.add(gradient, b.mul(buffer, momentum)) if optimizer.nesterov else buffer
        return b.sub(update.parameter, b.mul(gradient, lr))

    return rule


def _bias_correction(builder: TorchBuilder, beta: Scalar, number: ir.Value) -> Scalar:
    """``1 - beta ** number``, which in f32 would cancel in the first steps."""
    if isinstance(beta, float):
        if beta == 0.0:
            return 1.0
        exponent = builder.mul(number, math.log(beta))
    else:
        exponent = builder.mul(number, builder.unary("log", beta))
    return builder.unary("neg", builder.unary("expm1", exponent))


def _adam(
    optimizer: Optimizer, shared: TorchBuilder, hyper: dict[str, Scalar], steps: ir.Value | None
) -> Callable[[_Update], ir.Value]:
    """``torch.optim.Adam`` and ``torch.optim.AdamW``."""
    assert isinstance(optimizer, Adam) and steps is not None
    beta1, beta2 = hyper["beta1"], hyper["beta2"]
    number = shared.add(steps, 1.0)
    step_size = shared.div(_value(hyper["lr"]), _bias_correction(shared, beta1, number))
    correction = _bias_correction(shared, beta2, number)
    root = math.sqrt(correction) if isinstance(correction, float) else shared.unary("sqrt", correction)
    gain1, gain2 = _one_minus(shared, beta1), _one_minus(shared, beta2)
    decays = optimizer.used("weight_decay")
    decay = _decay(shared, hyper) if decays and optimizer.decoupled_weight_decay else None

    def rule(update: _Update) -> ir.Value:
        b, parameter, gradient = update.builder, update.parameter, update.gradient
        if decay is not None:
            parameter = b.mul(parameter, decay)
        elif decays:
            gradient = b.add(gradient, b.mul(parameter, hyper["weight_decay"]))
        first = update.slot("exp_avg")
        first = b.add(first, b.mul(b.sub(gradient, first), gain1))
        update.assign("exp_avg", first)
        second = b.add(b.mul(update.slot("exp_avg_sq"), beta2), b.mul(b.mul(gradient, gain2), gradient))
        update.assign("exp_avg_sq", second)
        if optimizer.amsgrad:
            largest = update.slot("max_exp_avg_sq")
            second = b.aten(
                "maximum", largest, second, shape=shape_of(second.type), element=element_of(second.type)
            )
            update.assign("max_exp_avg_sq", second)
        scale = b.add(b.div(b.unary("sqrt", second), root), hyper["eps"])
        return b.sub(parameter, b.div(b.mul(first, step_size), scale))

    return rule


def _lion(
    optimizer: Optimizer, shared: TorchBuilder, hyper: dict[str, Scalar], steps: ir.Value | None
) -> Callable[[_Update], ir.Value]:
    """Algorithm 2 of Chen et al., "Symbolic Discovery of Optimization Algorithms" (2023).

    With a and a' the average before and after the step, the direction is that of ``c = β₁·a + (1 - β₁)·g``,
    which is ``k·a' + (1 - k)·g`` with ``k = β₁/β₂``. In that form nothing reads a beside the computation of
    a', which can then take its place; IREE would otherwise be free to overwrite a first. For a β₂ that is
    small, or not known, the form loses digits, and the definition is used.
    """
    assert isinstance(optimizer, Lion)
    lr, beta1, beta2 = _value(hyper["lr"]), hyper["beta1"], hyper["beta2"]
    from_new = isinstance(beta1, float) and isinstance(beta2, float) and beta2 >= 0.5
    keep = optimizer.betas[0] / optimizer.betas[1] if from_new else beta1
    gain, average_gain = _one_minus(shared, keep), _one_minus(shared, beta2)
    decay = _decay(shared, hyper) if optimizer.used("weight_decay") else None

    def rule(update: _Update) -> ir.Value:
        b, parameter, gradient = update.builder, update.parameter, update.gradient
        if decay is not None:
            parameter = b.mul(parameter, decay)
        old = update.slot("exp_avg")
        new = b.add(b.mul(old, beta2), b.mul(gradient, average_gain))
        update.assign("exp_avg", new)
        average = new if from_new else old
        direction = b.unary("sign", b.add(b.mul(average, keep), b.mul(gradient, gain)))
        return b.sub(parameter, b.mul(direction, lr))

    return rule


_RULES = {SGD: _sgd, Adam: _adam, AdamW: _adam, Lion: _lion}
