# SPDX-License-Identifier: Apache-2.0
"""Variants of one sequence side by side: frames from left to right, variants from top to bottom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from ..conventions import LV, LVM
from .overlay import CONTRAST_CT_WINDOW_HU
from .style import OVERLAY_COLOURS, new_figure

Array = npt.NDArray[np.generic]


def variant_montage(
    variants: Mapping[str, tuple[Array, Array]],
    frames: Sequence[int],
    *,
    window: tuple[float, float] = CONTRAST_CT_WINDOW_HU,
) -> Figure:
    """Draw the middle slice of every variant with the contours of its own labels.

    Args:
        variants: by name, image ``(H, W, D, T)`` in Hounsfield units and labels of the same shape (0, 1 LV, 2 LVM), in
            RAS order: the picture shows the patient's right on its left, the front at its top.
        frames: 0-based, one column each.
        window: intensities drawn black and white.

    Raises:
        ValueError: if there is nothing to draw, or the shapes of an image and its labels differ.
    """
    if not variants or not frames or any(image.shape != labels.shape for image, labels in variants.values()):
        raise ValueError("`variants` and `frames` must not be empty, and labels must have the shape of their image")
    figure = new_figure(1.4 * len(frames), 1.4 * len(variants) + 0.3)
    grid = figure.subplots(len(variants), len(frames), squeeze=False)
    for row, (name, (image, labels)) in zip(grid, variants.items(), strict=True):
        row[0].set_ylabel(name, fontsize=8)
        middle = image.shape[2] // 2
        for axes, frame in zip(row, frames, strict=True):
            axes.imshow(_upright(image[:, :, middle, frame]), cmap="gray", vmin=window[0], vmax=window[1])
            shown = _upright(labels[:, :, middle, frame])
            for key, inside in (("LVM", np.isin(shown, (LV, LVM))), ("LV", shown == LV)):
                if 0 < inside.mean() < 1:
                    axes.contour(inside, levels=[0.5], colors=[OVERLAY_COLOURS[key]], linewidths=0.7)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
    for axes, frame in zip(grid[0], frames, strict=True):
        axes.set_title(f"frame {frame}", fontsize=8)
    return figure


def _upright(plane: Array) -> Array:
    """Left to right along the first axis, back to front from bottom to top."""
    return plane.T[::-1]
