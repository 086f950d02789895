# SPDX-License-Identifier: Apache-2.0
"""Wall thickness on a study page: bullseyes, and the same numbers as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .bullseye import SEGMENT_NAMES, bullseye_svg, ring_fields, segment_fields
from .html import Html, element, table
from .numbers import look_up, shown

WALL_PARTS: Final = {"End-diastole (mm)": "ed", "End-systole (mm)": "es", "Thickening (%)": "thickening_percent"}


def wall_section(document: Mapping[str, Any]) -> Html:
    """Wall thickness as bullseyes: 17 segments where the septum is known, else three rings."""
    wall = document.get("wall_thickness")
    title = element("h2", "Wall thickness")
    if wall is None:
        return element("section", title, element("p", "Not measured.", class_="note"), id="wall")
    segments, columns = wall_columns(wall)
    fields = segment_fields() if segments else ring_fields()
    names = [field.name for field in fields]
    known = [v for name in columns if "mm" in name for v in columns[name] if v is not None] or [0.0, 1.0]
    figures = []
    for name, values in columns.items():
        low, high, decimals = (0, 100, 0) if "%" in name else (min(known), max(known), 1)
        drawing = bullseye_svg(fields, values, title=name, low=low, high=high, decimals=decimals)
        figures.append(element("figure", drawing, element("figcaption", name)))
    rows = [
        [name, *(shown(v, 0 if "%" in key else 1) for key, v in zip(columns, line, strict=True))]
        for name, *line in zip(_numbered(names), *columns.values(), strict=True)
    ]
    what = (
        "Darker is more. AHA 17 segments: base outside, apex in the middle, septum at the left."
        if segments
        else ("Darker is more. Rings only, from base (outside) to apex: segments need the direction of the septum.")
    )
    return element(
        "section",
        title,
        element("div", *figures, class_="bullseyes"),
        element("p", what, class_="note"),
        element(
            "details",
            element("summary", "The wall as a table"),
            element("div", table(["Part", *columns], rows, caption=what), class_="scroll"),
        ),
        id="wall",
    )


def wall_columns(wall: Mapping[str, Any]) -> tuple[bool, dict[str, list[float | None]]]:
    """Whether the 17 segments are known, and the values of segments or rings by the names in ``WALL_PARTS``."""
    segments = any(look_up(wall, part, "segments_mm") is not None for part in ("ed", "es"))
    names = [field.name for field in (segment_fields() if segments else ring_fields())]
    columns: dict[str, list[float | None]] = {}
    for title, part in WALL_PARTS.items():
        unit = "" if part == "thickening_percent" else "_mm"
        values = look_up(wall, part, f"segments{unit}" if segments else f"rings{unit}")
        if values is None:
            columns[title] = [None] * len(names)
        else:
            columns[title] = list(values) if segments else [values.get(name) for name in names]
    return segments, columns


def _numbered(names: list[str]) -> list[str]:
    return [f"{k} {name}" for k, name in enumerate(names, 1)] if len(names) == len(SEGMENT_NAMES) else names
