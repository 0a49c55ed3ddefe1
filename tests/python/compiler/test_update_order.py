# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Gradients and their updates behind the last read of the old value, or where they were."""

import pytest
from iree.compiler import ir

from pock.compiler.update_order import order_updates, part_sums

T = "tensor<4x4xf32>"


def matmul(name: str, a: str, b: str) -> str:
    return f"%{name} = linalg.matmul ins(%{a}, %{b} : {T}, {T}) outs(%zeros : {T}) -> {T}"


def elementwise(op: str, name: str, a: str, b: str) -> str:
    return f"%{name} = arith.{op} %{a}, %{b} : {T}"


def transpose(name: str, a: str) -> str:
    return f"%{name} = linalg.transpose ins(%{a} : {T}) outs(%empty : {T}) permutation = [1, 0]"


def barrier(name: str, a: str) -> str:
    return f'%{name} = "iree_tensor_ext.compute_barrier.start"(%{a}) : ({T}) -> {T}'


DW, NEW = matmul("dw", "x", "dy"), elementwise("subf", "new", "w", "dw")
DX = matmul("dx", "dy", "w")

CASES = {
    "a gradient moves behind the product that reads the parameter": (
        [DW, DX, NEW], "dx, new", ["dx", "dw", "new"],
    ),
    "and behind what that one is fused with, but no further": (
        [DW, DX, elementwise("addf", "sum", "dx", "x"), matmul("far", "sum", "x"), NEW],
        "far, new", ["dx", "sum", "dw", "far", "new"],
    ),
    "a transposition reads; what is behind a barrier does not": (
        [DW, transpose("t", "w"), barrier("b", "t"), matmul("dx", "dy", "b"), NEW],
        "dx, new", ["t", "b", "dw", "dx", "new"],
    ),
    "arithmetic between the gradient and the update moves along": (
        [DW, elementwise("mulf", "scaled", "dw", "x"), elementwise("subf", "new", "w", "scaled"), DX],
        "dx, new", ["dx", "dw", "scaled", "new"],
    ),
    "an update behind all reads stays": ([DX, DW, NEW], "dx, new", ["dx", "dw", "new"]),
    "an update that no gradient is fused with stays": (
        [elementwise("subf", "new", "w", "x"), DX], "dx, new", ["new", "dx"],
    ),
    "a gradient that is used elsewhere too stays": (
        [DW, matmul("again", "dw", "x"), DX, NEW], "again, new", ["dw", "again", "dx", "new"],
    ),
    "a new value that is used stays": (
        [DW, NEW, DX, matmul("after", "new", "dx")], "after, new", ["dw", "new", "dx", "after"],
    ),
    "a gradient from what another parameter was fused into stays": (
        [elementwise("addf", "h", "x", "v"), matmul("dw", "h", "dy"), DX, NEW],
        "dx, new", ["h", "dw", "dx", "new"],
    ),
    "a gradient from what was computed of it for several moves": (
        [elementwise("addf", "h", "x", "v"), matmul("dw", "h", "dy"), DX, matmul("y", "h", "dx"), NEW],
        "y, new", ["h", "dx", "dw", "y", "new"],
    ),
    "a gradient from another parameter stays, for that one's update": (
        [matmul("dw", "x", "v"), DX, NEW], "dx, new", ["dw", "dx", "new"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_order(name: str) -> None:
    lines, results, expected = CASES[name]
    body = "\n".join(lines)
    text = f"""
    func.func @step(%x: {T}, %dy: {T}, %w: {T}, %v: {T}) -> ({T}, {T}, {T}) {{
      %zero = arith.constant 0.0 : f32
      %empty = tensor.empty() : {T}
      %zeros = linalg.fill ins(%zero : f32) outs(%empty : {T}) -> {T}
      {body}
      return {", ".join(f"%{result}" for result in results.split(", "))}, %v : {T}, {T}, {T}
    }}"""
    with ir.Context() as context:
        context.allow_unregistered_dialects = True
        module = ir.Module.parse(text)
        function = module.body.operations[0].operation
        before = _order(function)
        names = dict(zip(before[3:-1], [line.split(" ")[0].strip("%") for line in lines], strict=True))
        moved = order_updates(function, {2: 1, 3: 2})
        assert module.operation.verify()
        assert [names[op] for op in _order(function) if op in names] == expected
        assert moved is (_order(function) != before)
        # What is in order stays in order.
        assert not order_updates(function, {2: 1, 3: 2})


SUMS = {
    "a sum that another parameter is updated by is parted from the update": (
        [DW, matmul("r", "dw", "w"), elementwise("addf", "other", "v", "r"), NEW], "r", ["arith.addf"],
    ),
    "one that a product is made of is not": (
        [DW, matmul("r", "dw", "w"), elementwise("addf", "s", "v", "r"), matmul("other", "s", "x"), NEW],
        "", [],
    ),
    "what reads another parameter is not": (
        [DW, matmul("r", "dw", "v"), elementwise("addf", "other", "v", "r"), NEW], "", [],
    ),
    "its own update is not": ([DW, NEW, elementwise("addf", "other", "v", "x")], "", []),
}  # fmt: skip


@pytest.mark.parametrize("name", SUMS)
def test_parting(name: str) -> None:
    lines, parted, users = SUMS[name]
    body = "\n".join(lines)
    text = f"""
    func.func @step(%x: {T}, %dy: {T}, %w: {T}, %v: {T}) -> ({T}, {T}) {{
      %zero = arith.constant 0.0 : f32
      %empty = tensor.empty() : {T}
      %zeros = linalg.fill ins(%zero : f32) outs(%empty : {T}) -> {T}
      {body}
      return %new, %other : {T}, {T}
    }}"""
    with ir.Context() as context:
        context.allow_unregistered_dialects = True
        module = ir.Module.parse(text)
        function = module.body.operations[0].operation
        count = len(_order(function))
        found = part_sums(function, {2: 0, 3: 1}, {2})
        assert module.operation.verify()
        barriers = [op for op in _order(function) if "barrier" in op.name]
        assert len(_order(function)) - count == len(barriers) == len(found) == len(users[:1])
        assert found <= {2}
        for barrier in barriers:
            made = [line.split(" ")[0].strip("%") for line in lines].index(parted)
            assert barrier.operands[0].owner == _order(function)[3 + made]
            assert [use.owner.operation.name for use in barrier.results[0].uses] == users


def _order(function: ir.Operation) -> list[ir.Operation]:
    return [op.operation for op in function.regions[0].blocks[0].operations]
