# SPDX-License-Identifier: Apache-2.0
"""Compare what a header announces with what the file can hold, before any memory is asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError

MAX_FRAME_VOXELS = 2**31
"""More voxels in one frame than any scanner makes (2048 x 1024 x 1024)."""

MAX_DEFLATE_RATIO = 1032
"""The most that zlib and gzip can pack (zlib.net, "Maximum compression factor")."""


def check_announced(
    path: Path, shape: Sequence[int], itemsize: int, available: int, *, encoding: str = "raw", num_frames: int = 1
) -> None:
    """Raise :class:`InputError` where the voxels that a header announces cannot be there.

    Args:
        path: the file, to name it.
        shape: extents of one frame.
        itemsize: bytes per voxel.
        available: bytes on disk behind the header, packed or not.
        encoding: ``raw``, ``gzip``, ``zlib``, or ``bzip2``, which has no useful bound.
        num_frames: T.
    """
    if min(*shape, num_frames) < 1:
        raise InputError(path, f"an empty image of shape {(*shape, num_frames)}", "export the file again")
    if math.prod(shape) > MAX_FRAME_VOXELS:
        problem = f"its header announces frames of {tuple(shape)} voxels, more than any scanner makes"
        raise InputError(path, problem, "the header is damaged: copy or export the file again")
    announced = math.prod(shape) * num_frames * itemsize
    if encoding == "raw" and available < announced:
        problem = f"{available} bytes of voxels, but its header announces {announced}: the file is truncated"
        raise InputError(path, problem, "copy or export the file again")
    if encoding in ("gzip", "zlib") and available * MAX_DEFLATE_RATIO < announced:
        problem = f"its header announces {announced} bytes of voxels, which {available} compressed bytes cannot hold"
        raise InputError(path, problem, "the file is truncated or its header damaged: copy or export it again")
