# SPDX-License-Identifier: Apache-2.0
"""The volume curve: how much the ventricle holds at each moment of the cycle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..measure import LeftVentricleFunction
from .style import GUIDE_COLOUR, REFERENCE_COLOUR, STRUCTURE_COLOURS, STRUCTURE_NAMES, new_figure, quiet_axes

Curve = npt.NDArray[np.float64]

MARKERS = {"LV": "o", "LVM": "s"}
REFERENCE_LINES = {"LV": "--", "LVM": ":"}
FRAME_LABEL = "Frame (0-based)"


def volume_curve(
    function: LeftVentricleFunction,
    frame_times_ms: Sequence[float] | npt.NDArray[np.generic] | torch.Tensor | None = None,
    *,
    reference: LeftVentricleFunction | None = None,
    title: str = "",
) -> Figure:
    """Plot cavity and myocardial volume over the cycle, with end-diastole, end-systole and ejection fraction.

    Frames that were not measured (NaN) leave a gap. A reference that knows only some frames, as sparse labels do, shows
    as points; one that knows all of them as a dashed line.

    Args:
        function: what was measured, see :func:`cardiac4d.measure.measure_left_ventricle`.
        frame_times_ms: ``(T,)`` time of each frame; without them, or if one is not finite, the axis counts frames.
        reference: the same measurements of reference labels.
        title: stands above, for example the name of the case.

    Returns:
        The figure, 7.5 x 4.5 inches; see :func:`cardiac4d.report.save_png`.

    Raises:
        ValueError: if frame times or reference have another number of frames.
    """
    figure = new_figure(7.5, 4.5)
    draw_volume_curve(figure.add_subplot(), function, frame_times_ms, reference=reference, title=title)
    return figure


def draw_volume_curve(
    axes: Axes,
    function: LeftVentricleFunction,
    frame_times_ms: Sequence[float] | npt.NDArray[np.generic] | torch.Tensor | None = None,
    *,
    reference: LeftVentricleFunction | None = None,
    title: str = "",
) -> None:
    """Draw what :func:`volume_curve` shows into axes of another figure; the same arguments."""
    num_frames = len(function.lv_volumes_ml)
    times, time_label = _time_axis(frame_times_ms, num_frames)
    if reference is not None and len(reference.lv_volumes_ml) != num_frames:
        raise ValueError(f"`reference` must have {num_frames} frames, got {len(reference.lv_volumes_ml)}")
    quiet_axes(axes)
    for structure, volumes_ml in _curves(function).items():
        (line,) = axes.plot(times, volumes_ml, label=STRUCTURE_NAMES[structure], linewidth=2, markersize=4)
        line.set(color=STRUCTURE_COLOURS[structure], marker=MARKERS[structure])
    if reference is not None:
        _plot_reference(axes, times, reference)
    _mark_phases(axes, times, function, "" if reference is None else "predicted ")
    if time_label == FRAME_LABEL:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel=time_label, ylabel="Volume (mL)")
    axes.set_ylim(bottom=0, top=1.12 * _largest_ml(function, reference))
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_title(_ejection_text(function, reference), loc="right", fontsize=10)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4, frameon=False, fontsize=9)


def _time_axis(
    frame_times_ms: Sequence[float] | npt.NDArray[np.generic] | torch.Tensor | None, num_frames: int
) -> tuple[Curve, str]:
    """Horizontal positions of the frames and what they are."""
    frames = np.arange(num_frames, dtype=np.float64)
    if frame_times_ms is None:
        return frames, FRAME_LABEL
    times = np.asarray(frame_times_ms, dtype=np.float64)
    if times.shape != (num_frames,):
        raise ValueError(f"`frame_times_ms` must hold one time per frame ({num_frames}), got shape {times.shape}")
    return (times, "Time (ms)") if np.isfinite(times).all() else (frames, FRAME_LABEL)


def _curves(function: LeftVentricleFunction) -> dict[str, Curve]:
    return {"LV": function.lv_volumes_ml, "LVM": function.lvm_volumes_ml}


def _largest_ml(*functions: LeftVentricleFunction | None) -> float:
    """Largest volume on the plot, at least 1 ml so that an empty segmentation still has an axis."""
    curves = [curve for function in functions if function is not None for curve in _curves(function).values()]
    return max(1.0, float(np.nanmax(np.concatenate(curves))))


def _plot_reference(axes: Axes, times: Curve, reference: LeftVentricleFunction) -> None:
    dense = bool(np.isfinite(reference.lv_volumes_ml).all())
    for structure, volumes_ml in _curves(reference).items():
        axes.plot(
            times,
            volumes_ml,
            color=REFERENCE_COLOUR,
            linestyle=REFERENCE_LINES[structure] if dense else "none",
            marker="none" if dense else MARKERS[structure],
            markerfacecolor="none",
            markersize=9,
            linewidth=1.2,
            label=f"{STRUCTURE_NAMES[structure]}, reference",
        )


def _mark_phases(axes: Axes, times: Curve, function: LeftVentricleFunction, whose: str) -> None:
    """A vertical guide and the volume at end-diastole and end-systole; one guide if they are the same frame."""
    phases = {"ED": (function.ed_frame, function.edv_ml), "ES": (function.es_frame, function.esv_ml)}
    if function.ed_frame == function.es_frame:
        del phases["ES"]
    for name, (frame, volume_ml) in phases.items():
        axes.axvline(times[frame], color=GUIDE_COLOUR, linestyle=(0, (2, 3)), linewidth=1)
        at_end = frame > len(times) // 2
        axes.annotate(
            f"{whose}{name} {volume_ml:.0f} mL",
            (times[frame], 0),
            xytext=(-4 if at_end else 4, 6),
            textcoords="offset points",
            ha="right" if at_end else "left",
            fontsize=9,
            color=GUIDE_COLOUR,
        )


def _ejection_text(function: LeftVentricleFunction, reference: LeftVentricleFunction | None) -> str:
    text = f"EF {function.ef_percent:.1f} %"
    return text if reference is None else f"predicted {text}, reference labels {reference.ef_percent:.1f} %"
