# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which layer of the user's model an operation comes from: a name around its location.

Passes and IREE keep locations, and fuse them when they fuse operations. So a dispatch can be told by the
locations in it: ``loc("backward:features.3.conv"("net.py":12:0))``.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from torch_mlir import ir

MODEL, LOSS = "(model)", "(loss)"
"""What stands for the model itself, where no layer of it did something, and for the loss."""

#: A name, which stands alone where the location that it has is unknown; files are followed by a line.
_NAME = re.compile(r'"(forward|backward|update):([^"]*)"(?!:)\(?')


class Part(StrEnum):
    """The parts of a training step."""

    FORWARD = "forward"
    BACKWARD = "backward"
    UPDATE = "update"


@dataclass(frozen=True)
class Source:
    """A part of the step and a layer: a module's path, such as ``features.3.conv``."""

    part: Part
    layer: str

    def around(self, location: ir.Location) -> ir.Location:
        """``location``, named by the source."""
        return ir.Location.name(f"{self.part}:{self.layer}", location, context=location.context)


def sources_of(location: Any) -> list[Source]:
    """The sources that a location names, each once, in order; of nested ones the outermost.

    The bindings do not take locations apart, so this reads their text.
    """
    found: dict[Source, None] = {}
    end = -1
    for match in _NAME.finditer(str(location)):
        if match.start() != end:
            found[Source(Part(match[1]), match[2])] = None
        end = match.end()
    return list(found)
