# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Loops of the dispatches that IREE has formed, as targets see them when they choose tile sizes."""

from dataclasses import dataclass

Subscript = tuple[tuple[int, int], ...]
"""A sum of loops times numbers: ``((0, 2), (3, 1))`` is ``2 * d0 + d3``."""


@dataclass(frozen=True)
class LoopNest:
    """A perfect loop nest over tensors: what ``linalg.generic`` is.

    ``sizes`` are the trip counts, ``parallel`` says which loops are (the others are reductions), ``inputs``
    and ``output`` the subscripts of the tensors, and ``multiplies`` whether the body is the product of two
    inputs, added up. ``more`` are the subscripts of further results.
    """

    sizes: tuple[int, ...]
    parallel: tuple[bool, ...]
    inputs: tuple[tuple[Subscript, ...], ...]
    output: tuple[Subscript, ...]
    multiplies: bool
    more: tuple[tuple[Subscript, ...], ...] = ()

    @property
    def reductions(self) -> tuple[int, ...]:
        """The reduction loops."""
        return tuple(i for i, parallel in enumerate(self.parallel) if not parallel)


def plain(subscripts: tuple[Subscript, ...]) -> tuple[int, ...] | None:
    """The loops of subscripts that are one loop each, or None if some are not."""
    loops = tuple(terms[0][0] for terms in subscripts if len(terms) == 1 and terms[0][1] == 1)
    return loops if len(loops) == len(subscripts) else None


@dataclass(frozen=True)
class Tiling:
    """How IREE is to generate code for a loop nest: attributes in IREE's syntax.

    ``peeled`` says that what is left over by tiles gets code of its own; else the last tile is masked.
    """

    lowering_config: str
    pipeline: str
    peeled: bool = False

    @property
    def compilation_info(self) -> str:
        """The attribute that tells IREE."""
        options = ", {enable_loop_peeling}" if self.peeled else ""
        return (
            "#iree_codegen.compilation_info<"
            f"lowering_config = {self.lowering_config}, "
            f"translation_info = #iree_codegen.translation_info<pipeline = {self.pipeline}{options}>>"
        )
