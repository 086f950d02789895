# SPDX-License-Identifier: Apache-2.0
"""A sequence at a glance: frames from left to right, and four planes of the left ventricle from top to bottom."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.ndimage import map_coordinates

from ..conventions import CASE_ID_KEY, IMAGE_KEY, LABEL_KEY, LV, LVM, TRUTH_KEY
from ..errors import InputError
from ..geometry import spacing_from_affine
from ..io import SequenceSource, load_datalist, open_sequence
from ..measure import as_affine, measure_left_ventricle, measured_frames
from .cut_planes import CutPlane, Points, unit, voxel_indices
from .overlay import CONTRAST_CT_WINDOW_HU
from .style import OVERLAY_COLOURS, STRUCTURE_NAMES, draw_scale_bar, new_figure, save_png

Array = npt.NDArray[np.generic]

_CHEST_HALF_WIDTH_MM = 86.0
_HEART_HALF_WIDTH_MM = 70.0


def ventricle_planes(labels: Array, affine: Points) -> tuple[Points, list[CutPlane]]:
    """Centre of the left ventricle (RAS, millimetres) and the planes: axial, coronal, long axis, short axis.

    The long axis is the direction of largest extent of cavity and wall together.

    Args:
        labels: ``(H, W, D)`` of one frame.
        affine: 4x4, voxel index to RAS millimetres.

    Raises:
        ValueError: if the frame holds no ventricle.
    """
    voxels = np.argwhere(np.isin(labels, (LV, LVM)))
    if not voxels.size:
        raise ValueError("`labels` must hold a left ventricle (1 or 2)")
    points = voxels @ affine[:3, :3].T + affine[:3, 3]
    center = points.mean(axis=0)
    long_axis = np.linalg.svd(points[:: max(1, len(points) // 20000)] - center, full_matrices=False)[2][0]
    long_axis *= np.sign(long_axis @ [-1.0, 1.0, -1.0]) or 1.0  # towards the apex: left, front, down
    across = unit(np.cross(long_axis, [0.0, 0.0, 1.0]))
    left, back, down = np.diag([-1.0, -1.0, -1.0])
    return center, [
        CutPlane("axial", left, back, _CHEST_HALF_WIDTH_MM),
        CutPlane("coronal", left, down, _CHEST_HALF_WIDTH_MM),
        CutPlane("long axis", -across, -long_axis, _HEART_HALF_WIDTH_MM),
        CutPlane("short axis", -across, unit(np.cross(long_axis, across)), _HEART_HALF_WIDTH_MM),
    ]


def sequence_montage(
    image: Array,
    labels: Array,
    affine: Array,
    frames: Mapping[str, int],
    *,
    window: tuple[float, float] = CONTRAST_CT_WINDOW_HU,
    title: str = "",
) -> Figure:
    """Draw frames with the contours of cavity and myocardium, all in the planes of the first, so that motion shows.

    Every row has its own scale, which a bar states. Black is also what lies outside the field of view: a small one cuts
    off what surrounds the ventricle.

    Args:
        image: ``(H, W, D, T)`` intensities.
        labels: ``(H, W, D, T)``; 0, 1 LV, 2 LVM; 255 draws no contour.
        affine: 4x4, voxel index to RAS millimetres.
        frames: title and 0-based frame of each column.
        window: intensities drawn black and white.
        title: stands above.

    Raises:
        ValueError: if ``frames`` is empty, the shapes differ, or the first frame shows no ventricle.
    """
    if not frames or image.ndim != 4 or image.shape != labels.shape:
        raise ValueError(f"`frames` must not be empty and shapes must agree: {image.shape}, {labels.shape}")
    to_ras_mm = as_affine(affine)
    center, planes = ventricle_planes(labels[..., next(iter(frames.values()))], to_ras_mm)
    step_mm = max(1.0, float(spacing_from_affine(to_ras_mm).min()))
    figure = new_figure(1.5 * len(frames), 1.5 * len(planes) + 0.5)
    grid = figure.subplots(len(planes), len(frames), squeeze=False)
    for row, plane in zip(grid, planes, strict=True):
        indices = voxel_indices(plane.points_mm(center, step_mm), to_ras_mm)
        for axes, frame in zip(row, frames.values(), strict=True):
            _draw(axes, image[..., frame], labels[..., frame], indices, window)
        draw_scale_bar(row[0], 2 * plane.half_width_mm)
        row[0].set_ylabel(plane.name, fontsize=8)
    for axes, name in zip(grid[0], frames, strict=True):
        axes.set_title(name, fontsize=8)
    figure.suptitle(title, fontsize=9)
    _legend(figure)
    return figure


def dataset_montage(datalist: str | Path, path: str | Path, *, case_id: str | None = None) -> Path:
    """Write the montage of one case of a data list: end-diastole to end-systole, and two frames of filling.

    Annotated frames show the reader's labels, the others the dense truth, where the case has one.

    Args:
        datalist: Decathlon-style JSON.
        path: ends in ``.png``; replaced if it exists.
        case_id: which case; by default the first of the training list.

    Returns:
        ``path``.

    Raises:
        InputError: if no list of ``datalist`` has such a case.
    """
    entry = _find_case(datalist, case_id)
    image = open_sequence(entry[IMAGE_KEY])
    drawn = _voxels(open_sequence(entry[LABEL_KEY]))
    labels = _voxels(open_sequence(entry[TRUTH_KEY])) if TRUTH_KEY in entry else drawn
    function = measure_left_ventricle(labels, image.grid.affine)
    annotated = measured_frames(drawn)
    labels[..., annotated] = drawn[..., annotated]
    es, total = function.es_frame, image.num_frames
    chosen = {"end-diastole": function.ed_frame, "contraction": es // 2, "end-systole": es}
    chosen |= {"early filling": es + (total - es) // 4, "diastasis": es + 2 * (total - es) // 3}
    frames = {f"{name}\nframe {t}{', annotated' if annotated[t] else ''}": t for name, t in chosen.items()}
    title = f"{entry[CASE_ID_KEY]}: EF {function.ef_percent:.0f} %"
    return save_png(sequence_montage(_voxels(image), labels, image.grid.affine, frames, title=title), path)


def _find_case(datalist: str | Path, case_id: str | None) -> dict[str, Any]:
    sections = (load_datalist(datalist, section) for section in ("training", "validation", "test"))
    found = next((entry for entries in sections for entry in entries if case_id in (None, entry[CASE_ID_KEY])), None)
    if found is None:
        raise InputError(datalist, f"no case {case_id!r}", "name an `id` of its lists")
    return found


def _voxels(sequence: SequenceSource) -> npt.NDArray[Any]:
    return np.stack(list(sequence.frames()), axis=-1)


def _draw(axes: Axes, image: Array, labels: Array, indices: Points, window: tuple[float, float]) -> None:
    picture = map_coordinates(image.astype(np.float32), indices, order=1, cval=window[0])
    axes.imshow(picture, cmap="gray", vmin=window[0], vmax=window[1], interpolation="bilinear")
    for key, inside in (("LVM", np.isin(labels, (LV, LVM))), ("LV", labels == LV)):
        mask = map_coordinates(inside.astype(np.float32), indices, order=1, cval=0.0)
        if mask.max() > 0.5:
            axes.contour(mask, levels=[0.5], colors=[OVERLAY_COLOURS[key]], linewidths=0.8)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _legend(figure: Figure) -> None:
    handles = [Line2D([], [], color=OVERLAY_COLOURS[key], label=STRUCTURE_NAMES[key]) for key in OVERLAY_COLOURS]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
