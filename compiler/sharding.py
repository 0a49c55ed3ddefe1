# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Whether it pays to divide a step among cores, and how.

By its batch (``sparsebp-split-batch``) or by its channels (``sparsebp-split-channels``).

Each core reads all weights, and so gains where a batch's activations are much more than these, and where
cores would often wait for each other: after each of many small products. The steps of MobileNets and of small
encoders do, those of a ResNet-50 on small pictures and of a decoder do not. Where activations are large, a
core takes its part of the batch in several smaller ones, so that what one operation makes is still in the
cache when the next one reads it. ``python -m pock.benchmarks.shards`` measures these ways on the machine that
it runs on.

Cores that share channels read their own weights only, and exchange activations. They gain where these are
few, as they are of one picture, of whose first layers each core computes some rows (``sparsebp-share-rows``):
``python -m pock.benchmarks.ranks`` measures it.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch_mlir import ir

from pock.dialects.types import bytes_of, is_vtensor

from .analysis.ranks import estimate
from .errors import PassFailure
from .opt import blaming, run_pipeline, verify
from .optimizers import Optimizer
from .passes.share_rows import ShareRows
from .passes.split_batch import SplitBatch
from .passes.split_channels import SplitChannels, of_all_ranks
from .program import TrainingProgram
from .scheme import Scheme
from .stages import masked, pruned
from .torch_ir import copied, gradients_of, operations, step_of

MOST = 0.25
"""Bytes of weights, by those of activations, up to which dividing pays."""

MOST_EACH = 500_000
"""Bytes of weights, by the number of products, up to which it pays.

Cores that do not divide a batch wait for each other after each product, which takes as long as reading so
many weights once more. ``python -m pock.benchmarks.shards`` prints it beside both times: Transformers with
less gained, those with more did not.
"""

LEAST = 2 << 20
"""Bytes of activations from which it pays: telling a core what to do takes some time."""

MOST_MADE = 12 << 20
"""Bytes of an activation of a part of the batch up to which a smaller part gains nothing.

Some operation makes it and the next one reads it, so it is to stay in a core's share of the cache. On two
cores with 32 MiB between them, steps of a MobileNetV2 or an EfficientNet-Lite0 on 8 pictures of 224 x 224,
whose largest activation has 19 MB for four of them, take 5 to 14 % longer in parts of four than in parts of
two, and up to a third more memory; those of a MobileNetV2 on pictures of 128 x 128, with 6 MB for four of
them, a sixth less time. ``python -m pock.benchmarks.shards`` prints it beside the times.
"""

MOST_EXCHANGED = 400_000
"""Bytes of an exchange between ranks, on average, up to which sharing channels pays."""

MOST_WAITED = 0.4
"""Time of a step's exchanges, by that of its products on one core, up to which sharing channels pays."""

LEAST_PRODUCTS = 1e-4
"""Seconds of products from which it pays: it takes about as long to wake a core."""

_MAKING = (
    "torch.aten.mm", "torch.aten.bmm", "torch.aten.convolution", "sparsebp.conv_input_grad",
)  # fmt: skip
"""Operations whose results count as activations, gradients of linear layers' weights among them.

What is computed from the results is mostly fused with them.
"""


class Division(NamedTuple):
    """How a step is divided among cores: its batch into ``shards``, or layers' channels among ``ranks``."""

    shards: int = 1
    ranks: int = 1


def worthwhile_division(
    program: TrainingProgram, scheme: Scheme, optimizer: Optimizer, cores: int
) -> Division:
    """How a step of the program is fastest on ``cores``, as estimated; whole where dividing gains nothing."""
    module = program.copy_module()
    run_pipeline(module, [*masked(scheme), *pruned()], verify_each=False)
    return divided_among(cores, module, optimizer)[0]


def divided_among(cores: int, module: ir.Module, optimizer: Optimizer) -> tuple[Division, list[ir.Module]]:
    """How a pruned step is fastest on ``cores``, as estimated, and the programs that it becomes so."""
    if cores < 2:
        return Division(), [module]
    by_batch = _gaining(_gains_by_shards, module, shards := Division(shards=cores))
    if by_batch is not None:
        return _in_smaller_parts(module, shards, by_batch)
    # What each gradient is scaled by is their norm, of which a rank knows its part.
    ranked = optimizer.clip_grad_norm is None
    if ranked and (by_channels := _gaining(_gains_by_ranks, module, Division(ranks=cores))) is not None:
        return Division(ranks=cores), by_channels
    return Division(), [module]


def divided(module: ir.Module, division: Division) -> list[ir.Module]:
    """The programs that a pruned one becomes, of which the first is ``module``: one for each rank."""
    if division.shards > 1:
        run_pipeline(module, [SplitBatch(division.shards)])
    if division.ranks == 1:
        return [module]
    run_pipeline(module, [ShareRows(division.ranks)])
    with blaming(SplitChannels.name), module.context, ir.Location.unknown():
        modules = of_all_ranks(module, division.ranks)
    for each in modules:
        verify(each, SplitChannels.name)
    return modules


def _gaining(
    gains: Callable[[ir.Module, ir.Module, int], bool], module: ir.Module, division: Division
) -> list[ir.Module] | None:
    """The programs that ``module`` becomes if it is divided, None if that cannot be or gains nothing."""
    modules = _tried(module, division)
    return modules if modules is not None and gains(module, modules[0], max(division)) else None


def _tried(module: ir.Module, division: Division) -> list[ir.Module] | None:
    """The programs that ``module`` becomes if it is divided, None if that cannot be."""
    try:
        return divided(copied(module), division)
    except PassFailure:
        return None


def _in_smaller_parts(
    module: ir.Module, division: Division, modules: list[ir.Module]
) -> tuple[Division, list[ir.Module]]:
    """The same with twice as many parts of the batch, and so on, as long as activations of one are large."""
    while largest_activation(modules[0]) > MOST_MADE:
        more = Division(shards=2 * division.shards)
        smaller = _tried(module, more)
        if smaller is None:
            break
        division, modules = more, smaller
    return division, modules


def _gains_by_shards(_: ir.Module, part: ir.Module, cores: int) -> bool:
    """Whether a step is faster with as many parts of the batch."""
    weights, activations = weights_and_activations(part, cores)
    return activations >= LEAST and weights <= min(MOST * activations, MOST_EACH * products_of(part))


def _gains_by_ranks(whole: ir.Module, part: ir.Module, cores: int) -> bool:
    """Whether a step is faster where cores share its channels."""
    alone, shared = estimate(step_of(whole)), estimate(step_of(part))
    return (
        alone.products >= LEAST_PRODUCTS
        and shared.products <= alone.products * (1 + 1 / cores) / 2
        and 0 < shared.exchanged <= MOST_EXCHANGED * shared.exchanges
        and shared.waited <= MOST_WAITED * alone.products
    )


def weights_and_activations(module: ir.Module, count: int) -> tuple[int, int]:
    """Bytes of the state that ``@gradients`` reads, and of the activations of all ``count`` parts."""
    gradients = gradients_of(module)
    values = [op.operation.results[0] for op in operations(gradients, "sparsebp.read")]
    read = sum(_bytes(value) for value in values if not _is_table(value))
    made = sum(_bytes(op.operation.results[0]) for name in _MAKING for op in operations(gradients, name))
    return read, count * made


def largest_activation(module: ir.Module) -> int:
    """Bytes of the largest activation of ``@gradients``."""
    made = (op for name in _MAKING for op in operations(gradients_of(module), name))
    return max((_bytes(op.operation.results[0]) for op in made), default=0)


def products_of(module: ir.Module) -> int:
    """How many products ``@gradients`` computes."""
    return sum(1 for name in _MAKING for _ in operations(gradients_of(module), name))


def _is_table(value: ir.Value) -> bool:
    """Whether a few rows of a value are looked up and no more."""
    return all(use.owner.operation.name == "torch.aten.embedding" for use in value.uses)


def _bytes(value: ir.Value) -> int:
    if not is_vtensor(value.type):
        return 0
    return bytes_of(value.type)
