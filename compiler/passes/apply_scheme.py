# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``sparsebp-apply-scheme``: an update scheme becomes masks on the parameters' declarations."""

import json
from dataclasses import dataclass
from typing import Any, ClassVar

from torch_mlir import ir

from pock.compiler.analysis.declared import dimensions_of, role_of, symbol_of
from pock.compiler.errors import UsageError
from pock.compiler.scheme import ParameterInfo, Scheme
from pock.compiler.torch_ir import operations, step_of
from pock.dialects.sparsebp import declarations

from .base import Pass, fail_at


@dataclass(frozen=True)
class ApplyScheme(Pass):
    """Sets the update mask of every parameter from an update scheme.

    Before, with the scheme ``{match: "*.weight", update: {channels: 0.5}}``::

        "sparsebp.parameter"() {sym_name = "conv.weight", type = tensor<8x16x1x1xf32>,
            channel_dimension = "input_channels", mask = #sparsebp.mask<"full", "", array<i64>>, …}
        "sparsebp.parameter"() {sym_name = "conv.bias", mask = #sparsebp.mask<"full", "", array<i64>>, …}

    After::

        "sparsebp.parameter"() {sym_name = "conv.weight", type = tensor<8x16x1x1xf32>,
            channel_dimension = "input_channels",
            mask = #sparsebp.mask<"range", "input_channels", array<i64: 0, 8>>, …}
        "sparsebp.parameter"() {sym_name = "conv.bias", mask = #sparsebp.mask<"none", "", array<i64>>, …}

    Only declarations change: ``sparsebp-prune-backward`` brings the functions in line. Buffers keep their
    masks. A parameter has a gradient if ``@step`` holds a ``sparsebp.update`` of it; a rule that trains one
    without is an error unless its pattern has wildcards and also matches one with (see ``Scheme.resolve``).
    """

    name: ClassVar[str] = "sparsebp-apply-scheme"

    scheme: str = ""
    """Path of the scheme, a YAML file; with ``rules`` only the name that errors call the scheme by."""

    rules: str = ""
    """The list of rules itself as YAML or JSON, instead of a file."""

    @classmethod
    def of(cls, scheme: Scheme) -> "ApplyScheme":
        """The pass that applies ``scheme``."""
        return cls(scheme=scheme.source, rules=json.dumps(scheme.to_dict()["rules"]))

    def load(self) -> Scheme:
        """The scheme that the options name; raises ``SchemeError`` or ``UsageError``."""
        if self.rules:
            return Scheme.from_yaml(f"version: 1\nrules: {self.rules}", self.scheme or "scheme")
        if not self.scheme:
            raise UsageError(f"pass '{self.name}' needs option 'scheme' or 'rules'")
        return Scheme.from_file(self.scheme)

    def apply(self, module: ir.Module) -> None:
        scheme = self.load()
        step = step_of(module)
        updated = {symbol_of(update) for update in operations(step, "sparsebp.update")}
        parameters = {name: op for name, op in declarations(module).items() if role_of(op) == "parameter"}
        infos = {name: parameter_info(op, name in updated) for name, op in parameters.items()}
        for name, mask in scheme.resolve(infos).items():
            parameters[name].operation.attributes["mask"] = mask.to_attr()


def parameter_info(op: Any, has_gradient: bool) -> ParameterInfo:
    """What a scheme needs to know, from a ``sparsebp.parameter``."""
    attributes = op.operation.attributes
    dimensions = tuple(dimensions_of(op))
    channel = None
    if "channel_dimension" in attributes:
        channel = ir.StringAttr(attributes["channel_dimension"]).value
        if channel not in dimensions:
            raise fail_at(op, f"channel_dimension '{channel}' is not one of {', '.join(dimensions)}")
    shape = tuple(ir.RankedTensorType(ir.TypeAttr(attributes["type"]).value).shape)
    return ParameterInfo(shape, dimensions, channel, has_gradient)
