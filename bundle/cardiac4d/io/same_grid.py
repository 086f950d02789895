# SPDX-License-Identifier: Apache-2.0
"""Whether a label lies on its image's grid, and what to do where it does not."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError
from ..geometry import Grid, axis_codes
from .source import SequenceSource

GRID_TOLERANCE = 0.05
"""Image and label grids may differ by this fraction of the smallest voxel edge (other software rounds affines)."""


@dataclass(frozen=True, eq=False)
class LoadedGrid:
    """What is left of the source of an image that is loaded already.

    Attributes:
        path: where it came from, to name it.
        grid: its grid on disk.
        num_frames: T on disk.
    """

    path: str
    grid: Grid
    num_frames: int


def check_same_grid(label: SequenceSource, image: SequenceSource | LoadedGrid) -> None:
    """Raise :class:`InputError` naming both files unless the label lies on the image's grid, frame by frame."""
    label_shape, image_shape = (*label.grid.shape, label.num_frames), (*image.grid.shape, image.num_frames)
    if label_shape != image_shape:
        problem = f"its shape {label_shape} differs from {image_shape} of its image {image.path}"
        raise InputError(label.path, problem, "give label and image of the same sequence, on the same grid")
    distance = label.grid.distance_mm(image.grid)
    if distance > GRID_TOLERANCE * image.grid.spacing_mm.min():
        problem = f"its affine places voxels up to {distance:.3g} mm from those of its image {image.path}"
        raise InputError(label.path, problem, _advice(label, image))


def _advice(label: SequenceSource, image: SequenceSource | LoadedGrid) -> str:
    """Copying the affine is right only where each voxel of the label belongs to the same voxel of the image."""
    own, wanted = axis_codes(label.grid.affine), axis_codes(image.grid.affine)
    resample = "resample the label onto the image's grid with nearest-neighbour interpolation"
    if own != wanted:
        return f"{resample}; its axes run {own}, the image's {wanted}: do not copy the affine, which would mirror it"
    return f"{resample} or, only if its voxels already match those of the image one by one, copy the image's affine"
