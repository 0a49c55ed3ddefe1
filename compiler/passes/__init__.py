# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The passes of pock, one a file, and their registry.

A pass is imported when a pipeline first names it.
"""

from importlib import import_module

from pock.compiler.errors import UsageError

from .base import Pass

#: pass name -> "module:class" below this package
_REGISTRY = {
    "sparsebp-apply-scheme": "apply_scheme:ApplyScheme",
    "sparsebp-connect-ranks": "connect_ranks:ConnectRanks",
    "sparsebp-convert-layout": "convert_layout:ConvertLayout",
    "sparsebp-convert-to-linalg": "convert_to_linalg:ConvertToLinalg",
    "sparsebp-expand-optimizer": "expand_optimizer:ExpandOptimizer",
    "sparsebp-fold-batch-norm": "fold_batch_norm:FoldBatchNorm",
    "sparsebp-fold-constants": "fold_constants:FoldConstants",
    "sparsebp-fold-padding": "fold_padding:FoldPadding",
    "sparsebp-fuse-batch-norm-grad": "fuse_batch_norm_grad:FuseBatchNormGrad",
    "sparsebp-fuse-weight-update": "fuse_weight_update:FuseWeightUpdate",
    "sparsebp-materialize-state": "materialize_state:MaterializeState",
    "sparsebp-prune-backward": "prune_backward:PruneBackward",
    "sparsebp-prune-positions": "prune_positions:PrunePositions",
    "sparsebp-raise-gradients": "raise_gradients:RaiseGradients",
    "sparsebp-rematerialize": "rematerialize:Rematerialize",
    "sparsebp-schedule-updates": "schedule_updates:ScheduleUpdates",
    "sparsebp-separate-padding": "separate_padding:SeparatePadding",
    "sparsebp-share-rows": "share_rows:ShareRows",
    "sparsebp-signed-arithmetic": "signed_arithmetic:SignedArithmetic",
    "sparsebp-simplify": "simplify:Simplify",
    "sparsebp-split-batch": "split_batch:SplitBatch",
    "sparsebp-split-channels": "split_channels:SplitChannels",
    "sparsebp-split-evaluation": "split_evaluation:SplitEvaluation",
    "sparsebp-split-rows": "split_rows:SplitRows",
    "sparsebp-widen-bits": "widen_bits:WidenBits",
}


def pass_names() -> list[str]:
    """The names of all passes, sorted."""
    return sorted(_REGISTRY)


def get_pass(name: str) -> type[Pass]:
    """The pass of that name; raises ``UsageError`` naming the nearest ones."""
    if name not in _REGISTRY:
        from difflib import get_close_matches

        near = get_close_matches(name, _REGISTRY, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else "; see --list-passes"
        raise UsageError(f"no pass is named '{name}'{hint}")
    module, _, attribute = _REGISTRY[name].partition(":")
    found: type[Pass] = getattr(import_module(f".{module}", __package__), attribute)
    if found.name != name:
        raise RuntimeError(f"registry says {name}, {attribute} says {found.name}")
    return found
