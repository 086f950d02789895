# SPDX-License-Identifier: Apache-2.0
"""The beating heart of one study: three stacks of pictures, small enough for a page, and still frames for paper."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from ..geometry import spacing_from_affine
from .beating_pictures import Pictures, Window, choose_window, sample_cuts
from .contours import UNITS_PER_PIXEL
from .cut_planes import Points
from .heart_views import Cut, Stack, heart_axis, heart_stacks
from .sprites import BLOCK, sprite_columns, sprites

Array = npt.NDArray[np.generic]

MOST_PICTURES: Final = 720
"""In a page, over all views, positions and frames."""
MOST_CUTS: Final = 11
FEWEST_PIXELS, MOST_PIXELS = 96, 224
IMAGE_LIMIT_BYTES: Final = 13_000_000
"""Of all pictures of a page as text; the page stays below 15 MB with it."""


class Frames(Protocol):
    """A sequence whose frames come one at a time, such as :class:`cardiac4d.io.SequenceSource`."""

    def frames(self) -> Iterable[Array]:
        """T frames ``(H, W, D)``, in order."""


@dataclass(frozen=True)
class BeatingViews:
    """What a study looks like.

    Attributes:
        stacks: axial, short axis, long axis; axial alone where there is no ventricle.
        pictures: of each stack.
        start: index of the cut that is shown first, per stack.
        window: intensities drawn black and white.
        septum_known: whether the septum stands at the left, or the right of the body.
    """

    stacks: tuple[Stack, ...]
    pictures: tuple[Pictures, ...]
    start: tuple[int, ...]
    window: Window
    septum_known: bool

    @property
    def num_pixels(self) -> int:
        """Rows and columns of each picture."""
        return int(self.pictures[0].pixels.shape[-1])

    @property
    def mm_per_pixel(self) -> float:
        """Scale of all pictures."""
        return 2 * self.stacks[0].cuts[0].plane.half_width_mm / (self.num_pixels - 1)

    @property
    def has_reference(self) -> bool:
        """Whether there are contours of a reference."""
        return bool(self.pictures[0].reference)

    def as_data(self) -> dict[str, Any]:
        """What the script of the page needs, as JSON values."""
        num_frames = self.pictures[0].pixels.shape[1]
        limit = IMAGE_LIMIT_BYTES // len(self.stacks)
        return {
            "pixels": self.num_pixels,
            "columns": sprite_columns(num_frames),
            "mm_per_pixel": round(self.mm_per_pixel, 4),
            "units_per_pixel": UNITS_PER_PIXEL,
            "views": [
                {"key": stack.key, "name": stack.name, "start": start, "cuts": _cuts_data(stack, shown, limit)}
                for stack, shown, start in zip(self.stacks, self.pictures, self.start, strict=True)
            ],
        }


def beating_views(
    image: Frames,
    labels: Array,
    affine: Points,
    document: Mapping[str, Any],
    *,
    window: Window | None = None,
    reference: Array | None = None,
) -> BeatingViews:
    """Cut a study for its page.

    The number of positions per view falls with the number of frames, from 11, so that a page stays small: at 20 frames
    11, at 30 frames 8. Pictures are as fine as the smallest voxel edge, between 96 and 224 pixels wide.

    Args:
        image: the sequence.
        labels: ``(H, W, D, T)``; 0, 1 LV, 2 LVM, 255 draws nothing.
        affine: ``(4, 4)``, voxel to RAS millimetres.
        document: the measures of the study; gives end-diastole and the long axis.
        window: intensities drawn black and white; default: see :func:`~.beating_pictures.choose_window`.
        reference: another label map of the same shape, drawn beside ``labels``.
    """
    at_ed = labels[..., document["phases"]["ed_frame"]]
    axis, num_frames = heart_axis(document, at_ed, affine), labels.shape[3]
    num_cuts = min(max(MOST_PICTURES // (3 * num_frames), 1), MOST_CUTS)
    stacks = heart_stacks(axis, at_ed, affine, num_cuts)
    cuts = [cut for stack in stacks for cut in stack.cuts]
    frames = iter(image.frames())
    first = next(frames)
    window = choose_window(first) if window is None else window
    num_pixels = _num_pixels(cuts[0], affine)
    together = sample_cuts(_chained(first, frames), labels, affine, cuts, num_pixels, window, reference)
    pictures = tuple(together.part(k, k + num_cuts) for k in range(0, len(cuts), num_cuts))
    start = tuple(0 if stack.key == "long" else num_cuts // 2 for stack in stacks)
    return BeatingViews(stacks, pictures, start, window, axis is not None and axis.septum_known)


def _chained(first: Array, rest: Iterable[Array]) -> Iterable[Array]:
    yield first
    yield from rest


def _num_pixels(cut: Cut, affine: Points) -> int:
    wanted = 2 * cut.plane.half_width_mm / float(spacing_from_affine(affine).min())
    return min(max(math.ceil(wanted / BLOCK) * BLOCK, FEWEST_PIXELS), MOST_PIXELS)


def _cuts_data(stack: Stack, pictures: Pictures, limit_bytes: int) -> list[dict[str, Any]]:
    encoded = sprites(pictures.pixels, limit_bytes)
    data = [
        {
            "title": cut.title,
            "letters": cut.plane.letters,
            "center": np.round(cut.center_mm, 2).tolist(),
            "right": np.round(cut.plane.right, 4).tolist(),
            "down": np.round(cut.plane.down, 4).tolist(),
            "sprite": sprite,
            "contours": contours,
        }
        for cut, sprite, contours in zip(stack.cuts, encoded, pictures.contours, strict=True)
    ]
    for cut_data, contours in zip(data, pictures.reference, strict=False):  # none without a reference
        cut_data["reference"] = contours
    return data
