# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``torch.aten.add.Tensor`` of a bias to a product in panels, as in a linear layer's forward pass."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import arith

from pock.compiler.torch_ir import defining_op, is_constant
from pock.dialects.types import is_vtensor, shape_of

from .builder import LinalgBuilder, element, shape


def convert(op: Any, b: LinalgBuilder) -> ir.Value | None:
    """The sum where tiles of the product are still in registers; other sums are left to torch-mlir.

    What uses the sum more than once is kept apart: otherwise iree-compile fuses the sum with that instead,
    and writes and reads the product once more.
    """
    first, second, alpha = op.operation.operands
    product = _in_panels(first)
    if product is None or not is_vtensor(second.type) or not is_constant(alpha, 1):
        return None
    _, panels, panel = shape(product)
    bias = b.builtin(second)
    if list(shape_of(second.type)) != [panels * panel] or element(bias) != element(product):
        return None
    init = b.like(product)
    inputs = [product, b.reshape(bias, [[panels, panel]])]
    total = b.generic("m p l, p l -> m p l", inputs, [init], lambda x, y, _: arith.addf(x, y))
    total = b.merge(total, [1, 2])
    consumers = _consumers(op.operation.results[0])
    return b.barrier(total) if len(consumers) > 1 and "sparsebp.save" not in consumers else total


def _in_panels(value: ir.Value) -> ir.Value | None:
    """The product ``[rows, panels, panel]`` that ``value`` is, with its panels side by side, if it is one."""
    for name in ("torch_c.from_builtin_tensor", "tensor.collapse_shape"):
        producer = defining_op(value)
        if producer is None or producer.operation.name != name:
            return None
        value = producer.operation.operands[0]
    producer = defining_op(value)
    is_product = producer is not None and producer.operation.name == "linalg.generic"
    return value if is_product and len(shape(value)) == 3 else None


def _consumers(value: ir.Value) -> list[str]:
    """The operations that use a value, those that use views of it instead of the views."""
    users = [use.owner.operation for use in value.uses]
    views = [user.results[0] for user in users if user.name == "torch.aten.view"]
    return [user.name for user in users if user.name != "torch.aten.view"] + [
        name for view in views for name in _consumers(view)
    ]
