# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Rows, the file they are kept in, and what a run comes to."""

import io
import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from pock.benchmarks.errors import BenchmarkError
from pock.benchmarks.report import comparison, show
from pock.benchmarks.results import Results
from pock.benchmarks.summary import Line, summarize

from .rows import failed, results, row

SPARSE, MCU = ("net", 1, "sparse"), "mobilenetv2-0.35"


def line(run: Results, start: str) -> Line:
    return next(line for line in summarize(run) if line.what.startswith(start))


def shown(run: Results) -> str:
    out = io.StringIO()
    show(run, Console(file=out, width=200))
    return out.getvalue()


def test_the_fastest_peer_is_compared_with() -> None:
    run = results(row("pock", 10), row("torch", 30), row("jax", 20), failed("tensorflow"))
    fastest = run.fastest(("net", 1, "full"))
    assert fastest is not None and fastest.contestant == "jax"
    assert line(run, "same model").value == pytest.approx(2.0)


def test_a_peer_with_other_losses_is_not_compared_with() -> None:
    run = results(row("pock", 10), row("torch", 30), row("jax", 1, difference=0.1))
    assert line(run, "same model").value == pytest.approx(3.0)
    assert "WRONG by 1e-01" in shown(run)


def test_the_mean_is_geometric_and_the_worst_case_is_named() -> None:
    run = results(row("pock", 10), row("torch", 90), row("pock", 10, SPARSE), row("torch", 5, SPARSE))
    mean, worst = line(run, "same model"), line(run, "... and")
    assert mean.value == pytest.approx(4.5**0.5) and mean.met
    assert worst.value == pytest.approx(0.5) and worst.met is False
    assert worst.worst == "net batch 1 sparse 0.50x"


def test_sparse_training_is_compared_with_the_fastest_full_training() -> None:
    run = results(
        row("torch", 60), row("jax", 50), row("pock", 40), row("pock", 10, SPARSE), row("jax", 20, SPARSE)
    )
    assert line(run, "sparse, against").value == pytest.approx(5.0)


def test_the_small_model_is_compared_with_pytorch_alone() -> None:
    full, sparse = (MCU, 1, "full"), (MCU, 1, "sparse")
    run = results(
        row("torch", 150, full), row("torch-nhwc", 130, full), row("jax", 1, full), row("pock", 10, sparse)
    )
    small = line(run, f"sparse, {MCU}")
    assert small.value == pytest.approx(13.0) and small.met


@pytest.mark.parametrize("broken", [failed("pock"), row("pock", 1, difference=0.5)], ids=["failed", "wrong"])
def test_a_case_in_which_pock_has_no_right_result_is_a_failure_and_not_left_out(broken: object) -> None:
    run = results(row("pock", 10, SPARSE), row("torch", 100, SPARSE), broken, row("torch", 1))  # type: ignore[arg-type]
    mean = line(run, "same model")
    assert mean.value == pytest.approx(10.0)
    assert mean.met is False and mean.failed == ("net batch 1 full",)
    assert "failed: net batch 1 full" in shown(run)


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    assert {line.met for line in summarize(results())} == {None}


def test_the_share_of_the_peak_is_of_the_work_done() -> None:
    case = ("resnet50", 8, "full")
    run = results(row("pock", 100, case, flops=6_000_000_000))
    share = line(run, "share of the machine's measured f32 peak, resnet50")
    assert share.value == pytest.approx(60.0) and share.met


def test_compile_time_includes_tracing() -> None:
    run = results(row("pock", 1, ("mobilenetv2-128", 8, "full"), compile_seconds=20.0, trace_seconds=11.0))
    compiled = line(run, "compile time")
    assert compiled.value == pytest.approx(31.0) and compiled.met is False


def test_rows_with_nothing_are_shown_with_their_reason() -> None:
    text = shown(results(row("pock", 10), failed("jax", why="jax is not installed, so it is not measured")))
    assert "net batch 1 full: jax: jax is not installed, so it is not measured" in text


def test_a_result_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    run = results(
        row("pock", 10, losses=(1.0, 0.5), rounds=(0.01,), further={"state_tensors": 3.0}), failed("jax")
    )
    path = tmp_path / "run.json"
    path.write_text(run.to_json())
    again = Results.load(path)
    assert again.to_json() == run.to_json()
    assert again.rows[0] == run.rows[0] or math.isnan(again.rows[0].compile_seconds)
    assert shown(again) == shown(run)


def test_the_file_is_strict_json_with_the_summary(tmp_path: Path) -> None:
    document = json.loads(results(failed("pock")).to_json(), parse_constant=pytest.fail)
    assert document["rows"][0]["median"] is None
    assert document["summary"][0]["failed"] == ["net batch 1 full"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{", "it is not JSON"),
        ("[]", "wrong or missing"),
        ('{"format": 99}', "has format 99"),
        ("{}", "'format'"),
    ],
)
def test_what_is_no_result_is_an_error(tmp_path: Path, text: str, wanted: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(BenchmarkError, match=wanted):
        Results.load(path)


def test_a_comparison_tells_pocks_change_from_the_machines() -> None:
    before, after = (
        results(row("pock", 10), row("jax", 30)),
        results(row("pock", 5, ratio=1.0), row("jax", 15, ratio=3.0)),
    )
    out = io.StringIO()
    Console(file=out, width=200).print(comparison(before, after))
    cells = [cell.strip() for cell in out.getvalue().splitlines()[-2].split("│")[1:-1]]
    # Twice as fast as before, but so are the peers: the lead is the same.
    assert cells == ["net batch 1 full", "10.00", "5.00", "2.00", "2.00", "3.00", "3.00"]
