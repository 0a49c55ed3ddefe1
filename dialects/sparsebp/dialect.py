# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The dialect itself, loading it into a context, and the traits that its operations share."""

import sys
from types import ModuleType
from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import ext
from torch_mlir.dialects import torch as torch_d
from torch_mlir.passmanager import PassManager

from .. import types


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


_UNKNOWN = ("flow", "hal", "iree_tensor_ext", "torch_c", "util")
"""Dialects of which a program holds operations that the bindings have no classes for."""


def _name_modules() -> None:
    """Give the bindings the modules that they look for whenever they meet an operation of a dialect."""
    prefix = "torch_mlir.dialects"
    sys.modules.setdefault(f"{prefix}.sparsebp", sys.modules[__name__])
    for name in _UNKNOWN:
        sys.modules.setdefault(f"{prefix}.{name}", ModuleType(f"{prefix}.{name}"))


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
    _name_modules()
    with ctx, ir.Location.unknown():
        pipeline = "builtin.module(func.func(convert-torch-to-tmtensor),torch-func-backend-type-conversion)"
        PassManager.parse(pipeline).run(ir.Module.create().operation)
        SparseBP.load()


def context() -> ir.Context:
    """A new context with everything loaded that training programs are made of.

    Unregistered operations are allowed: after ``sparsebp-materialize-state`` a program holds
    ``util`` operations of IREE, which these bindings do not know.
    """
    types.forget()
    ctx = ir.Context()
    ctx.allow_unregistered_dialects = True
    load(ctx)
    return ctx


def fail(op: Any, message: str) -> bool:
    """Report a verifier error at ``op`` and return False, as verifiers do."""
    op.operation.location.emit_error(f"'{op.operation.name}' op {message}")
    return False
