# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tracing a training task: PyTorch module to training program.

The model and loss are exported once with ``torch.export``, which records the user's source lines,
and AOTAutograd derives the joint graph of forward and backward from that, with every parameter
trainable. ``FxImporter`` brings the graph into the torch dialect; ``importer`` turns parameters and
gradients into sparsebp operations.
"""

import inspect
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from importlib.metadata import version
from traceback import StackSummary
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch import Tensor
from torch._functorch.aot_autograd import aot_export_joint_with_descriptors
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import traceback as fx_traceback
from torch.fx.proxy import TracerBase
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import _pytree as pytree

from pock.compiler.program import Signature, TensorSpec, TrainingProgram

from . import importer
from .decompositions import decompositions
from .gradients import check_deterministic, check_differentiable, is_users, raised_at
from .modes import EXPORTED, evaluation_graph, evaluation_mode, training_graph, training_mode
from .task import TaskError, TrainingTask

_DTYPES = {
    torch.float32: "float32", torch.float64: "float64", torch.float16: "float16", torch.bfloat16: "bfloat16",
    torch.int64: "int64", torch.int32: "int32", torch.int16: "int16", torch.int8: "int8",
    torch.uint8: "uint8", torch.bool: "bool",
}  # fmt: skip


#: Functions of a compiled program, whose symbols parameters cannot share.
ENTRY_POINTS = ("init", "step", "predict", "evaluate")


def trace(task: TrainingTask) -> TrainingProgram:
    """The training program of ``task``, every parameter trained.

    Raises ``TaskError`` for a model that cannot be traced, for a loss that is no scalar, and for
    operations without a gradient or an import, all of them at once with their source lines.
    """
    with _quiet():
        return _trace(task)


@contextmanager
def _quiet() -> Iterator[None]:
    """PyTorch's exporter tells its story in warnings and logs; what matters of it is in our errors."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _trace(task: TrainingTask) -> TrainingProgram:
    # Copies, because PyTorch's exporter takes arguments that are one tensor for one argument.
    batch = tuple(tensor.detach().clone() for tensor in (*task.inputs, *task.targets))
    step, evaluate = _entry_points(task)
    trained, evaluated = _export(step, batch, "training"), _export(evaluate, batch, "evaluation")
    check_differentiable(trained)

    names = _Names(trained)
    joint = _joint(trained, batch, names)
    # Mostly the modes of the model make no difference, and the second graph would be found in the first.
    forward = joint.forward() if _is_same(trained, evaluated) else _forward(evaluated, batch, names)
    with importer.Importer() as imported:
        imported.add_step(joint, names.parameters, names.buffers)
        imported.add_function("evaluate", forward)
        module = imported.finish(names.shapes(), len(task.inputs))
    return TrainingProgram(
        module=module,
        parameters={name: _to_numpy(tensor) for name, tensor in names.values.items()},
        signature=Signature(
            model=task.model_name,
            inputs=_specs(task.inputs, _input_names(task), "input"),
            targets=_specs(task.targets, _target_names(task), "target"),
            outputs=_output_specs(evaluated),
            tied=names.tied,
        ),
        versions={package: version(package) for package in ("torch", "torch-mlir")},
    )


# -- what is exported ---------------------------------------------------------------------------


class _WithLoss(torch.nn.Module):
    """``(loss, *outputs)`` of a batch."""

    def __init__(self, model: torch.nn.Module, loss: Any, inputs: int) -> None:
        super().__init__()
        self.model = model
        self.loss = loss  # a module's own parameters and buffers come along under "loss."
        self.inputs = inputs

    def forward(self, *batch: Tensor) -> tuple[Tensor, ...]:
        outputs = self.model(*batch[: self.inputs])
        flat = pytree.tree_leaves(outputs)
        if not all(isinstance(value, Tensor) for value in flat):
            kinds = sorted({type(value).__name__ for value in flat if not isinstance(value, Tensor)})
            raise TaskError(f"the model must return tensors, got {', '.join(kinds)} among its outputs")
        loss = self.loss(outputs, *batch[self.inputs :])
        if not isinstance(loss, Tensor) or loss.ndim != 0 or not loss.dtype.is_floating_point:
            got = f"{loss.dtype} {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise TaskError(f"the loss must be a floating-point scalar, got {got}")
        return loss, *(value.detach() for value in flat)


@dataclass
class _EntryPoint:
    """A module and the mode that it is exported in."""

    module: torch.nn.Module
    mode: Callable[[], AbstractContextManager[None]]


def _entry_points(task: TrainingTask) -> tuple[_EntryPoint, _EntryPoint]:
    """Training step and evaluation of the task's model."""
    count = len(task.inputs)
    model = task.model
    if isinstance(model, ExportedProgram):
        trained, evaluated = training_graph(model, task.batch_norm), evaluation_graph(model)
        return (
            _EntryPoint(_WithLoss(trained, task.loss, count), nullcontext),
            _EntryPoint(_WithLoss(evaluated, task.loss, count), nullcontext),
        )
    assert isinstance(model, torch.nn.Module)
    module = _WithLoss(model, task.loss, count)
    return (
        _EntryPoint(module, lambda: training_mode(model, task.batch_norm)),
        _EntryPoint(module, lambda: evaluation_mode(model)),
    )


def _export(entry: _EntryPoint, batch: tuple[Tensor, ...], what: str) -> ExportedProgram:
    with ExitStack() as stack:
        stack.enter_context(entry.mode())
        # Other back ends of attention have no gradient that decomposes.
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(fx_traceback.preserve_node_meta())
        stack.enter_context(_whole_stack_traces())
        try:
            return torch.export.export(entry.module, batch, strict=False)
        except TaskError:
            raise
        except Exception as error:  # the model's own code runs here and may raise anything
            cause = error.__cause__ if isinstance(error.__cause__, TaskError) else error
            if isinstance(cause, TaskError):
                raise cause from None
            where = raised_at(error)
            raise TaskError(f"{where}the model cannot be traced for {what}: {_reason(error)}") from error


@contextmanager
def _whole_stack_traces() -> Iterator[None]:
    """Record every frame that ``_WithLoss`` has called; PyTorch keeps functions named ``forward`` alone."""

    def called(tracer: TracerBase, stack: StackSummary) -> StackSummary:
        start = max((i for i, frame in enumerate(stack) if frame.filename == __file__), default=-1)
        frames = stack[start + 1 :]
        # The innermost ones are the tracer's own: of PyTorch's, a layer's "forward" says most, and the
        # outermost is the loss where that is one of PyTorch's functions.
        telling = [f for f in frames if is_users(f.filename) or f.name == "forward"]
        return StackSummary.from_list(telling or frames[:1])

    kept = TracerBase._filter_traceback_frames
    TracerBase._filter_traceback_frames = called  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        TracerBase._filter_traceback_frames = kept  # type: ignore[method-assign]


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


# -- parameters and buffers ---------------------------------------------------------------------


def _public(target: str) -> str:
    """The user's name of ``model.<name>``; a loss module's tensors keep the prefix ``loss.``."""
    return target.removeprefix("model.").removeprefix(f"{EXPORTED}.")


class _Names:
    """Parameters, buffers and constants of the exported step by name; tied parameters are one."""

    def __init__(self, exported: ExportedProgram) -> None:
        self.values: dict[str, Tensor] = {}
        self.parameters: list[str] = []
        self.buffers: list[str] = []
        self.tied: dict[str, str] = {}
        seen: dict[int, str] = {}
        for spec in exported.graph_signature.input_specs:
            if spec.kind is InputKind.USER_INPUT or spec.target is None:
                continue
            name, tensor = _public(spec.target), tensor_of(exported, spec.target)
            if id(tensor) in seen:
                self.tied[name] = seen[id(tensor)]
                continue
            seen[id(tensor)] = name
            if name in ENTRY_POINTS:
                raise TaskError(
                    f"the model has a tensor named '{name}', which is an entry point of compiled programs; "
                    f"names to avoid at the top level are {', '.join(ENTRY_POINTS)}"
                )
            self.values[name] = tensor.detach()
            trainable = spec.kind is InputKind.PARAMETER and tensor.dtype.is_floating_point
            (self.parameters if trainable else self.buffers).append(name)

    def canonical(self, target: str) -> str:
        """The program's name for a target of an exported program."""
        name = _public(target)
        return self.tied.get(name, name)

    def adopt(self, name: str, tensor: Tensor) -> str:
        """The program's name for a tensor of any entry point, which only that may use.

        Constants are numbered in each: of one name, that of the evaluation may be another.
        """
        if name in self.values and _equal(self.values[name], tensor):
            return name
        while name in self.values:
            name = f"evaluation.{name}"
        self.values[name] = tensor.detach()
        self.buffers.append(name)
        return name

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(tensor.shape) for name, tensor in self.values.items()}


def tensor_of(exported: ExportedProgram, target: str) -> Tensor:
    """The tensor behind a parameter, buffer or lifted constant of an exported program."""
    found = exported.state_dict.get(target, exported.constants.get(target))
    if not isinstance(found, Tensor):
        raise TaskError(f"the model holds '{target}', a {type(found).__name__}; only tensors can be compiled")
    return found


def _equal(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors are one, or the same bit by bit."""
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    one = left.data_ptr() == right.data_ptr() and left.stride() == right.stride()
    return one or _to_numpy(left).tobytes() == _to_numpy(right).tobytes()


# -- graphs -------------------------------------------------------------------------------------


def _is_same(left: ExportedProgram, right: ExportedProgram) -> bool:
    """Whether two exported programs compute the same of the same tensors."""
    if any(node.op == "get_attr" for node in left.graph.nodes):
        return False  # a graph in the graph
    if [_described(node) for node in left.graph.nodes] != [_described(node) for node in right.graph.nodes]:
        return False
    if left.graph_signature != right.graph_signature:
        return False
    targets = [spec.target for spec in left.graph_signature.input_specs if spec.target is not None]
    return all(_equal(tensor_of(left, target), tensor_of(right, target)) for target in targets)


def _described(node: torch.fx.Node) -> tuple[str, ...]:
    """What a node does; as text, in which 1, 1.0, -0.0 and True differ, and NaN is itself."""
    return node.op, node.name, str(node.target), repr(node.args), repr(sorted(node.kwargs.items()))


class _Interpreted(torch.nn.Module):
    """Runs an exported graph node by node, so that traces of it carry each node's source line.

    Its parameters and buffers are registered once each, tied ones too, under ``slots``.
    """

    def __init__(self, exported: ExportedProgram, names: _Names, train: bool) -> None:
        super().__init__()
        self._graph = [exported.graph_module]  # in a list: not a submodule
        self._slots: list[str | None] = []
        self.public: dict[str, str] = {}
        for spec in exported.graph_signature.input_specs:
            if spec.kind is InputKind.USER_INPUT or spec.target is None:
                self._slots.append(None)
                continue
            tensor = tensor_of(exported, spec.target)
            name = names.adopt(names.canonical(spec.target), tensor)
            slot = next((s for s, n in self.public.items() if n == name), None)
            if slot is None:
                slot = f"s{len(self.public)}"
                self.public[slot] = name
                if name in names.parameters:
                    self.register_parameter(slot, torch.nn.Parameter(tensor.detach(), requires_grad=train))
                else:
                    self.register_buffer(slot, tensor.detach())
            self._slots.append(slot)

    def forward(self, *batch: Tensor) -> Any:
        remaining = iter(batch)
        arguments = [getattr(self, slot) if slot else next(remaining) for slot in self._slots]
        return torch.fx.Interpreter(self._graph[0]).run(*arguments)


def _joint(exported: ExportedProgram, batch: Sequence[Tensor], names: _Names) -> importer.Graph:
    return _aot(_Interpreted(exported, names, train=True), batch, torch.enable_grad)


def _forward(exported: ExportedProgram, batch: Sequence[Tensor], names: _Names) -> importer.Graph:
    return _aot(_Interpreted(exported, names, train=False), batch, torch.no_grad)


def _aot(module: _Interpreted, batch: Sequence[Tensor], grad_mode: Any) -> importer.Graph:
    """The functional ATen graph of ``module``, with gradients where its parameters require them."""
    with ExitStack() as stack:
        stack.enter_context(fx_traceback.preserve_node_meta())
        stack.enter_context(grad_mode())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        try:
            joint = aot_export_joint_with_descriptors(
                stack, module, tuple(batch), decompositions=decompositions()
            )
        except Exception as error:  # AOTAutograd reports the model's faults as whatever it tripped over
            raise TaskError(f"the gradient of the model cannot be derived: {_reason(error)}") from error
        check_deterministic(joint.graph_module.graph)
        return importer.Graph(joint.graph_module.graph, module.public)


# -- signature ----------------------------------------------------------------------------------


def _specs(tensors: Sequence[Tensor], given: Sequence[str] | None, prefix: str) -> tuple[TensorSpec, ...]:
    names = list(given or ())
    if len(names) != len(tensors) or len(set(names)) != len(names):
        names = [prefix if len(tensors) == 1 else f"{prefix}{i}" for i in range(len(tensors))]
    return tuple(
        TensorSpec(name, tuple(tensor.shape), _dtype(tensor.dtype, f"{prefix} '{name}'"))
        for name, tensor in zip(names, tensors, strict=True)
    )


def _dtype(dtype: torch.dtype, what: str) -> str:
    if dtype not in _DTYPES:
        raise TaskError(f"{what} has dtype {dtype}; supported are {', '.join(sorted(_DTYPES.values()))}")
    return _DTYPES[dtype]


def _input_names(task: TrainingTask) -> Sequence[str] | None:
    """The task's names, else those of ``forward``'s parameters."""
    if task.input_names is not None or isinstance(task.model, ExportedProgram):
        return task.input_names
    assert isinstance(task.model, torch.nn.Module)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(task.model.forward).parameters.values()
    return [p.name for p in parameters if p.kind in kinds][: len(task.inputs)]


def _target_names(task: TrainingTask) -> Sequence[str] | None:
    return task.target_names


def _output_specs(exported: ExportedProgram) -> tuple[TensorSpec, ...]:
    outputs = exported.graph_module.graph.find_nodes(op="output")[0].args[0]
    first = len(outputs) - len(exported.graph_signature.user_outputs) + 1  # buffers and the loss come before
    return _specs([node.meta["val"] for node in outputs[first:]], None, "output")


def _to_numpy(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype is torch.bfloat16:
        bits: np.ndarray = tensor.view(torch.int16).numpy()
        return bits.view(ml_dtypes.bfloat16).copy()
    array: np.ndarray = tensor.numpy()
    return array.copy()
