# SPDX-License-Identifier: Apache-2.0
"""The volume curve of a page: a drawing that scales, with a cursor that follows the beating heart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .html import Html, element, joined

WIDTH, HEIGHT = 720.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 16.0, 22.0, 44.0
NUM_TICKS = 6

Curve = Sequence[float | None]


@dataclass(frozen=True)
class Axes:
    """Where numbers lie in the drawing.

    Attributes:
        times: horizontal position of each frame, milliseconds or frame indices.
        time_label: what they are.
        top_ml: volume at the upper edge.
    """

    times: Sequence[float]
    time_label: str
    top_ml: float

    def x(self, time: float) -> float:
        """Horizontal position in the drawing."""
        span = (self.times[-1] - self.times[0]) or 1.0
        return LEFT + (time - self.times[0]) / span * (WIDTH - LEFT - RIGHT)

    def y(self, volume_ml: float) -> float:
        """Vertical position in the drawing."""
        return HEIGHT - BOTTOM - volume_ml / self.top_ml * (HEIGHT - TOP - BOTTOM)


def curve_axes(document: Mapping[str, Any]) -> Axes:
    """Axes that hold both curves of a study; frames are counted where their times are not known."""
    volumes, times = document["volumes"], document["time"].get("frame_times_ms")
    known = times is not None and all(t is not None for t in times)
    values = [v for name in ("lv_ml", "lvm_ml") for v in volumes[name] if v is not None]
    positions = times if known else list(range(document["time"]["num_frames"]))
    return Axes(positions, "Time (ms)" if known else "Frame (from 0)", 1.08 * max(1.0, *values, 1.0))


def curve_svg(document: Mapping[str, Any]) -> Html:
    """Cavity and wall over the cycle, with end-diastole and end-systole, and a cursor with the id ``cursor``.

    Args:
        document: the measures of a study. A frame without measurement leaves a gap.
    """
    axes, volumes = curve_axes(document), document["volumes"]
    drawn = [
        *_grid(axes),
        *_phases(axes, document["phases"]),
        *_line(axes, volumes["lvm_ml"], "wall"),
        *(_line(axes, volumes["lv_smoothed_ml"], "smoothed", dots=False) if volumes.get("lv_smoothed_ml") else []),
        *_line(axes, volumes["lv_ml"], "cavity"),
        element("line", id="cursor", class_="cursor", x1=LEFT, x2=LEFT, y1=TOP, y2=HEIGHT - BOTTOM),
        element("circle", id="cursor-dot", class_="cursor-dot", cx=LEFT, cy=TOP, r=6),
    ]
    title = element("title", "Volume of cavity and wall over the cardiac cycle; the table below holds the same numbers")
    return element("svg", title, *drawn, id="curve", viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", role="img")


def cursor_positions(document: Mapping[str, Any]) -> list[list[float | None]]:
    """Horizontal and vertical position of the cursor in every frame; no vertical one where nothing was measured."""
    axes = curve_axes(document)
    return [
        [round(axes.x(t), 1), None if v is None else round(axes.y(v), 1)]
        for t, v in zip(axes.times, document["volumes"]["lv_ml"], strict=True)
    ]


def _grid(axes: Axes) -> list[Html]:
    step, parts = _nice_step(axes.top_ml), []
    for k in range(int(axes.top_ml / step) + 1):
        y = axes.y(k * step)
        parts.append(element("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}"))
        parts.append(element("text", f"{k * step:g}", class_="tick end", x=LEFT - 6, y=f"{y + 4:.1f}"))
    first, last = axes.times[0], axes.times[-1]
    step = max(_nice_step(last - first), 1.0)
    for k in range(math.ceil(first / step), int(last / step) + 1):
        x = axes.x(k * step)
        parts.append(element("text", f"{k * step:g}", class_="tick middle", x=f"{x:.1f}", y=HEIGHT - BOTTOM + 17))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(element("text", axes.time_label, class_="label middle", x=middle, y=HEIGHT - 6))
    parts.append(element("text", "Volume (mL)", class_="label", x=4, y=13))
    return parts


def _nice_step(span: float) -> float:
    """1, 2 or 5 times a power of ten, so that about ``NUM_TICKS`` steps fit."""
    if span <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / NUM_TICKS))
    return next(m * power for m in (1, 2, 5, 10) if m * power * NUM_TICKS >= span * 0.999)


def _line(axes: Axes, values: Curve, class_: str, *, dots: bool = True) -> list[Html]:
    points = [None if v is None else (axes.x(t), axes.y(v)) for t, v in zip(axes.times, values, strict=True)]
    parts, run = [], []
    for point in [*points, None]:
        if point is not None:
            run.append(f"{point[0]:.1f},{point[1]:.1f}")
        elif run:
            parts.append(element("polyline", class_=class_, points=" ".join(run)))
            run = []
    marks = [point for point in points if point is not None] if dots else []
    return parts + [element("circle", class_=f"{class_}-dot", cx=f"{x:.1f}", cy=f"{y:.1f}", r=3) for x, y in marks]


def _phases(axes: Axes, phases: Mapping[str, Any]) -> list[Html]:
    named = {"ED": phases["ed_frame"], "ES": phases["es_frame"]}
    parts: list[Html] = []
    for name, frame in named.items():
        if name == "ES" and frame == named["ED"]:
            continue
        x = axes.x(axes.times[frame])
        side = "end" if x > WIDTH - 60 else ""
        line = element("line", class_="phase", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=TOP, y2=HEIGHT - BOTTOM)
        text = element("text", name, class_=f"phase-name {side}", x=f"{x + (-4 if side else 4):.1f}", y=TOP + 11)
        parts += [line, text]
    return parts


def curve_legend(document: Mapping[str, Any]) -> Html:
    """What the lines of the drawing are."""
    entries = {"cavity": "LV cavity", "wall": "LV myocardium"}
    if document["volumes"].get("lv_smoothed_ml"):
        entries["smoothed"] = "cavity, smoothed (gives the rates)"
    keys = (
        joined(element("span", class_=f"key {name}-key", aria_hidden="true"), text) for name, text in entries.items()
    )
    return element("p", *keys, class_="legend")
