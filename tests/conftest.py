# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What all tests share."""

import os

from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:
    # PyTorch's threads wait by spinning: those of one worker would take the processors of another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy machine is no failure.
settings.register_profile("pock", deadline=None)
settings.load_profile("pock")
