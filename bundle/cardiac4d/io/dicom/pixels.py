# SPDX-License-Identifier: Apache-2.0
"""The numbers in the images: decoded, rescaled image by image, in the smallest type that holds all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from ...errors import InputError
from .image import SliceImage
from .toolkit import quiet

_INTEGERS = (np.dtype(np.int16), np.dtype(np.int32))
MAX_ERROR_TEXT = 120


def voxel_type(images: Iterable[SliceImage]) -> np.dtype:
    """int16 or int32 where every slope and intercept is whole and the rescaled numbers fit, else float32.

    One type holds for all frames of a sequence, whatever slopes its images have.
    """
    scalings = {(image.slope, image.intercept, image.stored_range) for image in images}
    if all(slope.is_integer() and intercept.is_integer() for slope, intercept, _ in scalings):
        ends = [slope * end + intercept for slope, intercept, stored in scalings for end in stored]
        for dtype in _INTEGERS:
            if np.iinfo(dtype).min <= min(ends) and max(ends) <= np.iinfo(dtype).max:
                return dtype
    return np.dtype(np.float32)


def read_slices(images: list[SliceImage], dtype: np.dtype) -> np.ndarray:
    """Decode and rescale images of one size into ``(column, row, slice)``.

    Raises:
        InputError: if a file is truncated, or its pixels cannot be decoded or are of another size.
    """
    rows, columns = images[0].size
    out = np.empty((len(images), rows, columns), dtype)
    for index, (image, stored) in enumerate(_decoded(images)):
        if stored.shape != (rows, columns):
            problem = f"its pixels are {' x '.join(map(str, stored.shape))}, its header says {rows} x {columns}"
            raise InputError(image.source.path, problem, "copy or export the file again")
        scaled = stored.astype(np.float64) * image.slope + image.intercept
        with np.errstate(over="ignore"):  # infinite voxels are refused by the caller
            out[index] = scaled
    return out.T


def _decoded(images: list[SliceImage]) -> Iterator[tuple[SliceImage, np.ndarray]]:
    """Each image with its stored pixels; neighbours of one file are read in one go."""
    for path, group in groupby(images, key=lambda image: image.source.path):
        members = list(group)
        pixels = _pixels(path, [image.source.frame_number - 1 for image in members])
        yield from zip(members, pixels, strict=True)


def _pixels(path: Path, indices: list[int]) -> Iterator[np.ndarray]:
    from pydicom.pixels import iter_pixels

    decoded, frames = 0, iter_pixels(path, indices=indices, raw=True)
    try:
        for _ in indices:
            with quiet():
                frame = next(frames)
            decoded += 1
            yield frame
    except Exception as error:  # what decoders raise on damaged bytes has no end
        problem = f"its pixels cannot be decoded ({type(error).__name__}: {str(error)[:MAX_ERROR_TEXT]})"
        raise InputError(path, problem, "the file is truncated or damaged: copy or export it again") from error
