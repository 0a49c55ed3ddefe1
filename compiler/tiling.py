# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Telling IREE how to generate code for its dispatches: the target's choice, attached to their loops.

At the stream phase dispatches are formed: what a loop nest is fused with, and in which order its loops
are, is final.
"""

import re
from collections.abc import Callable
from typing import Any

from iree.compiler import ir
from iree.compiler.passmanager import PassManager

from pock.targets.loops import LoopNest, Subscript, Tiling

from .analysis import stream_ir

Choose = Callable[[LoopNest, int], Tiling | None]
"""The tiling of a loop nest on a target with vectors of some bytes, or None to leave it to IREE."""

_VECTOR_SIZE = re.compile(r"native_vector_size = (\d+)")

#: Gives convolutions of one image, whose batch IREE has dropped, that batch back. IREE does the same as it
#: generates code, and then loses what is attached to them.
_WITH_BATCH = "iree-codegen-insert-batch-dim-for-batchless-conv"

_PRODUCT = {"arith.mulf", "arith.addf", "arith.extf", "linalg.yield"}


def configure(stream: ir.Module, choose: Choose) -> int:
    """Attach tilings to the dispatches of a module at the stream phase; how many got one."""
    found = _VECTOR_SIZE.search(_device(stream))
    if found is None:
        return 0
    with stream.context:
        pipeline = f"builtin.module(stream.executable(builtin.module(func.func({_WITH_BATCH}))))"
        PassManager.parse(pipeline).run(stream.operation)
    count = 0
    for kernel in stream_ir.kernels(stream).values():
        root = _root(kernel)
        nest = None if root is None else _nest(root)
        tiling = None if nest is None else choose(nest, int(found[1]))
        if root is not None and tiling is not None:
            info = ir.Attribute.parse(tiling.compilation_info, stream.context)
            root.attributes["compilation_info"] = info
            count += 1
    return count


def _root(function: Any) -> Any | None:
    """The only loop nest of a dispatch, or the only reduction, if it is the first and the others are as deep.

    IREE would compute whole for each tile what is computed in front of it, or along further loops.
    """
    nests = [
        op.operation
        for op in function.regions[0].blocks[0].operations
        if op.operation.name.startswith("linalg.") and op.operation.name != "linalg.fill"
    ]
    if not nests:
        return None
    root, *rest = nests
    if not _is_reduction(root) and (rest or root.name != "linalg.generic"):
        return None
    loops = ir.RankedTensorType(root.results[0].type).rank
    follows = [not _is_reduction(op) and _rank(op) <= loops for op in rest]
    return root if all(follows) else None


def _rank(op: Any) -> int:
    """The largest rank among an operation's results, which its loops are as many as."""
    return max(ir.RankedTensorType(result.type).rank for result in op.results)


def _device(stream: ir.Module) -> str:
    """The text of what says which device the module is for."""
    return "".join(str(op) for op in stream.body.operations if "__device" in stream_ir.symbol(op))


_PRODUCTS = ("linalg.batch_matmul", "linalg.matmul")


def _is_reduction(op: Any) -> bool:
    operation = op.operation
    if operation.name != "linalg.generic":
        return operation.name in _PRODUCTS and "indexing_maps" in operation.attributes
    return any("reduction" in str(kind) for kind in ir.ArrayAttr(operation.attributes["iterator_types"]))


def _nest(op: Any) -> LoopNest | None:
    """The loops of an operation on tensors of static shape."""
    maps = [ir.AffineMapAttr(attribute).value for attribute in ir.ArrayAttr(op.attributes["indexing_maps"])]
    subscripts = [_subscripts(m) for m in maps]
    if any(s is None for s in subscripts):
        return None
    if "iterator_types" in op.attributes:
        kinds = ["parallel" in str(kind) for kind in ir.ArrayAttr(op.attributes["iterator_types"])]
    else:
        written = {d for terms in subscripts[-1] or () for d, _ in terms}
        kinds = [d in written for d in range(maps[-1].n_dims)]
    known = [s for s in subscripts if s is not None]
    sizes: dict[int, int] = {}
    for value, subscript in zip(op.operands, known, strict=True):
        if not isinstance(value.type, ir.RankedTensorType):
            return None
        for terms, size in zip(subscript, ir.RankedTensorType(value.type).shape, strict=True):
            if len(terms) == 1 and terms[0][1] == 1:
                sizes[terms[0][0]] = size
    if set(sizes) != set(range(len(kinds))) or min(sizes.values(), default=0) < 1:
        return None
    first = len(known) - len(op.results)
    body = {inner.operation.name for inner in op.regions[0].blocks[0].operations}
    return LoopNest(
        sizes=tuple(sizes[d] for d in range(len(kinds))),
        parallel=tuple(kinds),
        inputs=tuple(known[:first]),
        output=known[first],
        multiplies="arith.mulf" in body and body <= _PRODUCT,
        more=tuple(known[first + 1 :]),
    )


def _subscripts(map_: Any) -> tuple[Subscript, ...] | None:
    """The results of an affine map as sums of loops times numbers, or None if they are anything else."""
    texts = re.sub(r"^.*->\s*\((.*)\)>?$", r"\1", str(map_).strip()).split(",")
    found = []
    for text in (t.strip() for t in texts):
        if not text:
            continue
        terms = []
        for term in text.split(" + "):
            matched = re.fullmatch(r"d(\d+)(?: \* (\d+))?", term)
            if matched is None:
                return None
            terms.append((int(matched[1]), int(matched[2] or 1)))
        found.append(tuple(terms))
    return tuple(found)
