# SPDX-License-Identifier: Apache-2.0
"""Contours on the image: three planes through the ventricle, at the frames that matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..conventions import LV, LVM
from ..measure import as_affine, as_label_map, measured_frames
from .planes import PLANES, Plane, View, to_ras, view_around
from .style import GUIDE_COLOUR, OVERLAY_COLOURS, OVERLAY_REFERENCE_COLOUR, STRUCTURE_NAMES, draw_scale_bar, new_figure

Array = npt.NDArray[np.generic]

Linestyle = str | tuple[int, tuple[int, int]]

CONTRAST_CT_WINDOW_HU = (-160.0, 560.0)
_CONTOURS: tuple[tuple[dict[str, str], Linestyle], ...] = (
    (OVERLAY_COLOURS, "solid"),
    (dict.fromkeys(OVERLAY_COLOURS, OVERLAY_REFERENCE_COLOUR), (0, (2, 2))),
)
"""Of the prediction and of the reference."""


def overlay(
    image: Array | torch.Tensor,
    pred: Array | torch.Tensor,
    affine: Array | torch.Tensor,
    frames: Mapping[str, int],
    *,
    reference: Array | torch.Tensor | None = None,
    window: tuple[float, float] | None = CONTRAST_CT_WINDOW_HU,
    title: str = "",
) -> Figure:
    """Draw prediction (solid, coloured) and reference (white, dashed) on three planes, one row per frame.

    The planes are those of the array nearest to axial, coronal and sagittal. They are the same for all frames, so that
    motion shows: through the middle of the segmented ventricle, with 25 mm around it, all at one scale, which a bar
    states; black beside an image is outside the study. The contour of the myocardium is its outer one; its inner one is
    that of the cavity.

    Args:
        image: ``(H, W, D, T)``.
        pred: ``(H, W, D, T)``; 0, 1 LV, 2 LVM.
        affine: ``(4, 4)``, voxel to RAS millimetres, for all three arrays.
        frames: name and 0-based index of each row, for example ``{"ED": 0, "ES": 7}``.
        reference: ``(H, W, D, T)`` with 255 = not annotated; a frame without annotation shows the prediction alone.
        window: intensities drawn black and white, in the image's unit; ``None`` takes the percentiles 1 and 99 of
            what is shown.
        title: stands above.

    Returns:
        The figure; see :func:`cardiac4d.report.save_png`.

    Raises:
        ValueError: if shapes disagree, ``frames`` is empty, or a frame does not exist.
    """
    image, affine, pred = _as_array(image), as_affine(affine), as_label_map(pred, "pred")
    truth = None if reference is None else as_label_map(reference, "reference")
    _check(image, pred, frames, truth)
    view = view_around(ventricle_voxels(pred, truth, list(frames.values())), affine)
    figure = new_figure(9.0, 3.0 * len(frames) + 0.6)
    grid = figure.subplots(len(frames), len(PLANES), squeeze=False)
    for row, (name, frame) in zip(grid, frames.items(), strict=True):
        picture, *labels = [to_ras(array[..., frame], affine) for array in (image, pred, truth) if array is not None]
        _draw_frame(row, view, picture, labels, window)
        unknown = truth is not None and not measured_frames(truth)[frame]
        row[0].set_ylabel(f"{name}, frame {frame}" + ("\nnot annotated" if unknown else ""), fontsize=10)
    for axes, plane in zip(grid[0], PLANES, strict=True):
        axes.set_title(plane.name, fontsize=10)
    figure.suptitle(title, fontsize=11, fontweight="bold")
    legend(figure, with_reference=truth is not None)
    return figure


def _as_array(image: Array | torch.Tensor) -> Array:
    return image.as_subclass(torch.Tensor).detach().cpu().numpy() if isinstance(image, torch.Tensor) else image


def _draw_frame(
    row: Sequence[Axes], view: View, image: Array, labels: Sequence[Array], window: tuple[float, float] | None
) -> None:
    """Draw one row of the figure: a frame in RAS order, its prediction and, if there is one, its reference."""
    for axes, plane in zip(row, PLANES, strict=True):
        draw_image(axes, plane, view.cut(image, plane), view, window)
        for array, (colours, linestyle) in zip(labels, _CONTOURS, strict=False):
            draw_contours(axes, view.cut(array, plane), colours, linestyle)


def _check(image: Array, pred: Array, frames: Mapping[str, int], reference: Array | None) -> None:
    if not frames:
        raise ValueError("`frames` must name at least one frame")
    for name, array in (("image", image), ("pred", pred), ("reference", reference)):
        if array is not None and (array.ndim != 4 or array.shape != image.shape):
            raise ValueError(f"`{name}` must be (H, W, D, T) like `image` {image.shape}, got {array.shape}")
    beyond = {name: frame for name, frame in frames.items() if not 0 <= frame < image.shape[-1]}
    if beyond:
        raise ValueError(f"`frames` must lie within 0 to {image.shape[-1] - 1}, got {beyond}")


def ventricle_voxels(pred: Array, reference: Array | None, frames: list[int]) -> npt.NDArray[np.bool_]:
    """Voxels of the ventricle in any shown frame; of the reference if the prediction is empty; all if both are."""
    for labels in (pred, reference):
        if labels is not None:
            inside = np.logical_or.reduce([np.isin(labels[..., frame], (LV, LVM)) for frame in frames])
            if inside.any():
                return inside
    return np.ones(pred.shape[:3], dtype=bool)


def draw_image(axes: Axes, plane: Plane, picture: Array, view: View, window: tuple[float, float] | None) -> None:
    """Show a cut of a volume, with its scale bar and the letters of its edges; ``window`` as in :func:`overlay`."""
    low, high = window if window is not None else np.percentile(picture.astype(np.float64), (1, 99)).tolist()
    axes.imshow(picture, cmap="gray", vmin=low, vmax=high, aspect=view.aspect(plane), interpolation="bilinear")
    left_right, bottom_top = view.limits(plane, picture.shape)
    axes.set(xticks=[], yticks=[], xlim=left_right, ylim=bottom_top, facecolor="black")
    axes.spines[:].set_visible(False)
    draw_scale_bar(axes, 2 * view.half_width_mm())
    edges = ((0.02, 0.5), (0.98, 0.5), (0.5, 0.98), (0.5, 0.02))
    anchors = (("left", "center"), ("right", "center"), ("center", "top"), ("center", "bottom"))
    for letter, edge, (horizontal, vertical) in zip(plane.letters, edges, anchors, strict=True):
        axes.text(*edge, letter, transform=axes.transAxes, ha=horizontal, va=vertical, color="white", fontsize=8)


def draw_contours(axes: Axes, labels: Array, colours: Mapping[str, str], linestyle: Linestyle) -> None:
    """The outer contour of the myocardium and that of the cavity; nothing where there is none in this plane."""
    if min(labels.shape) < 2:  # a study of one slice, seen from the side: matplotlib refuses
        return
    for structure, inside in (("LVM", np.isin(labels, (LV, LVM))), ("LV", labels == LV)):
        if inside.any() and not inside.all():
            axes.contour(inside, levels=[0.5], colors=[colours[structure]], linewidths=1.4, linestyles=[linestyle])


def legend(figure: Figure, *, with_reference: bool) -> None:
    """Name the colours of the structures, and the line of a reference, below the figure."""
    handles = [Line2D([], [], color=OVERLAY_COLOURS[key], label=STRUCTURE_NAMES[key]) for key in OVERLAY_COLOURS]
    if with_reference:
        handles.append(Line2D([], [], color=GUIDE_COLOUR, linestyle="--", label="reference (white on the image)"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
