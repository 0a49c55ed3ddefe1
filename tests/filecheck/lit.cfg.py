# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""lit's configuration: ``lit tests/filecheck`` runs every .mlir file's RUN lines.

The commands are those beside the Python that lit runs with.
"""

import os
import sys
import tempfile
from pathlib import Path

import lit.formats

config.name = "pock"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir"]
config.excludes = ["Inputs"]
config.test_source_root = str(Path(__file__).parent)
# One folder for all runs of one checkout: nothing is written into the sources.
_outputs = Path(tempfile.gettempdir(), f"pock-lit-{os.getuid()}", Path(__file__).parent.as_posix().strip("/"))
config.test_exec_root = str(_outputs)
config.environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
