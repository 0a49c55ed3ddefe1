# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Profiles of workloads, one of which fails."""

import pytest

from pock.benchmarks.profile import session
from pock.benchmarks.profile.results import Profile
from pock.benchmarks.session import Request
from pock.benchmarks.workloads import WORKLOADS
from pock.compiler.source import Part
from tests.python.benchmarks.profile.profiles import PEAKS


class Observer:
    """Counts the units of a run."""

    def __init__(self) -> None:
        self.units = self.done = 0
        self.cases: list[str] = []

    def begin(self, units: int) -> None:
        self.units = units

    def doing(self, what: str) -> None:
        self.cases.append(what)

    def advance(self, units: int = 1) -> None:
        self.done += units


def test_each_scheme_has_a_profile_or_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "measure_peaks", lambda _: PEAKS)
    request = Request([WORKLOADS["tiny"]], [2], ["sparse", "bias-only"], [], 1, 0.0, "sgd", 1)
    monkeypatch.setattr(WORKLOADS["tiny"].__class__, "patterns", patterns)
    observer = Observer()
    sparse, nothing = session.profiles(request, observer)
    assert observer.done == observer.units == 4
    assert isinstance(sparse.result, Profile) and sparse.name == "tiny-2-sparse"
    assert sparse.result.about == {"scheme": "sparse", "optimizer": "sgd", "batch": "batch 2"}
    layers = {layer.name: layer for layer in sparse.result.layers()}
    assert layers["stem"].parts[Part.FORWARD] > 0 == layers["stem"].parts[Part.BACKWARD]
    assert layers["classifier"].parts[Part.BACKWARD] + layers["classifier"].parts[Part.UPDATE] > 0
    assert isinstance(nothing.result, str) and "nothing.*" in nothing.result and "\n" not in nothing.result


def patterns(_: object, scheme: str) -> list[str]:
    """The parameters that a scheme trains; no parameter is named as the second's."""
    return {"sparse": ["classifier.*"], "bias-only": ["nothing.*"]}[scheme]
