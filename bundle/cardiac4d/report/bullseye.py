# SPDX-License-Identifier: Apache-2.0
"""The 17 segments of the left ventricle as a bullseye, base outside and apex in the middle (Cerqueira et al. 2002)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .html import Html, element
from .numbers import shown

RADII: Final = (0.0, 25.0, 50.0, 75.0, 100.0)
"""Of apex, apical, mid and basal ring, in a drawing of 200 x 200."""
RINGS: Final = ("basal", "mid", "apical")

SEGMENT_NAMES: Final = (
    *("basal anterior", "basal anteroseptal", "basal inferoseptal"),
    *("basal inferior", "basal inferolateral", "basal anterolateral"),
    *("mid anterior", "mid anteroseptal", "mid inferoseptal"),
    *("mid inferior", "mid inferolateral", "mid anterolateral"),
    *("apical anterior", "apical septal", "apical inferior", "apical lateral", "apex"),
)
"""Names of segments 1 to 17."""

SCALE: Final = ("#fff7e6", "#fddca0", "#f9b45c", "#ea8632", "#c25a14", "#8a3a06")
"""From thin to thick: one hue that darkens, so that order survives any colour vision and a grey printer."""
NUM_DARK: Final = 2
"""So many colours at the dark end carry white text."""


@dataclass(frozen=True)
class Field:
    """One field of the drawing.

    Attributes:
        name: of the segment or ring.
        inner: radius.
        outer: radius.
        start: angle in degrees, counter-clockwise from three o'clock.
        stop: angle in degrees, larger than ``start``; 360 apart for a whole ring.
    """

    name: str
    inner: float
    outer: float
    start: float
    stop: float

    @property
    def middle(self) -> tuple[float, float]:
        """Where its text stands: x to the right and y down, from the centre."""
        if self.inner == 0:
            return 0.0, 0.0
        radius = (self.inner + self.outer) / 2
        angle = math.radians((self.start + self.stop) / 2)
        return radius * math.cos(angle), -radius * math.sin(angle)


def segment_fields() -> list[Field]:
    """Segments 1 to 17: anterior at the top, septum at the left, counter-clockwise from anterior."""
    fields: list[Field] = []
    for ring, size in enumerate((6, 6, 4)):
        width = 360 / size
        for k in range(size):
            start = 90 - width / 2 + k * width
            name = SEGMENT_NAMES[len(fields)]
            fields.append(Field(name, RADII[3 - ring], RADII[4 - ring], start, start + width))
    return [*fields, Field(SEGMENT_NAMES[16], RADII[0], RADII[1], 0, 360)]


def ring_fields() -> list[Field]:
    """Basal, mid and apical ring, where the septum is not known; the apex is empty."""
    return [Field(name, RADII[3 - k], RADII[4 - k], -90, 270) for k, name in enumerate(RINGS)]


def shade(value: float, low: float, high: float) -> int:
    """Index into ``SCALE`` of a value; the ends take what lies beyond them."""
    share = (value - low) / (high - low) if high > low else 0.5
    return min(max(int(share * len(SCALE)), 0), len(SCALE) - 1)


def bullseye_svg(
    fields: Sequence[Field], values: Sequence[float | None], *, title: str, low: float, high: float, decimals: int
) -> Html:
    """Draw one bullseye, every field with its number.

    Args:
        fields: from :func:`segment_fields` or :func:`ring_fields`.
        values: one per field; ``None`` leaves it white, with a dash.
        title: read by screen readers, with every number.
        low: value of the lightest colour.
        high: value of the darkest colour.
        decimals: of the numbers.
    """
    parts = []
    for field, value in zip(fields, values, strict=True):
        index = -1 if value is None else shade(value, low, high)
        fill = "none" if value is None else SCALE[index]
        parts.append(element("path", d=_outline(field), fill=fill, fill_rule="evenodd", class_="field"))
    for field, value in zip(fields, values, strict=True):
        x, y = field.middle
        dark = value is not None and shade(value, low, high) >= len(SCALE) - NUM_DARK
        tone = "empty" if value is None else "light" if dark else "dark"
        parts.append(
            element("text", shown(value, decimals), class_=f"field-text {tone}", x=f"{x:.1f}", y=f"{y + 4:.1f}")
        )
    spoken = ", ".join(
        f"{field.name} {'not measured' if value is None else f'{value:.{decimals}f}'}"
        for field, value in zip(fields, values, strict=True)
    )
    label = element("title", f"{title}: {spoken}")
    return element("svg", label, *parts, viewBox="-102 -102 204 204", role="img", class_="bullseye")


def _outline(field: Field) -> str:
    if field.stop - field.start >= 360:
        return _circle(field.outer) + (_circle(field.inner) if field.inner else "")
    x0, y0 = _at(field.outer, field.start)
    x1, y1 = _at(field.outer, field.stop)
    x2, y2 = _at(field.inner, field.stop)
    x3, y3 = _at(field.inner, field.start)
    outer, inner = f"A{field.outer:g} {field.outer:g} 0 0 0", f"A{field.inner:g} {field.inner:g} 0 0 1"
    return f"M{x0:.2f} {y0:.2f}{outer} {x1:.2f} {y1:.2f}L{x2:.2f} {y2:.2f}{inner} {x3:.2f} {y3:.2f}Z"


def _circle(radius: float) -> str:
    half = f"a{radius:g} {radius:g} 0 1 0"
    return f"M{-radius:g} 0{half} {2 * radius:g} 0{half} {-2 * radius:g} 0Z"


def _at(radius: float, degrees: float) -> tuple[float, float]:
    angle = math.radians(degrees)
    return radius * math.cos(angle), -radius * math.sin(angle)
