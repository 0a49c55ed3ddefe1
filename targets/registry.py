# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The registry of targets; a target's file is imported when it is first asked for."""

from difflib import get_close_matches
from importlib import import_module

from .base import Target, TargetError

#: target name -> "module:class" in this package
_TARGETS = {
    "cpu": "cpu:CPU",
    "cuda": "cuda:CUDA",
    "metal": "metal:Metal",
    "vulkan": "vulkan:Vulkan",
}


def target_names() -> list[str]:
    """The names of all targets, sorted."""
    return sorted(_TARGETS)


def get_target(text: str) -> Target:
    """The target of ``name`` or ``name:option=value,…``; raises ``TargetError``."""
    name, _, options = text.partition(":")
    if name not in _TARGETS:
        near = get_close_matches(name, _TARGETS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(target_names())}"
        raise TargetError(f"no target is named '{name}'; {hint}")
    module, _, attribute = _TARGETS[name].partition(":")
    cls: type[Target] = getattr(import_module(f".{module}", __package__), attribute)
    return cls.from_options(options) if options else cls()
