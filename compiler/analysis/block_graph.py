# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Who defines and who uses what in a function, by the position of the operations."""

from typing import Any

from torch_mlir import ir

from pock.compiler.torch_ir import body


class BlockGraph:
    """The operations of a function's only block, numbered in program order.

    ``producers[i]`` are the numbers of the operations whose results operation ``i`` takes (arguments of the
    function are left out), ``users[i]`` those of the operations that take a result of operation ``i``,
    each once and in order.
    """

    def __init__(self, function: Any) -> None:
        self.operations = [op.operation for op in body(function).operations]
        self.names = [op.name for op in self.operations]
        self.producers: list[list[int]] = []
        self.users: list[list[int]] = [[] for _ in self.operations]
        definitions: dict[ir.Value, int] = {}
        for i, op in enumerate(self.operations):
            found = sorted({definitions[value] for value in op.operands if value in definitions})
            self.producers.append(found)
            for producer in found:
                self.users[producer].append(i)
            for result in op.results:
                definitions[result] = i

    def __len__(self) -> int:
        return len(self.operations)

    def numbered(self, *names: str) -> list[int]:
        """The numbers of the operations with one of ``names``, in order."""
        return [i for i, name in enumerate(self.names) if name in names]
