# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A profile as a picture: the time of each layer, and the dispatches under the roofline."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pock.compiler.errors import UsageError
from pock.compiler.source import Part

from .results import Layer, Profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".svg", ".png", ".pdf")
"""What a picture's file may be."""

ROWS = 40
"""Layers that have a bar; what takes less time is one bar at the end."""

_COLOURS = {Part.FORWARD: "#4477aa", Part.BACKWARD: "#ee6677", Part.UPDATE: "#228833"}


def check_picture(path: Path) -> None:
    """Raise ``UsageError`` if no picture can be written to ``path``: before anything is measured."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"cannot write a picture to {path}: give a name that ends in {', '.join(SUFFIXES)}")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {path.absolute().parent}")
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise UsageError(
            "a picture needs matplotlib, which is not installed: pip install 'pock[profile]'"
        ) from None


def picture(profile: Profile, kind: str) -> bytes:
    """The picture in a format of matplotlib's: ``svg``, ``png`` or ``pdf``."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    layers = sorted(profile.layers(), key=lambda layer: layer.total.seconds, reverse=True)
    bars = layers[:ROWS] + ([_rest(layers[ROWS:])] if len(layers) > ROWS else [])
    figure = Figure(figsize=(15, max(5, 1.5 + 0.24 * len(bars))), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.1])
    _draw_layers(left, bars, profile)
    _draw_roofline(right, profile)
    step = f"a step takes {profile.step * 1e3:.2f} ms, {profile.outside * 1e3:.2f} ms outside of dispatches"
    figure.suptitle(f"{profile.model}: {step} ({profile.machine}, {profile.threads} threads)")
    stream = io.BytesIO()
    # Text stays text, which can be searched.
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(stream, format=kind, dpi=120)
    return stream.getvalue()


def _rest(layers: list[Layer]) -> Layer:
    rest = Layer(f"{len(layers)} others")
    for layer in layers:
        for part, seconds in layer.parts.items():
            rest.parts[part] += seconds
    return rest


def _draw_layers(axes: "Axes", layers: list[Layer], profile: Profile) -> None:
    """A bar for each layer, of its parts."""
    places = range(len(layers))
    ends = [0.0] * len(layers)
    for part in Part:
        widths = [layer.parts[part] * 1e3 for layer in layers]
        axes.barh(places, widths, left=ends, color=_COLOURS[part], label=str(part))
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    for place, end in zip(places, ends, strict=True):
        axes.annotate(
            f" {end * 1e-3 / profile.step:.1%}", (end, place), va="center", fontsize=7, color="#555555"
        )
    axes.set_yticks(places, [layer.name for layer in layers], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("ms of a step")
    axes.margins(x=0.12)
    axes.set_title("time by layer")
    axes.legend(loc="lower right")


def _draw_roofline(axes: "Axes", profile: Profile) -> None:
    """A point for each dispatch that computes, as large as its share of the step, under the ceilings."""
    peaks = profile.peaks
    for part in Part:
        points = [
            (m.command.flops / m.size, m.command.flops / m.seconds / 1e9, 4 + 1500 * m.seconds / profile.step)
            for m in profile.commands
            if m.seconds and m.command.flops and m.size and m.source.part == part
        ]
        columns: Any = zip(*points, strict=True) if points else ((), (), ())
        x, y, sizes = columns
        axes.scatter(x, y, sizes, color=_COLOURS[part], alpha=0.6, linewidths=0, label=str(part))
    least, most = 1e-2, max(1e3, 4 * peaks.flops / min(peaks.bandwidth.values()))
    named = (("memory", min(peaks.bandwidth.values())), ("cache", max(peaks.bandwidth.values())))
    for (name, rate), style in zip(named, ("-", "--"), strict=True):
        ridge = peaks.flops / rate
        axes.plot(
            [least, ridge, most],
            [least * rate / 1e9, peaks.flops / 1e9, peaks.flops / 1e9],
            style, color="black", linewidth=1, label=f"{name}: {rate / 1e9:.0f} GB/s",
        )  # fmt: skip
    idle = sum(m.seconds or 0.0 for m in profile.commands if not m.command.flops)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(least, most)
    axes.set_ylim(1e-2, 2 * peaks.flops / 1e9)
    axes.set_xlabel("FLOP a byte")
    axes.set_ylabel("GFLOP/s")
    axes.set_title(
        f"roofline: {peaks.flops / 1e9:.0f} GFLOP/s; not shown, as they compute nothing: "
        f"{idle / profile.step:.0%} of the step"
    )
    for handle in axes.legend(loc="lower right").legend_handles[: len(Part)]:
        # Points are as large as their time; the legend's are as large as each other.
        handle.set_sizes([40])  # type: ignore[union-attr]
