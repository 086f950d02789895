# SPDX-License-Identifier: Apache-2.0
"""Sample a sequence on planes that cut it at any angle: grey pictures and contours of every frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from ..conventions import LV, LVM
from .contours import contour_path
from .cut_planes import Points, voxel_indices
from .heart_views import Cut
from .overlay import CONTRAST_CT_WINDOW_HU

Array = npt.NDArray[np.generic]
Window = tuple[float, float]
Contours = list[tuple[str, str]]
"""Cavity and outer wall of every frame of a cut."""

AIR_HU = -200.0
"""Intensities below this are Hounsfield units: chest CT holds air and lung, MR holds nothing negative."""
PERCENTILES = (1.0, 99.5)
"""Drawn black and white where intensities have no unit."""


@dataclass
class Pictures:
    """What a stack of cuts looks like over the cycle.

    Attributes:
        pixels: ``(cuts, T, rows, columns)`` uint8.
        contours: per cut and frame the SVG paths of cavity and outer wall; see :func:`~.contours.contour_path`.
        reference: the same of a reference; empty without one.
    """

    pixels: npt.NDArray[np.uint8]
    contours: list[Contours] = field(default_factory=list)
    reference: list[Contours] = field(default_factory=list)

    def part(self, start: int, stop: int) -> Pictures:
        """The cuts from ``start`` to before ``stop``."""
        return Pictures(self.pixels[start:stop], self.contours[start:stop], self.reference[start:stop])


def choose_window(frame: Array) -> Window:
    """The window in which a frame is shown: that of contrast CT for Hounsfield units, else percentiles 1 and 99.5.

    Args:
        frame: ``(H, W, D)`` intensities.
    """
    sample = np.asarray(frame[::2, ::2, ::2], dtype=np.float64)
    if np.percentile(sample, PERCENTILES[0]) < AIR_HU:
        return CONTRAST_CT_WINDOW_HU
    low, high = np.percentile(sample, PERCENTILES).tolist()
    return (low, high) if high > low else (low, low + 1.0)


def sample_cuts(
    frames: Iterable[Array],
    labels: Array,
    affine: Points,
    cuts: Sequence[Cut],
    num_pixels: int,
    window: Window,
    reference: Array | None = None,
) -> Pictures:
    """Resample every frame on every cut, linearly; labels as the share of a structure, whose half is its contour.

    Needs the memory of one frame as float32 three times, five with a reference, cropped to the cuts, beside the result.

    Args:
        frames: T frames ``(H, W, D)``, in order.
        labels: ``(H, W, D, T)``; 0, 1 LV, 2 LVM, 255 draws nothing.
        affine: ``(4, 4)``, voxel to RAS millimetres.
        cuts: where to look.
        num_pixels: rows and columns of each picture.
        window: intensities drawn black and white.
        reference: another label map of the same shape, to be drawn beside ``labels``.

    Returns:
        Pictures ``(len(cuts), T, num_pixels, num_pixels)``.
    """
    indices = np.stack([_indices(cut, affine, num_pixels) for cut in cuts])
    box, grid = _crop(indices, labels.shape[:3])
    given = [labels] if reference is None else [labels, reference]
    maps = [np.ascontiguousarray(each[box].T) for each in given]  # (T, D, W, H): files store the first axis fastest
    out = Pictures(np.zeros((len(cuts), labels.shape[3], num_pixels, num_pixels), np.uint8))
    drawn = (out.contours, out.reference)[: len(maps)]
    for contours in drawn:
        contours.extend([] for _ in cuts)
    for t, (frame, *inside) in enumerate(zip(frames, *maps, strict=True)):
        intensity, *shares = _sample(frame[box].T, inside, grid, window)
        out.pixels[:, t] = np.round(255 * intensity.clip(0, 1))
        for contours, cavity, whole in zip(drawn, shares[::2], shares[1::2], strict=True):
            for of_cut, *paths in zip(contours, map(contour_path, cavity), map(contour_path, whole), strict=True):
                of_cut.append((paths[0], paths[1]))
    return out


def _indices(cut: Cut, affine: Points, num_pixels: int) -> Points:
    """Voxel indices ``(rows, columns, 3)`` of the picture's pixels."""
    step_mm = 2 * cut.plane.half_width_mm / (num_pixels - 1)
    points = cut.plane.points_mm(cut.center_mm, step_mm)[:num_pixels, :num_pixels]
    return np.moveaxis(voxel_indices(points, affine), 0, -1)


def _crop(indices: Points, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], torch.Tensor]:
    """The box of the volume that the cuts touch, and where they lie in it, in the units of ``grid_sample``.

    Those count the fastest axis first, which is the first one of a volume as files store it.
    """
    flat = indices.reshape(-1, 3)
    low = np.clip(np.floor(flat.min(axis=0)).astype(int), 0, np.array(shape) - 1)
    high = np.clip(np.ceil(flat.max(axis=0)).astype(int) + 1, low + 1, shape)
    units = (2 * (indices - low) + 1) / (high - low) - 1
    grid = torch.from_numpy(units.astype(np.float32))
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True)), grid[None]


def _sample(frame: Array, maps: Sequence[Array], grid: torch.Tensor, window: Window) -> npt.NDArray[np.float32]:
    """From ``(D, W, H)`` to ``(1 + 2 maps, cuts, rows, columns)``.

    Intensity, black 0 and white 1; then for each map the share of cavity, and of cavity and muscle.
    """
    low, high = window
    channels = np.empty((1 + 2 * len(maps), *frame.shape), np.float32)
    channels[0] = frame
    channels[0] -= low  # outside the volume stands 0, which is black then
    channels[0] /= high - low
    for k, labels in enumerate(maps):
        channels[1 + 2 * k], channels[2 + 2 * k] = labels == LV, (labels == LV) | (labels == LVM)
    sampled = torch.nn.functional.grid_sample(
        torch.from_numpy(channels)[None], grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return sampled[0].numpy()
