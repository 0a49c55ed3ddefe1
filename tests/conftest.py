# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What all tests share."""

from hypothesis import settings

# A busy machine is no failure.
settings.register_profile("pock", deadline=None)
settings.load_profile("pock")
