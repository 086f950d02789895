# SPDX-License-Identifier: Apache-2.0
"""The essentials of a study on one page of A4: flags, numbers, still frames, volume curve, wall, origin."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Wedge

from ..io.whole_file import whole_file
from ..measure import LeftVentricleFunction
from .beating_views import BeatingViews
from .bullseye import NUM_DARK, SCALE, ring_fields, segment_fields, shade
from .contours import path_lines
from .numbers import Quantity, check_document, look_up, shown, six_numbers
from .reference_ranges import SEXES
from .reference_section import reference_value
from .study_sections import DISCLAIMER, SEVERITIES
from .style import GUIDE_COLOUR, OVERLAY_COLOURS, draw_scale_bar, new_figure, save_png
from .volumes import draw_volume_curve
from .wall_section import WALL_PARTS, wall_columns

A4_IN: Final = (8.27, 11.69)
LINE_LENGTH: Final = 128
MOST_LINES: Final = 5
"""Of flags: as many fit above the numbers."""
_MARGINS: Final = {"left": 0.07, "right": 0.94, "top": 0.965, "bottom": 0.085, "hspace": 0.17, "wspace": 0.12}
FLAG_COLOURS: Final = {"error": "#A3201D", "warning": "#8A5A00", "info": "#2D6EA3"}


def one_page(document: Mapping[str, Any], views: BeatingViews, *, sex: str | None = None) -> Figure:
    """Draw the page.

    Args:
        document: the measures of the study.
        views: its pictures.
        sex: ``"female"`` or ``"male"``: shows the reference ranges of that sex alone.

    Returns:
        The figure, 8.27 x 11.69 inches; see :func:`write_one_page`.

    Raises:
        ValueError: if ``document`` is none of measures.
    """
    check_document(document)
    figure = new_figure(*A4_IN)
    figure.set_layout_engine("none")  # the page is laid out by hand: it must hold whatever a study brings
    grid = figure.add_gridspec(5, 6, height_ratios=(1.15, 0.85, 2.3, 2.3, 2.3), **_MARGINS)
    _header(figure.add_subplot(grid[0, :]), document)
    _numbers(figure.add_subplot(grid[1, :]), document, sex)
    phases = {"ED": document["phases"]["ed_frame"], "ES": document["phases"]["es_frame"]}
    for row, (name, frame) in enumerate(phases.items(), 2):
        for k in range(len(views.stacks)):
            _still(figure.add_subplot(grid[row, 2 * k : 2 * k + 2]), views, k, name, frame)
    wall = document.get("wall_thickness") is not None
    curve = figure.add_subplot(grid[4, :3] if wall else grid[4, :])
    draw_volume_curve(curve, function_of(document), document["time"].get("frame_times_ms"), title="Volume")
    curve.set_title("", loc="right")
    curve.tick_params(labelsize=8)
    for label in (curve.xaxis.label, curve.yaxis.label):
        label.set_fontsize(8)
    if wall:
        _bullseye(figure.add_subplot(grid[4, 3:]), document)
    figure.supxlabel(_origin(document), fontsize=6.5, color=GUIDE_COLOUR, x=0.5, y=0.012, ha="center")
    return figure


def write_one_page(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write a page as ``<stem>.pdf`` and ``<stem>.png``; files that are there are replaced.

    Args:
        figure: from :func:`one_page`.
        stem: path without suffix.

    Returns:
        The two paths, the PDF first.
    """
    pdf = stem.with_name(f"{stem.name}.pdf")
    with whole_file(pdf) as partial:
        figure.savefig(partial, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    return pdf, save_png(figure, stem.with_name(f"{stem.name}.png"))


def function_of(document: Mapping[str, Any]) -> LeftVentricleFunction:
    """The core measurements of a document, with NaN for null."""
    volumes, phases, mass = document["volumes"], document["phases"], document.get("mass") or {}

    def number(part: Mapping[str, Any], name: str) -> float:
        return float("nan") if part.get(name) is None else float(part[name])

    lv_ml, lvm_ml = (np.array(volumes[name], dtype=np.float64) for name in ("lv_ml", "lvm_ml"))
    return LeftVentricleFunction(
        edv_ml=number(volumes, "edv_ml"),
        esv_ml=number(volumes, "esv_ml"),
        sv_ml=number(volumes, "sv_ml"),
        ef_percent=number(volumes, "ef_percent"),
        ed_frame=phases["ed_frame"],
        es_frame=phases["es_frame"],
        ed_time_ms=number(phases, "ed_time_ms"),
        es_time_ms=number(phases, "es_time_ms"),
        ed_mass_g=number(mass, "ed_mass_g"),
        lv_volumes_ml=lv_ml,
        lvm_volumes_ml=lvm_ml,
    )


def _header(axes: Axes, document: Mapping[str, Any]) -> None:
    axes.set_axis_off()
    axes.text(
        0, 1.0, f"Left ventricle of {document['case_id']}", fontsize=15, fontweight="bold", va="top", parse_math=False
    )
    axes.text(0, 0.72, DISCLAIMER, fontsize=8, fontweight="bold", color=FLAG_COLOURS["error"], va="top")
    order = list(SEVERITIES)
    flags = sorted(document["flags"], key=lambda flag: order.index(flag["severity"]))
    lines = [
        (line, FLAG_COLOURS[flag["severity"]])
        for flag in flags
        for line in textwrap.wrap(f"{flag['severity'].capitalize()}: {flag['reason']}", LINE_LENGTH)
    ]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], (f"... {len(flags)} flags in all, see the page", GUIDE_COLOUR)]
    for k, (text, colour) in enumerate(lines or [("No quality flag was raised.", "#2A6B35")]):
        axes.text(0, 0.52 - 0.12 * k, text, fontsize=7.5, color=colour, va="top", parse_math=False)


def _numbers(axes: Axes, document: Mapping[str, Any], sex: str | None) -> None:
    axes.set_axis_off()
    level = look_up(document, "intervals", "level")
    for k, quantity in enumerate(six_numbers(document)):
        x = k / 6
        axes.text(x, 1.0, quantity.short, fontsize=9, fontweight="bold", va="top")
        axes.text(x, 0.8, f"{quantity.text} {quantity.unit}", fontsize=14, fontweight="bold", va="top")
        lines = _beneath(quantity, level, sex, reference_value(document, quantity.key))
        axes.text(x, 0.42, "\n".join(lines), fontsize=6.3, color="#444444", va="top")


def _beneath(quantity: Quantity, level: float | None, sex: str | None, true: float | None) -> list[str]:
    """Interval, reference ranges and true value of a number, a line each."""
    known = quantity.interval is not None and level is not None
    lines = [f"{100 * level:.0f} % interval {quantity.span(*quantity.interval)}" if known else "no interval"]  # type: ignore[operator, misc]
    for name in [sex] if sex else SEXES:
        found = quantity.ranges[name]
        lines.append(f"healthy {SEXES[name]} {quantity.span(found.low, found.high)}")
    return lines if true is None else [*lines, f"reference {true:.{quantity.decimals}f}"]


def _still(axes: Axes, views: BeatingViews, index: int, name: str, frame: int) -> None:
    stack, start = views.stacks[index], views.start[index]
    pictures = views.pictures[index]
    axes.imshow(pictures.pixels[start, frame], cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
    for path, key in zip(pictures.contours[start][frame], ("LV", "LVM"), strict=True):
        for line in path_lines(path):
            axes.plot(*line.T, color=OVERLAY_COLOURS[key], linewidth=1.1)
    for path in pictures.reference[start][frame] if pictures.reference else ():
        for line in path_lines(path):
            axes.plot(*line.T, color="white", linewidth=0.9, linestyle=(0, (3, 3)))
    side = views.num_pixels
    axes.set(xticks=[], yticks=[], xlim=(-0.5, side - 0.5), ylim=(side - 0.5, -0.5))
    axes.set_title(f"{stack.name}, {name} (frame {frame})", fontsize=8)
    draw_scale_bar(axes, side * views.mm_per_pixel)
    edges = (
        (0.02, 0.5, "left", "center"),
        (0.98, 0.5, "right", "center"),
        (0.5, 0.98, "center", "top"),
        (0.5, 0.02, "center", "bottom"),
    )
    for letter, (x, y, ha, va) in zip(stack.cuts[start].plane.letters.split(), edges, strict=True):
        axes.text(x, y, letter, transform=axes.transAxes, ha=ha, va=va, color="white", fontsize=7)


def _bullseye(axes: Axes, document: Mapping[str, Any]) -> None:
    """Wall thickness at end-diastole; the page has the others."""
    segments, columns = wall_columns(document["wall_thickness"])
    name = next(iter(WALL_PARTS))
    fields, values = segment_fields() if segments else ring_fields(), columns[name]
    known = [v for v in values if v is not None] or [0.0, 1.0]
    for field, value in zip(fields, values, strict=True):
        index = 0 if value is None else shade(value, min(known), max(known))
        colour = "white" if value is None else SCALE[index]
        width = field.outer - field.inner
        wedge = Wedge(
            (0, 0), field.outer, field.start, field.stop, width=width, facecolor=colour, edgecolor=GUIDE_COLOUR
        )
        axes.add_patch(wedge)
        x, y = field.middle
        ink = "white" if value is not None and index >= len(SCALE) - NUM_DARK else "black"
        axes.text(x, -y, shown(value, 1), ha="center", va="center", fontsize=7, color=ink)
    axes.set(xlim=(-104, 104), ylim=(-104, 104), aspect="equal")
    axes.set_axis_off()
    axes.set_title(f"Wall thickness, {name[0].lower()}{name[1:]}", fontsize=9)


def _origin(document: Mapping[str, Any]) -> str:
    found = document["provenance"]
    weights = (found.get("weights_sha256") or "not known")[:16]
    parts = [f"input {found.get('input') or 'not known'}", f"model {found.get('model') or 'not known'}"]
    parts += [f"weights {weights}", f"{found.get('software')} {found.get('version')}", str(found.get("created"))]
    if document.get("reference"):
        parts.append("dashed: reference")
    return "Research use only.  " + "  |  ".join(parts).replace("$", r"\$")
