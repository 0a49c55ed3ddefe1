# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The dialect itself, loading it into a context, and the traits that its operations share."""

import sys
from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import ext
from torch_mlir.dialects import torch as torch_d
from torch_mlir.passmanager import PassManager


class SparseBP(ext.Dialect, name="sparsebp"):  # type: ignore[call-arg]
    """Training programs in which only part of the parameters is updated."""


class ReadsState:
    """Trait: reads declared state and has no other effect, so unused readers are erased."""

    class _Effects(ir.MemoryEffectsOpInterface):
        @staticmethod
        def get_effects(op: Any, effects: Any) -> None:
            effects.append(ir.MemoryEffect.Read)

    @staticmethod
    def attach(op_name: str) -> None:
        ReadsState._Effects.attach(op_name)


class WritesState:
    """Trait: writes declared state and has no other effect."""

    class _Effects(ir.MemoryEffectsOpInterface):
        @staticmethod
        def get_effects(op: Any, effects: Any) -> None:
            effects.append(ir.MemoryEffect.Write)

    @staticmethod
    def attach(op_name: str) -> None:
        WritesState._Effects.attach(op_name)


def load(ctx: ir.Context) -> None:
    """Load ``sparsebp``, ``torch`` and ``torch_c`` into ``ctx``; a second call does nothing.

    torch-mlir loads ``torch_c`` and ``tm_tensor`` only when a pass that depends on them runs, so
    an empty module is run through such passes.
    """
    if ctx.is_dialect_loaded(SparseBP.DIALECT_NAMESPACE):
        return
    # Verifiers and effects are Python callbacks: threads of the pass manager would wait for the
    # interpreter lock that the thread in PassManager.run holds.
    ctx.enable_multithreading(False)
    torch_d.register_dialect(ctx)
    # The bindings look for a module of this name whenever they meet an operation of the dialect.
    sys.modules.setdefault("torch_mlir.dialects.sparsebp", sys.modules[__name__])
    with ctx, ir.Location.unknown():
        pipeline = "builtin.module(func.func(convert-torch-to-tmtensor),torch-func-backend-type-conversion)"
        PassManager.parse(pipeline).run(ir.Module.create().operation)
        SparseBP.load()


def context() -> ir.Context:
    """A new context with everything loaded that training programs are made of.

    Unregistered operations are allowed: after ``sparsebp-materialize-state`` a program holds
    ``util`` operations of IREE, which these bindings do not know.
    """
    ctx = ir.Context()
    ctx.allow_unregistered_dialects = True
    load(ctx)
    return ctx


def fail(op: Any, message: str) -> bool:
    """Report a verifier error at ``op`` and return False, as verifiers do."""
    op.operation.location.emit_error(f"'{op.operation.name}' op {message}")
    return False
