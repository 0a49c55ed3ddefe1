# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which operations may look into a parameter's storage when they run.

A read is no copy. IREE hands the storage itself to the dispatches that use the value, and it fuses: what
computes from a value may run where its result is used. The rules here say how far that reaches:

* a view, a slice or a conversion of a value is made inside each dispatch that uses it, so everybody who
  uses *that* looks at the storage too;
* an operation with a single consumer may run inside the consumer's dispatch: elementwise operations in
  front of and behind a contraction, convolution or reduction, but never one of those inside another;
* scalar arithmetic may be repeated wherever the scalar is used.

``compiler/analysis/state_hazards.py`` proves for the compiled module that this was enough.
"""

from pock.dialects.types import is_vtensor, shape_of

from .block_graph import BlockGraph

SINKS = ("sparsebp.assign", "sparsebp.update", "func.return")
"""Operations that take finished values: what they are given has been computed where it stands."""

_VIEWS = {
    "sparsebp.select_channels", "torch.aten._reshape_alias", "torch.aten._unsafe_view",
    "torch.aten.alias", "torch.aten.as_strided", "torch.aten.broadcast_to", "torch.aten.clone",
    "torch.aten.contiguous", "torch.aten.detach", "torch.aten.diagonal", "torch.aten.expand",
    "torch.aten.expand_as", "torch.aten.flatten.using_ints", "torch.aten.narrow", "torch.aten.numpy_T",
    "torch.aten.permute", "torch.aten.reshape", "torch.aten.select.int", "torch.aten.slice.Tensor",
    "torch.aten.squeeze", "torch.aten.squeeze.dim", "torch.aten.squeeze.dims", "torch.aten.t",
    "torch.aten.to.dtype", "torch.aten.transpose.int", "torch.aten.unflatten.int", "torch.aten.unfold",
    "torch.aten.unsqueeze", "torch.aten.view", "torch.prim.ListConstruct", "torch.prims.collapse",
    "torch.prims.convert_element_type", "torch.prims.split_dim", "torch.prims.squeeze",
    "torch.prims.view_of",
}  # fmt: skip

#: Beginnings of names: contractions, convolutions, poolings, reductions.
_CONTRACTIONS = (
    "sparsebp.avg_pool", "sparsebp.conv", "sparsebp.embedding_grad", "sparsebp.max_pool",
    "sparsebp.random_", "torch.aten._adaptive_avg_pool", "torch.aten._convolution",
    "torch.aten._log_softmax", "torch.aten._scaled_dot_product", "torch.aten._softmax",
    "torch.aten.adaptive_avg_pool", "torch.aten.adaptive_max_pool", "torch.aten.addbmm",
    "torch.aten.addmm", "torch.aten.addmv", "torch.aten.all", "torch.aten.amax", "torch.aten.amin",
    "torch.aten.any", "torch.aten.argmax", "torch.aten.argmin", "torch.aten.avg_pool",
    "torch.aten.baddbmm", "torch.aten.batch_norm", "torch.aten.bmm", "torch.aten.conv",
    "torch.aten.cumsum", "torch.aten.dot", "torch.aten.einsum", "torch.aten.embedding_dense_backward",
    "torch.aten.group_norm", "torch.aten.layer_norm", "torch.aten.linalg_vector_norm",
    "torch.aten.linear", "torch.aten.log_softmax", "torch.aten.logsumexp", "torch.aten.matmul",
    "torch.aten.max.dim", "torch.aten.max_pool", "torch.aten.mean", "torch.aten.min.dim",
    "torch.aten.mm", "torch.aten.mv", "torch.aten.native_batch_norm", "torch.aten.native_group_norm",
    "torch.aten.native_layer_norm", "torch.aten.nll_loss", "torch.aten.norm", "torch.aten.prod",
    "torch.aten.softmax", "torch.aten.sort", "torch.aten.std", "torch.aten.sum", "torch.aten.topk",
    "torch.aten.upsample", "torch.aten.var",
)  # fmt: skip


def is_view(name: str) -> bool:
    """Whether the operation costs nothing: its result is its operand's storage or made while it is read."""
    return name in _VIEWS


def is_contraction(name: str) -> bool:
    """Whether the operation is the root of a dispatch: a contraction, convolution, pooling or reduction."""
    return name.startswith(_CONTRACTIONS)


def _is_scalar(graph: BlockGraph, i: int) -> bool:
    return all(is_vtensor(r.type) and shape_of(r.type) == () for r in graph.operations[i].results)


def observers(graph: BlockGraph, read: int) -> set[int]:
    """The operations that may look at what operation ``read`` has read, itself among them, sinks not."""
    found = {read}
    # What the last contraction in front of a value is, if any: it reads the storage, and what follows may be
    # fused behind it, but not another contraction.
    pending: list[tuple[int, bool]] = [(read, False)]
    seen = set(pending)
    while pending:
        producer, behind = pending.pop()
        for user in graph.users[producer]:
            name = graph.names[user]
            if name in SINKS or (behind and is_contraction(name)):
                continue
            found.add(user)
            onward = (user, behind or is_contraction(name))
            if onward not in seen and _reaches_on(graph, user, onward[1]):
                seen.add(onward)
                pending.append(onward)
    return found


def _reaches_on(graph: BlockGraph, i: int, behind: bool) -> bool:
    if not behind and (is_view(graph.names[i]) or _is_scalar(graph, i)):
        return True
    return len(graph.users[i]) == 1


def returned_views(graph: BlockGraph, read: int) -> list[int]:
    """The ``func.return`` operations that return a view of what operation ``read`` has read."""
    found, pending = [], [read]
    while pending:
        for user in graph.users[pending.pop()]:
            if graph.names[user] == "func.return":
                found.append(user)
            elif is_view(graph.names[user]):
                pending.append(user)
    return found
