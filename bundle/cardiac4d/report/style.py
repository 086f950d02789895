# SPDX-License-Identifier: Apache-2.0
"""The look of every picture, and the one way a picture reaches the disk.

Figures are made without pyplot, so that nothing is registered globally and no display is asked for. Colours are those
of Okabe and Ito (2008), which stay distinct with any colour vision; line style repeats what colour says.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from ..io.whole_file import whole_file

STRUCTURE_COLOURS = {"LV": "#D55E00", "LVM": "#0072B2"}
"""On white paper."""

OVERLAY_COLOURS = {"LV": "#E69F00", "LVM": "#56B4E9"}
"""On a grey image: the lighter pair."""

REFERENCE_COLOUR = "#000000"
OVERLAY_REFERENCE_COLOUR = "#FFFFFF"
GUIDE_COLOUR = "#767676"
DPI = 150
USE_MARK = "Research use only"
"""Stands at the foot of every picture, which travels without the page it was on."""

SCALE_BARS_MM = (5.0, 10.0, 20.0, 50.0)
STRUCTURE_NAMES = {"LV": "LV cavity", "LVM": "LV myocardium"}


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure with a canvas of its own.

    Args:
        width_in: width in inches; ``width_in * DPI`` pixels when saved.
        height_in: height in inches.
    """
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.supxlabel(USE_MARK, x=0.995, ha="right", fontsize=7, color=GUIDE_COLOUR)
    return figure


def quiet_axes(axes: Axes) -> None:
    """Leave the frame open at top and right, and put a faint grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)


def draw_scale_bar(axes: Axes, width_mm: float) -> float:
    """Draw a bar of known length into the lower right corner of an image.

    Args:
        axes: show an image without ticks, at the true aspect ratio.
        width_mm: what the axes are wide.

    Returns:
        The length in millimetres: the largest of ``SCALE_BARS_MM`` that takes at most 0.4 of the width.
    """
    length_mm = max((bar for bar in SCALE_BARS_MM if bar <= 0.4 * width_mm), default=SCALE_BARS_MM[0])
    right, height = 0.95, 0.07
    (bar,) = axes.plot([right - length_mm / width_mm, right], [height] * 2, color="white", linewidth=2)
    text = axes.text(right, height + 0.02, f"{length_mm:.0f} mm", ha="right", va="bottom", color="white", size=7)
    for artist in (bar, text):  # seen on contrast as well as on lung
        artist.set(transform=axes.transAxes, path_effects=[withStroke(linewidth=3, foreground="black")])
    return length_mm


def save_png(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, whole or not at all.

    A picture that is there is replaced in one step; whether it may be is the caller's decision. The file holds no date
    and no version, so the same figure gives the same bytes.

    Args:
        figure: see :func:`new_figure`.
        path: ends in ``.png``; its folder is made if needed.

    Returns:
        The path.

    Raises:
        ValueError: if ``path`` does not end in ``.png``.
    """
    path = png_path(path)
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", metadata={"Software": None})
    return path


def as_pixels(figure: Figure) -> npt.NDArray[np.uint8]:
    """Draw a figure into an array, for loggers that take images.

    Returns:
        ``(rows, columns, 3)`` red, green and blue.
    """
    canvas = figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]


def png_path(path: str | Path) -> Path:
    """The path of a picture, refused before anything is drawn where it does not end in ``.png``.

    Raises:
        ValueError: as said.
    """
    path = Path(path)
    if path.suffix != ".png":
        raise ValueError(f"`path` must end in .png, got {path}")
    return path
