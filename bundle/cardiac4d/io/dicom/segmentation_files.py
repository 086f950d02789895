# SPDX-License-Identifier: Apache-2.0
"""Write the segmentation of a study as one DICOM SEG per phase."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from ...conventions import NUM_CLASSES
from ...errors import InputError
from ...geometry import Grid
from ..same_grid import GRID_TOLERANCE
from ..whole_file import whole_folder
from ..writer import refuse_existing
from .segmentation import BINARY, LABELMAP, phase_segmentation
from .sequence import DicomSequence
from .sources import PhaseImages
from .toolkit import highdicom_for, quiet


def write_segmentations(
    folder: str | PathLike[str],
    labels: np.ndarray,
    affine: np.ndarray,
    sequence: DicomSequence,
    *,
    frames: Sequence[int] | None = None,
    kind: str = BINARY,
    overwrite: bool = False,
) -> Path:
    """Write ``<folder>/frame_<index>.dcm`` for each phase; the folder appears when all of them are complete.

    Patient and study are those of the source images, as the standard demands: the files name the patient.

    Args:
        folder: made anew.
        labels: ``(H, W, D, T)`` on the study's own grid: 0 background, 1 LV, 2 LVM.
        affine: 4x4, of ``labels``.
        sequence: the study that was segmented.
        frames: index in ``sequence`` of each frame of ``labels``; default: all, in order.
        kind: ``BINARY``, which viewers read, or ``LABELMAP`` (PS3.3, since 2023).
        overwrite: replace an existing folder.

    Returns:
        The folder.

    Raises:
        InputError: if the folder exists and ``overwrite`` is false, highdicom is not installed, or the headers of the
            study cannot be referenced.
        ValueError: if the arguments do not fit together.
    """
    target = Path(folder)
    chosen = list(range(sequence.num_frames) if frames is None else frames)
    _check(labels, affine, sequence, chosen, kind)
    refuse_existing(target, overwrite=overwrite)
    highdicom_for(sequence.path)
    with whole_folder(target) as partial:
        for position, frame in enumerate(chosen):
            _write_phase(partial / segmentation_name(frame), labels[..., position], sequence, frame, kind)
    return target


def segmentation_name(frame: int) -> str:
    """Name of the file of a frame, an index in its study."""
    return f"frame_{frame:03d}.dcm"


def phase_name(sequence: DicomSequence, frame: int) -> str:
    """A phase in words: its percentage of the R-R interval where it is known, and its index.

    Example: ``"30 % R-R (frame 3)"``.
    """
    percents = sequence.phase_percents
    return f"frame {frame}" if percents is None else f"{percents[frame]:g} % R-R (frame {frame})"


def _write_phase(path: Path, labels: np.ndarray, sequence: DicomSequence, frame: int, kind: str) -> None:
    images = PhaseImages(sequence.path, sequence.images(frame))
    try:
        with quiet():
            result = phase_segmentation(labels, images, phase_name(sequence, frame), frame, kind)
            result.save_as(path)
    except (ValueError, TypeError, AttributeError, NotImplementedError) as error:
        source = sequence.images(frame)[0].source.path
        problem = (
            f"its header holds values that DICOM does not allow ({type(error).__name__}), and a SEG takes them over"
        )
        # `from None`: the text of these errors quotes values, which may be the patient's
        raise InputError(source, problem, "repair the header, or write results in another format") from None


def _check(labels: np.ndarray, affine: np.ndarray, sequence: DicomSequence, frames: list[int], kind: str) -> None:
    if kind not in (BINARY, LABELMAP):
        raise ValueError(f"`kind` must be {BINARY} or {LABELMAP}, got {kind!r}")
    shape = (*sequence.grid.shape, len(frames))
    if labels.shape != shape or labels.dtype != np.uint8 or labels.max(initial=0) >= NUM_CLASSES:
        raise ValueError(f"`labels` must be uint8 {shape} of 0 to {NUM_CLASSES - 1}, got {labels.dtype} {labels.shape}")
    distance = Grid(labels.shape[:3], np.asarray(affine)).distance_mm(sequence.grid)
    if distance > GRID_TOLERANCE * sequence.grid.spacing_mm.min():
        raise ValueError(f"`labels` must lie on the study's own grid, but lie up to {distance:.3g} mm from it")
    if len(set(frames)) < len(frames):
        raise ValueError(f"`frames` must differ, got {frames}")
