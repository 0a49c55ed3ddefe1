# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Benchmarks: pock and its peers side by side, on the same work, in one run.

``session`` runs a matrix of workloads, batch sizes, schemes and contestants; ``results`` holds what came out
and ``report`` shows it. What runs a framework does so in a child process (``child``), which imports that
framework and nothing of the others. ``docs/benchmarks.md`` says how to read the result.
"""
