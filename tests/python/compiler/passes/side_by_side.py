# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Programs of ranks, interpreted side by side."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import torch
from torch import Tensor
from torch_mlir import ir

from pock.compiler.ranks import Part, parts_of
from tests.python.compiler.torch_interpreter import Interpreter


class Exchange:
    """What ranks tell each other; none goes on before all are there."""

    def __init__(self, count: int) -> None:
        self._barrier = Barrier(count, timeout=60)
        self._values: list[Tensor] = [torch.empty(0)] * count

    def sum(self, rank: int, value: Tensor) -> Tensor:
        self._values[rank] = value
        self._barrier.wait()
        total = sum(self._values[1:], self._values[0])
        self._barrier.wait()
        return total

    def abort(self) -> None:
        self._barrier.abort()


class Rank(Interpreter):
    def __init__(self, module: ir.Module, values: Mapping[str, Tensor], exchange: Exchange) -> None:
        super().__init__(module, values)
        self._exchange = exchange

    def _execute(self, op: Any, operands: list[Any]) -> Any:
        if op.name != "sparsebp.all_reduce":
            return super()._execute(op, operands)
        return self._exchange.sum(ir.IntegerAttr(op.attributes["rank"]).value, operands[0])


def run(
    modules: Sequence[ir.Module], values: Mapping[str, Tensor], name: str, given_: Sequence[Tensor]
) -> tuple[list[list[Tensor]], list[Rank]]:
    """What each rank returns, and the interpreters that ran them."""
    exchange = Exchange(len(modules))
    parts = parts_of(modules[0])
    interpreters = [
        Rank(module, {n: part_of_value(v, parts.get(n), rank) for n, v in values.items()}, exchange)
        for rank, module in enumerate(modules)
    ]

    def ran(interpreter: Rank) -> list[Tensor]:
        try:
            return interpreter.run(name, *given_)
        except BaseException:
            exchange.abort()
            raise

    with ThreadPoolExecutor(len(modules)) as pool:
        return list(pool.map(ran, interpreters)), interpreters


def part_of_value(value: Tensor, part: Part | None, rank: int) -> Tensor:
    return value if part is None else torch.from_numpy(part.of(value.numpy(), rank))
