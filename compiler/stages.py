# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which passes a training program goes through, in what order."""

from torch_mlir import ir

from pock.targets import Target

from .lowering import lower
from .opt import Stage, run_pipeline
from .optimizers import Optimizer
from .passes.apply_scheme import ApplyScheme
from .passes.convert_layout import ConvertLayout
from .passes.expand_optimizer import ExpandOptimizer
from .passes.fold_batch_norm import FoldBatchNorm
from .passes.fold_padding import FoldPadding
from .passes.fuse_batch_norm_grad import FuseBatchNormGrad
from .passes.fuse_weight_update import FuseWeightUpdate
from .passes.prune_backward import PruneBackward
from .passes.prune_positions import PrunePositions
from .passes.raise_gradients import RaiseGradients
from .passes.rematerialize import Rematerialize
from .passes.schedule_updates import ScheduleUpdates
from .passes.split_evaluation import SplitEvaluation
from .passes.split_rows import SplitRows
from .passes.widen_bits import WidenBits
from .scheme import Scheme


def masked(scheme: Scheme) -> list[Stage]:
    """The stages from a traced program to ``--emit=sparsebp``."""
    return [ApplyScheme.of(scheme), RaiseGradients()]


def pruned() -> list[Stage]:
    """The stages from there to ``--emit=pruned``, but for dividing a step among cores: see ``sharding``."""
    return [PrunePositions(), PruneBackward(), FoldBatchNorm(), FuseBatchNormGrad()]


def trained(optimizer: Optimizer, bits: bool = True) -> list[Stage]:
    """The stages from there to a program whose updates are arithmetic, in order, channels last.

    ``bits`` is whether a bit may be saved as a byte.
    """
    return [
        # Exponentials take about as long as storing what is made of them and reading it again, and no memory.
        Rematerialize(transcendental=True, bits=bits),
        ExpandOptimizer.of(optimizer),
        ScheduleUpdates(),
        SplitEvaluation(),
        ConvertLayout(),
        FoldPadding(),
    ]


def lowered(module: ir.Module, target: Target) -> None:
    """From there to ``--emit=linalg``. Raises ``LoweringError``."""
    if target.strip:
        run_pipeline(module, [SplitRows(target.strip)], verify_each=False)
    lower(module, target.panel, target.scheduler, target.winograd)
    if target.fused_rows:
        run_pipeline(module, [FuseWeightUpdate(target.fused_rows)])


def storable(target: Target) -> list[Stage]:
    """The stages from ``--emit=linalg`` to what the target can load and store."""
    return [WidenBits(target.storage_bits)] if target.storage_bits > 8 else []
