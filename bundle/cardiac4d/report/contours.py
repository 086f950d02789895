# SPDX-License-Identifier: Apache-2.0
"""Outlines as SVG paths, short enough to keep those of every frame in a page."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from contourpy import contour_generator
from matplotlib.path import Path

UNITS_PER_PIXEL = 8
"""Paths count in whole eighths of a pixel: exact to the eye, and short as text."""
TOLERANCE_PIXELS = 0.2
"""A path strays from the contour by at most this."""
LEVEL = 0.5

Line = npt.NDArray[np.float64]


def contour_path(share: npt.NDArray[np.float32]) -> str:
    """The outline where ``share`` is one half, as SVG path data in eighths of a pixel from the centre of the first one.

    Args:
        share: ``(rows, columns)``, 0 outside a structure and 1 inside.

    Returns:
        Closed and open lines, relative coordinates; empty if there is no outline.

    Example:
        >>> inside = np.zeros((4, 4), np.float32)
        >>> inside[1:3, 1:3] = 1
        >>> contour_path(inside)
        'M4 8l4 -4 8 0 4 4 0 8 -4 4 -8 0 -4 -4 0 -8z'
    """
    if share.max(initial=0.0) <= LEVEL:
        return ""
    lines = contour_generator(z=share).lines(LEVEL)
    return "".join(_path(simplified(np.asarray(line))) for line in lines if len(line) > 2)


def simplified(line: Line, tolerance: float = TOLERANCE_PIXELS) -> Line:
    """Leave out points of a line that lie within ``tolerance`` of what remains; matplotlib's own rule for lines.

    Args:
        line: ``(n, 2)``.
        tolerance: in the units of the line.
    """
    path = Path(line)
    path.should_simplify, path.simplify_threshold = True, tolerance
    return np.asarray(path.cleaned(simplify=True).vertices)[:-1]  # the last one only says stop


def _path(line: Line) -> str:
    points = np.round(UNITS_PER_PIXEL * line).astype(int)
    closed = bool((points[0] == points[-1]).all())
    steps = np.diff(points, axis=0)
    steps = steps[np.any(steps != 0, axis=1)]
    if not len(steps):  # smaller than a unit: nothing to see
        return ""
    text = " ".join(f"{x} {y}" for x, y in steps.tolist())
    return f"M{points[0, 0]} {points[0, 1]}l{text}{'z' if closed else ''}"


def path_lines(path: str) -> list[Line]:
    """The lines of a path of :func:`contour_path`, in pixels: ``(n, 2)`` each, column before row.

    Example:
        >>> path_lines("M4 8l4 -4 8 0z")[0].tolist()
        [[0.5, 1.0], [1.0, 0.5], [2.0, 0.5], [0.5, 1.0]]
    """
    lines = []
    for part in filter(None, path.split("M")):
        start, steps = part.removesuffix("z").split("l")
        numbers = [np.array(text.split(), dtype=float).reshape(-1, 2) for text in (start, steps)]
        line = np.cumsum(np.concatenate(numbers), axis=0)
        lines.append(np.concatenate([line, line[:1]]) if part.endswith("z") else line)
    return [line / UNITS_PER_PIXEL for line in lines]
