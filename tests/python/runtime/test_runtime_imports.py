# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A device installs the runtime without PyTorch, torch-mlir or the compiler."""

import json
import subprocess
import sys

# safetensors is a Rust extension that needs nothing but NumPy; it reads what others write safely.
ALLOWED = {"numpy", "ml_dtypes", "iree", "safetensors", "pock"}

PROGRAM = """
import sys
before = set(sys.modules)
import pock.runtime, pock.runtime.job
import json
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_the_runtime_imports_only_what_a_device_has() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    modules = json.loads(done.stdout)
    packages = {m.partition(".")[0] for m in modules} - set(sys.stdlib_module_names)
    assert {p for p in packages if not p.startswith("_")} <= ALLOWED
    ours = {m for m in modules if m.startswith("pock.")}
    assert {m for m in ours if not (m + ".").startswith("pock.runtime.")} == set()
    assert not [m for m in modules if m.startswith("iree.compiler")]
