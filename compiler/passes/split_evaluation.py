# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-split-evaluation``: evaluation is prediction, and the loss of what that returns."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.torch_ir import TorchBuilder, body, functions, set_function_type

from .base import Pass
from .simplify import erase_unused, only_computes

LOSS = "loss"
"""The name of the function that computes the loss of outputs and targets."""


@dataclass(frozen=True)
class SplitEvaluation(Pass):
    """Replaces ``@evaluate`` by ``@loss`` where the loss is made of the outputs and the targets alone.

    Evaluation then is ``@predict`` and ``@loss`` one after the other, and the forward pass is in the program
    once less. A loss that is made of anything else, such as a penalty on weights, stays where it is, and so
    does one of outputs that ``@predict`` does not return. ::

        func.func @predict(%x: ...) -> ... {
          %y = torch.aten.mm %x, ...
          return %y
        }
        func.func @evaluate(%x: ..., %t: ...) -> (!torch.vtensor<[],f32>, ...) {
          %y = torch.aten.mm %x, ...
          %d = torch.aten.sub.Tensor %y, %t, ...
          %loss = torch.aten.sum %d, ...
          return %loss, %y
        }

    becomes::

        func.func @predict(%x: ...) -> ... {
          %y = torch.aten.mm %x, ...
          return %y
        }
        func.func @loss(%y: ..., %t: ...) -> !torch.vtensor<[],f32> {
          %d = torch.aten.sub.Tensor %y, %t, ...
          %loss = torch.aten.sum %d, ...
          return %loss
        }
    """

    name: ClassVar[str] = "sparsebp-split-evaluation"

    def apply(self, module: ir.Module) -> None:
        found = functions(module)
        if "evaluate" not in found or "predict" not in found or LOSS in found:
            return
        evaluate, predict = found["evaluate"], found["predict"]
        inputs = len(body(predict).arguments)
        loss, *outputs = _returned(evaluate)
        targets = list(body(evaluate).arguments)[inputs:]
        same = [v.type for v in outputs] == [v.type for v in _returned(predict)]
        if same and _is_made_of(loss, {*outputs, *targets}):
            _split(evaluate, inputs)


def _returned(function: Any) -> list[ir.Value]:
    return list(list(body(function).operations)[-1].operation.operands)


def _is_made_of(value: ir.Value, given: set[ir.Value]) -> bool:
    """Whether ``value`` can be computed from ``given`` values and constants."""
    pending, seen = [value], set(given)
    while pending:
        value = pending.pop()
        if value in seen:
            continue
        seen.add(value)
        if isinstance(value.owner, ir.Block) or not only_computes(value.owner):
            return False
        pending += value.owner.operands
    return True


def _split(evaluate: Any, inputs: int) -> None:
    """Replace ``@evaluate`` by ``@loss`` of its outputs and of its arguments behind the first ``inputs``."""
    made = evaluate.operation.clone(ir.InsertionPoint(evaluate))
    block = body(made)
    arguments, (_, *outputs) = list(block.arguments), _returned(made)
    for value in (*outputs, *arguments[inputs:]):
        value.replace_all_uses_with(block.add_argument(value.type, value.location))
    end = list(block.operations)[-1]
    TorchBuilder(end).create("func.return", _returned(made)[:1], [])
    end.operation.erase()
    erase_unused(made)
    if any(True for argument in arguments for _ in argument.uses):
        made.erase()
        return
    for i in reversed(range(len(arguments))):
        block.erase_argument(i)
    set_function_type(made)
    made.attributes["sym_name"] = ir.StringAttr.get(LOSS)
    evaluate.operation.erase()
