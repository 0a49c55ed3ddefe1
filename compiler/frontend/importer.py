# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ATen graphs to the torch dialect, with sparsebp operations for parameters and their updates."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch._functorch._aot_autograd.descriptors import (
    BufferAOTInput,
    GradAOTOutput,
    InputMutationAOTOutput,
    ParamAOTInput,
    PlainAOTOutput,
    TangentAOTInput,
)
from torch_mlir import ir
from torch_mlir.extras.fx_importer import ContextCache, FxImporter

from pock.compiler.analysis.parameter_roles import dimension_names, parameter_roles
from pock.compiler.passes.simplify import Simplify
from pock.compiler.source import Part, Source
from pock.compiler.state import SEED, STEP, count_steps, declare_random_state
from pock.compiler.torch_ir import (
    TorchBuilder,
    body,
    constant,
    functions,
    operations,
    set_function_type,
)
from pock.dialects import sparsebp
from pock.dialects.sparsebp import Mask
from pock.dialects.types import builtin_tensor, vtensor

from .gradients import user_frames
from .layers import SOURCE, layer_of_parameter, sources
from .task import TaskError

aten = torch.ops.aten

#: Operations that do nothing in a functional graph.
_NO_OPS = (aten.alias.default, aten.detach.default, aten.clone.default, aten.lift_fresh_copy.default)

#: Operations that draw from the program's seed and step.
_RANDOM = ("sparsebp.random_mask", "sparsebp.random_uniform")


@dataclass
class Graph:
    """A functional ATen graph of AOTAutograd. ``public`` maps its parameter slots to users' names."""

    graph: torch.fx.Graph
    public: Mapping[str, str]

    def forward(self) -> "Graph":
        """A copy of a joint graph without its gradients: what is left of the backward pass is dead code."""
        copy, nodes = torch.fx.Graph(), dict[torch.fx.Node, torch.fx.Node]()
        copy.graph_copy(self.graph, nodes)
        output = self.graph.find_nodes(op="output")[0]
        kept = [
            (nodes[value], descriptor)
            for value, descriptor in zip(output.args[0], output.meta["desc"], strict=True)
            if value is not None and not isinstance(descriptor, GradAOTOutput)
        ]
        result = copy.output(tuple(value for value, _ in kept))
        result.meta["desc"] = [descriptor for _, descriptor in kept]
        return Graph(copy, self.public)


@dataclass
class _Result:
    """What a graph's outputs are, besides losses and predictions, in the order of the outputs."""

    kind: str  # "gradient" or "buffer"
    name: str


class _Located(ContextCache):
    """Names the locations of operations by the layers that they come from."""

    def get_node_location(self, node: torch.fx.Node) -> ir.Location | None:
        location, source = super().get_node_location(node), node.meta.get(SOURCE)
        return location if source is None or location is None else source.around(location)


class Importer:
    """Builds the module of one training program. A context manager: MLIR's context is entered."""

    def __init__(self) -> None:
        self.context = sparsebp.context()
        self._fx = FxImporter(context=self.context)
        self._fx._cc = _Located(self.context)

    def __enter__(self) -> "Importer":
        self._stack = ExitStack()
        self._stack.enter_context(self.context)
        # Attributes need a location for their errors; operations are given their own.
        self._stack.enter_context(ir.Location.unknown())
        return self

    def __exit__(self, *exc: Any) -> None:
        self._stack.close()

    def add_step(self, graph: Graph, parameters: Sequence[str], buffers: Sequence[str]) -> None:
        """Import the joint graph as ``@step``: gradients become updates, new buffer values assigns."""
        self._parameters, self._buffers = parameters, buffers
        self.add_function("step", graph)

    def add_function(self, name: str, graph: Graph) -> None:
        """Import a graph as ``@name``, its parameters and buffers read from their declarations."""
        results = _prepare_outputs(graph)
        _prepare_nodes(graph.graph)
        inputs = [_input_role(node, graph.public) for node in graph.graph.find_nodes(op="placeholder")]
        function = self._fx.import_stateless_graph(graph.graph, func_name=name)
        _lift_arguments(function, inputs)
        _lift_results(function, results)

    def finish(self, shapes: Mapping[str, tuple[int, ...]], inputs: int) -> ir.Module:
        """Declare parameters and state in front of the functions and return the checked module.

        ``@predict`` is ``@evaluate`` of the first ``inputs`` arguments, without its loss.
        """
        module = self._fx.module
        _add_prediction(module, inputs)
        for function in functions(module).values():
            _raise_random(function)
        self._declare(module, shapes)
        if any(_draws(function) for function in functions(module).values()):
            declare_random_state(module)
            count_steps(module)
        Simplify().apply(module)
        if not module.operation.verify() or not sparsebp.verify_program(module):
            raise RuntimeError("the importer built an invalid program")
        return module

    def _declare(self, module: ir.Module, shapes: Mapping[str, tuple[int, ...]]) -> None:
        roles = parameter_roles(module)
        types = _declared_types(module)
        assigned = _assigned(module)
        anchor = TorchBuilder(module.body.operations[0], ir.Location.unknown())
        for name in (*self._parameters, *self._buffers):
            if name not in types:
                continue  # nothing reads it
            names, channels = dimension_names(roles.get(name), shapes[name])
            trainable = name in self._parameters
            full = trainable or name in assigned
            attributes: dict[str, ir.Attribute] = {
                "sym_name": ir.StringAttr.get(name),
                "type": ir.TypeAttr.get(types[name]),
                "dimensions": ir.ArrayAttr.get([ir.StringAttr.get(n) for n in names]),
                "role": ir.StringAttr.get("parameter" if trainable else "buffer"),
                "mask": (Mask.full() if full else Mask.none()).to_attr(),
            }
            if channels is not None and trainable:
                attributes["channel_dimension"] = ir.StringAttr.get(channels)
            anchor.create("sparsebp.parameter", [], [], attributes)


# -- FX graphs ----------------------------------------------------------------------------------


def _prepare_outputs(graph: Graph) -> list[_Result]:
    """Order the outputs: losses and predictions first, then gradients, then new buffer values.

    Parameters without a gradient have None there, which is dropped.
    """
    output = graph.graph.find_nodes(op="output")[0]
    plain: list[Any] = []
    special: list[tuple[_Result, Any]] = []
    for value, descriptor in zip(output.args[0], output.meta["desc"], strict=True):
        if value is None:
            continue
        if isinstance(descriptor, PlainAOTOutput):
            plain.append(value)
        elif isinstance(descriptor, GradAOTOutput):
            parameter = descriptor.grad_of
            if isinstance(parameter, ParamAOTInput):
                special.append((_Result("gradient", graph.public[parameter.target]), value))
        elif isinstance(descriptor, InputMutationAOTOutput):
            buffer = descriptor.mutated_input
            if not isinstance(buffer, BufferAOTInput):
                raise TaskError(f"the model overwrites one of its inputs or parameters in place ({buffer})")
            special.append((_Result("buffer", graph.public[buffer.target]), value))
        else:
            raise TaskError(f"the model has an output of an unexpected kind: {descriptor}")
    special.sort(key=lambda item: item[0].kind, reverse=True)
    output.args = ((*plain, *(value for _, value in special)),)
    return [result for result, _ in special]


def _prepare_nodes(graph: torch.fx.Graph) -> None:
    """Drop operations that do nothing and keep only the user's frames of stack traces."""
    for node in list(graph.nodes):
        if node.target in _NO_OPS:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
            continue
        frames = user_frames(node.meta.get("stack_trace"))
        node.meta["stack_trace"] = "\n".join(f'  File "{f}", line {n}, in {fn}' for f, n, fn in frames)
    graph.eliminate_dead_code()
    for node, source in sources(graph).items():
        node.meta[SOURCE] = source


def _input_role(node: torch.fx.Node, public: Mapping[str, str]) -> str | None:
    """The declaration that a placeholder reads, "" for the tangent of the loss, None for an input."""
    descriptor = node.meta["desc"]
    if isinstance(descriptor, ParamAOTInput | BufferAOTInput):
        return public[descriptor.target]
    return "" if isinstance(descriptor, TangentAOTInput) else None


# -- functions ----------------------------------------------------------------------------------


def _lift_arguments(function: Any, roles: Sequence[str | None]) -> None:
    """Parameter arguments become reads, the tangent of the loss the constant one."""
    block = body(function)
    builder = TorchBuilder(block.operations[0], function.operation.location)
    for i, role in reversed(list(enumerate(roles))):
        if role is None:
            continue
        argument = block.arguments[i]
        if argument.uses is not None and any(True for _ in argument.uses):
            value = _one(builder, argument.type) if role == "" else builder.read(role, argument.type)
            argument.replace_all_uses_with(value)
        block.erase_argument(i)
    set_function_type(function)


def _one(builder: TorchBuilder, type_: ir.Type) -> ir.Value:
    tensor = builtin_tensor(type_)
    splat = ir.DenseElementsAttr.get_splat(tensor, ir.FloatAttr.get(tensor.element_type, 1.0))
    value: ir.Value = builder.create("torch.vtensor.literal", [], [type_], {"value": splat})
    return value


def _lift_results(function: Any, results: Sequence[_Result]) -> None:
    """The last results become updates (gradients) and assigns (buffers)."""
    terminator = list(body(function).operations)[-1]
    values = list(terminator.operation.operands)
    plain = len(values) - len(results)
    builder = TorchBuilder(terminator)
    full = Mask.full().to_attr()
    for result, value in zip(results, values[plain:], strict=True):
        builder.location = value.location
        if result.kind != "gradient":
            builder.write("assign", result.name, full, value)
            continue
        builder.location = Source(Part.UPDATE, layer_of_parameter(result.name)).around(value.location)
        builder.write("update", result.name, full, value)
    builder.location = terminator.operation.location
    builder.create("func.return", values[:plain], [])
    terminator.operation.erase()
    set_function_type(function)


def _add_prediction(module: ir.Module, inputs: int) -> None:
    """Derive ``@predict`` from ``@evaluate``: all but the loss, and the arguments of only the loss."""
    evaluate = functions(module)["evaluate"]
    predict = evaluate.operation.clone(ir.InsertionPoint(evaluate))
    predict.attributes["sym_name"] = ir.StringAttr.get("predict")
    terminator = list(body(predict).operations)[-1]
    outputs = list(terminator.operation.operands)[1:]
    TorchBuilder(terminator).create("func.return", outputs, [])
    terminator.operation.erase()
    for op in reversed(list(body(predict).operations)[:-1]):
        if not any(True for result in op.operation.results for _ in result.uses):
            op.operation.erase()
    for i in reversed(range(inputs, len(body(predict).arguments))):
        body(predict).erase_argument(i)
    set_function_type(predict)


def _raise_random(function: Any) -> None:
    """``torch.operator "torch.sparsebp.random_…"`` to the operation of the dialect."""
    for op in operations(function, "torch.operator"):
        name = ir.StringAttr(op.operation.attributes["name"]).value.removeprefix("torch.")
        if name not in _RANDOM:
            continue
        builder = TorchBuilder(op)
        *_, stream = op.operation.operands
        attributes = {"stream": ir.IntegerAttr.get(ir.IntegerType.get_signless(64), constant(stream))}
        if name == "sparsebp.random_mask":
            probability = constant(op.operation.operands[1])
            attributes["probability"] = ir.FloatAttr.get(ir.F64Type.get(), probability)
        scalar = vtensor((), "si64")
        state = [builder.read(SEED, scalar), builder.read(STEP, scalar)]
        drawn = builder.create(name, state, [op.operation.results[0].type], attributes)
        op.operation.results[0].replace_all_uses_with(drawn)
        op.operation.erase()


def _draws(function: Any) -> bool:
    """Whether the function draws random numbers."""
    return any(op.operation.name in _RANDOM for op in operations(function))


# -- declarations -------------------------------------------------------------------------------


def _declared_types(module: ir.Module) -> dict[str, ir.Type]:
    """Parameter or buffer name -> its builtin tensor type, from its readers and writers."""
    types: dict[str, ir.Type] = {}
    for op in sparsebp.symbols.symbol_users(module):
        name = ir.FlatSymbolRefAttr(op.operation.attributes["symbol"]).value
        value = op.operation.results[0] if op.operation.results else op.operation.operands[0]
        types.setdefault(name, builtin_tensor(value.type))
    return types


def _assigned(module: ir.Module) -> set[str]:
    return {
        ir.FlatSymbolRefAttr(op.operation.attributes["symbol"]).value
        for op in sparsebp.symbols.symbol_users(module)
        if op.operation.name == "sparsebp.assign"
    }
