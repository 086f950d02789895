# SPDX-License-Identifier: Apache-2.0
"""What a network in training makes of a case: image, label and prediction, at end-diastole and end-systole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ..conventions import LV, LVM, STRUCTURES
from ..measure import as_affine, as_label_map, measure_left_ventricle, measured_frames
from .overlay import draw_image, legend, ventricle_voxels
from .planes import PLANES, Plane, View, to_ras, view_around
from .style import OVERLAY_COLOURS, new_figure

Array = npt.NDArray[np.generic]

SHOWN_PLANES = PLANES[:2]
"""Axial and coronal: in plane and through the slices."""
_COLUMNS = ("image", "label", "prediction")
_OPACITY = 0.55


def phase_frames(label: Array | torch.Tensor, pred: Array | torch.Tensor) -> dict[str, int]:
    """End-diastole and end-systole of the label if at least two of its frames are annotated, else of the prediction.

    Args:
        label: ``(H, W, D, T)``; 255 = not annotated.
        pred: ``(H, W, D, T)``.

    Returns:
        0-based frames by whose they are: ``{"Reference ED": 0, "Reference ES": 7}``.

    Raises:
        ValueError: if one of them is no label map.
    """
    of_label = measured_frames(as_label_map(label, "label")).sum() > 1
    function = measure_left_ventricle(label if of_label else pred, np.eye(4))
    whose = "Reference" if of_label else "Predicted"
    return {f"{whose} ED": function.ed_frame, f"{whose} ES": function.es_frame}


def training_panel(
    image: Array | torch.Tensor,
    label: Array | torch.Tensor,
    pred: Array | torch.Tensor,
    affine: Array | torch.Tensor,
    *,
    title: str = "",
) -> Figure:
    """Draw axial and coronal slices through the middle of the ventricle at end-diastole and end-systole.

    A row per frame, see :func:`phase_frames`; the planes are the same in both, so that motion shows. A frame without
    annotation says so in place of the label.

    Args:
        image: ``(H, W, D, T)``, in any unit: the percentiles 1 and 99 of each slice are black and white.
        label: ``(H, W, D, T)``; 255 = not annotated.
        pred: ``(H, W, D, T)``; 0, 1 LV, 2 LVM.
        affine: ``(4, 4)``, voxel to RAS millimetres, for all three arrays.
        title: stands above.

    Returns:
        The figure, 12 x 4.9 inches.

    Raises:
        ValueError: if shapes disagree.
    """
    drawn, guess, matrix = as_label_map(label, "label"), as_label_map(pred, "pred"), as_affine(affine)
    picture = image.as_subclass(torch.Tensor).detach().cpu().numpy() if isinstance(image, torch.Tensor) else image
    if not picture.shape == drawn.shape == guess.shape:
        raise ValueError(f"shapes must agree, got image {picture.shape}, label {drawn.shape}, pred {guess.shape}")
    frames = phase_frames(drawn, guess)
    known = measured_frames(drawn)
    of_label = [frame for frame in frames.values() if known[frame]]
    # Where there is a label, it says where the ventricle is: an untrained network sees it everywhere.
    first, second = (drawn, guess) if of_label else (guess, drawn)
    view = view_around(ventricle_voxels(first, second, list(frames.values())), matrix)
    figure = new_figure(12.0, 4.9)
    grid = figure.subplots(len(frames), len(SHOWN_PLANES) * len(_COLUMNS), squeeze=False)
    for row, (name, frame) in zip(grid, frames.items(), strict=True):
        volumes = [to_ras(array[..., frame], matrix) for array in (picture, drawn, guess)]
        _draw_row(row, volumes, view, annotated=bool(known[frame]))
        row[0].set_ylabel(f"{name}, frame {frame}", fontsize=10)
    for axes, (plane, column) in zip(grid[0], ((p, c) for p in SHOWN_PLANES for c in _COLUMNS), strict=True):
        axes.set_title(f"{plane.name}: {column}", fontsize=10)
    figure.suptitle(title, fontsize=11, fontweight="bold")
    legend(figure, with_reference=False)
    return figure


def _draw_row(row: Sequence[Axes], volumes: Sequence[Array], view: View, *, annotated: bool) -> None:
    image, label, pred = volumes
    cells = [(plane, labels) for plane in SHOWN_PLANES for labels in (None, label, pred)]
    for axes, (plane, labels) in zip(row, cells, strict=True):
        draw_image(axes, plane, view.cut(image, plane), view, None)
        if labels is label and not annotated:
            axes.text(0.5, 0.5, "not annotated", transform=axes.transAxes, ha="center", color="white", fontsize=11)
            for shown in axes.get_images():
                shown.set_alpha(0.35)
        elif labels is not None:
            _fill(axes, view.cut(labels, plane), plane, view)


def _fill(axes: Axes, labels: Array, plane: Plane, view: View) -> None:
    """Cover the structures with their colours; the image shows through."""
    veil = np.zeros((*labels.shape, 4))
    for name, value in STRUCTURES.items():
        veil[labels == value] = (*to_rgb(OVERLAY_COLOURS[name]), _OPACITY)
    if np.isin(labels, (LV, LVM)).any():
        limits = axes.get_xlim(), axes.get_ylim()
        axes.imshow(veil, aspect=view.aspect(plane), interpolation="nearest")
        axes.set(xlim=limits[0], ylim=limits[1])
