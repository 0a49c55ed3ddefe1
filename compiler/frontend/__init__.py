# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The front end: PyTorch models to training programs. The only part of the compiler that needs PyTorch."""
