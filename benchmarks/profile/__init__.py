# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Profiles: where a step's time goes, by dispatch and by layer, and what the machine could do.

``measure`` makes a ``Profile`` (``results``) of a compiled program; ``report`` shows it as tables and
``picture`` as a picture. IREE's own tools run the program and tell the times (``tools``); which layers a
dispatch is of, and how much work it is, the compiler says (``pock.compiler.analysis.commands``).
"""
