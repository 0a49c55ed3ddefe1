# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Targets: what the compiler needs to know about where a program will run. One file a target."""

from .base import Target, TargetError
from .registry import get_target, target_names

__all__ = ["Target", "TargetError", "get_target", "target_names"]
