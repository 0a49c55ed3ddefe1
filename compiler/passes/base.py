# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a pass is, and running one.

A pass is a frozen dataclass whose fields are its command-line options. It changes a module in
place and leaves valid IR behind.
"""

import dataclasses
import re
import types
import typing
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Union, get_args, get_origin

from torch_mlir import ir

from pock.compiler.errors import PassFailure, UsageError


@dataclasses.dataclass(frozen=True)
class Pass(ABC):
    """A transformation of a training program. Fields of subclasses need defaults: they are options."""

    name: ClassVar[str]
    """The name in pipelines and on ``pock-opt``'s command line, e.g. ``sparsebp-prune-backward``."""

    @abstractmethod
    def apply(self, module: ir.Module) -> None:
        """Transform ``module``, in whose context the dialect is loaded.

        Raises ``PassFailure`` (usually through ``fail_at``) when the program is at fault.
        """

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring."""
        return (cls.__doc__ or "").strip().splitlines()[0]

    @classmethod
    def options(cls) -> dict[str, tuple[type, Any]]:
        """Option name (with dashes) -> type and default."""
        hints = typing.get_type_hints(cls)
        return {
            field.name.replace("_", "-"): (_scalar(hints[field.name]), field.default)
            for field in dataclasses.fields(cls)
        }

    @classmethod
    def from_options(cls, text: dict[str, str]) -> "Pass":
        """A pass from textual options, as they stand in a pipeline."""
        known = cls.options()
        values: dict[str, Any] = {}
        for key, value in text.items():
            if key not in known:
                raise UsageError(
                    f"pass '{cls.name}' has no option '{key}'; it has {', '.join(known) or 'none'}"
                )
            values[key.replace("-", "_")] = _parse(cls.name, key, known[key][0], value)
        return cls(**values)


def _scalar(hint: Any) -> type:
    """``T`` of ``T`` or ``T | None``."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(arg for arg in get_args(hint) if arg is not type(None))
    return hint


def _parse(owner: str, key: str, kind: type, value: str) -> Any:
    if kind is bool:
        if value.lower() in ("true", "1"):
            return True
        if value.lower() in ("false", "0"):
            return False
    else:
        try:
            return kind(value)
        except ValueError:
            pass
    raise UsageError(f"option '{key}' of pass '{owner}' takes a {kind.__name__}, got '{value}'")


def fail_at(op: Any, message: str) -> PassFailure:
    """The failure of a pass at ``op``: ``raise fail_at(op, "…")``."""
    return PassFailure(message, (f"{describe(op.operation.location)}: error: {message}",))


_FILE_LOCATION = re.compile(r'"((?:[^"\\]|\\.)*)":(\d+):(\d+)')


def describe(location: ir.Location) -> str:
    """A location as compilers print it: the first ``file:line:column`` in it, else its name."""
    text = str(location)
    if found := _FILE_LOCATION.search(text):
        return ":".join(found.groups())
    return text.removeprefix("loc(").removesuffix(")").replace('"', "")
