# SPDX-License-Identifier: Apache-2.0
"""Moving pictures inside a page: the frames of one cut side by side in one JPEG, as text."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
import numpy.typing as npt
from matplotlib.image import imsave

QUALITIES = (80, 65, 50, 35, 20)
"""JPEG qualities, tried in this order until the page is small enough."""
BLOCK = 16
"""JPEG works in blocks of so many pixels: pictures of whole blocks do not bleed into their neighbours."""

Pixels = npt.NDArray[np.uint8]


def sprite_columns(num_frames: int) -> int:
    """Frames per row of a sprite, so that it is about square."""
    return math.ceil(math.sqrt(num_frames))


def sprites(pixels: Pixels, limit_bytes: int) -> list[str]:
    """One data URI per cut, of all its frames, in reading order.

    Args:
        pixels: ``(cuts, T, rows, columns)``.
        limit_bytes: of all URIs together; the JPEG quality falls until they fit, at most to 20.
    """
    sheets = [_sheet(frames) for frames in pixels]
    encoded: list[str] = []
    for quality in QUALITIES:
        encoded = [jpeg_uri(sheet, quality) for sheet in sheets]
        if sum(map(len, encoded)) <= limit_bytes:
            break
    return encoded


def jpeg_uri(pixels: Pixels, quality: int = QUALITIES[0]) -> str:
    """A grey picture ``(rows, columns)`` as a ``data:`` URI."""
    buffer = io.BytesIO()
    options = {"quality": quality, "optimize": True}
    imsave(buffer, pixels, cmap="gray", vmin=0, vmax=255, format="jpeg", pil_kwargs=options)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _sheet(frames: Pixels) -> Pixels:
    num_frames, rows, columns = frames.shape
    across = sprite_columns(num_frames)
    sheet = np.zeros((math.ceil(num_frames / across) * rows, across * columns), np.uint8)
    for t, picture in enumerate(frames):
        top, left = t // across * rows, t % across * columns
        sheet[top : top + rows, left : left + columns] = picture
    return sheet
