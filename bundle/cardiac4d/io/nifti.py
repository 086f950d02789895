# SPDX-License-Identifier: Apache-2.0
"""Read a 4D NIfTI sequence one frame at a time, with its time axis and a trustworthy affine."""

from __future__ import annotations

import logging
import math
import weakref
import zlib
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError

from ..errors import InputError
from ..geometry import Grid, TimeAxis, spacing_from_affine
from .source import SequenceSource

logger = logging.getLogger(__name__)

NIFTI_SUFFIXES = (".nii", ".nii.gz")
SPACING_RTOL = 1e-3
"""Relative difference from which the sform's spacing and pixdim count as disagreeing (MONAI's tolerance)."""

_READ_ERRORS = (OSError, EOFError, ValueError, zlib.error)
_announced: set[str] = set()


class NiftiSequence(SequenceSource):
    """A 4D NIfTI file whose frames are read on demand: opening it reads the header only.

    ``.nii`` is read in time proportional to the frames asked for; ``.nii.gz`` is decompressed once from the start to
    the last of them, if they are asked for in ascending order; reading the last frame checks its checksum.

    Args:
        path: a ``.nii`` or ``.nii.gz`` file of shape ``(H, W, D, T)``; ``(H, W, D, T, 1)`` and ``(H, W, D, 1, T)`` are
            taken too. Space must be in millimetres (or unit unknown), the fourth axis must be time (or unit unknown).

    Attributes:
        path: the file.
        grid: spatial shape and affine. Files whose sform's spacing contradicts ``pixdim`` have a right ``pixdim`` and
            an sform of unit scale: the qform is used where its code says that it is set. Else the sform keeps its
            directions and its origin, millimetres from the first voxel centre that no spacing enters, and its columns
            get the lengths in ``pixdim``. (MONAI takes the qform even if it is not set, which loses both.)
        num_frames: T.

    Raises:
        InputError: if the file is missing, is not NIfTI, is truncated, is not 4D, or has an unusable header.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._image = _open(self.path)
        self._header = self._image.header
        self._select = _frame_slicer(self.path, self._image.shape)
        self.num_frames = max(self._image.shape[3:])
        self.grid = Grid(self._image.shape[:3], _trusted_affine(self.path, self._image))
        if self._image.get_data_dtype().kind not in "biuf":
            raise InputError(self.path, f"voxels are of type {self._image.get_data_dtype()}", "convert to real numbers")
        _refuse_short(self.path, self._image)
        self._space_unit, self._time_unit = _units(self.path, self._header)
        self._stream: ImageOpener | None = None

    def time_axis(self, *, full_cycle: bool = False) -> TimeAxis:
        """The time axis in the header; ``full_cycle`` is not in a NIfTI header and comes from the data list."""
        is_plain = self._image.ndim == 4 or self._image.shape[4] == 1
        step = float(self._header["pixdim"][4]) if is_plain else 0.0
        offset = float(self._header["toffset"])
        return TimeAxis.uniform(self.num_frames, step, unit=self._time_unit, offset=offset, full_cycle=full_cycle)

    def header_meta(self) -> dict[str, Any]:
        """What the writer needs, beside affine and time, to restore the header."""
        return {
            "sform_code": int(self._header["sform_code"]),
            "qform_code": int(self._header["qform_code"]),
            "space_unit": self._space_unit,
        }

    def frame(self, index: int) -> np.ndarray:
        """One frame ``(H, W, D)`` in the file's own type, or floating point where the header scales the voxels.

        Raises:
            InputError: if the file is truncated or the frame holds NaN or infinite voxels.
        """
        if not 0 <= index < self.num_frames:
            raise ValueError(f"`index` must lie in 0..{self.num_frames - 1}, got {index}")
        try:
            voxels = np.asanyarray(self._voxels[self._select(index)])
            if index == self.num_frames - 1 and self._stream is not None:
                self._stream.read()  # gzip compares its checksum at the end only
        except _READ_ERRORS as error:
            problem = f"frame {index} of {self.num_frames} cannot be read, the file is truncated or damaged ({error})"
            raise InputError(self.path, problem, "copy or export the file again") from error
        if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
            bad = voxels.size - np.count_nonzero(np.isfinite(voxels))
            fix = "replace them, for instance by the padding value of the scanner, and save the file again"
            raise InputError(self.path, f"frame {index} holds {bad} NaN or infinite voxels", fix)
        return voxels

    @cached_property
    def _voxels(self) -> Any:
        """The voxels on disk; a compressed file stays open, so that reading goes on where the last frame ended."""
        proxy = self._image.dataobj
        if not self.path.name.lower().endswith(".gz"):
            return proxy
        self._stream = ImageOpener(str(self.path))
        weakref.finalize(self, self._stream.close)
        return ArrayProxy(self._stream, (proxy.shape, proxy.dtype, proxy.offset, proxy.slope, proxy.inter))


def has_nifti_suffix(path: str | PathLike[str]) -> bool:
    """Whether the name ends in ``.nii`` or ``.nii.gz``."""
    return str(path).lower().endswith(NIFTI_SUFFIXES)


def nifti_stem(path: str | PathLike[str]) -> str:
    """File name without ``.nii`` or ``.nii.gz``.

    Example:
        >>> nifti_stem("imagesTr/case.01.nii.gz")
        'case.01'
    """
    name = Path(path).name
    suffix = next((s for s in (".nii.gz", ".nii") if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)]


def _open(path: Path) -> Any:
    if not path.exists():
        raise InputError(path, "the file does not exist", "correct the path, or restore the file")
    if not path.is_file() or not has_nifti_suffix(path):
        raise InputError(path, "not a NIfTI file", "give a 4D .nii or .nii.gz file; convert other formats first")
    try:
        return nib.load(path)
    except (ImageFileError, HeaderDataError, *_READ_ERRORS) as error:
        fix = "export the file again as NIfTI; if it was copied, copy it again"
        raise InputError(path, f"the header cannot be read as NIfTI ({error})", fix) from error


def _refuse_short(path: Path, image: Any) -> None:
    """Refuse a truncated file at once; a compressed one shows it only when it is read to its end."""
    announced, size = (
        image.dataobj.offset + math.prod(image.shape) * image.get_data_dtype().itemsize,
        path.stat().st_size,
    )
    if size < announced and not path.name.lower().endswith(".gz"):
        problem = f"it has {size} bytes, but its header announces {announced}: the file is truncated"
        raise InputError(path, problem, "copy or export the file again")


def _frame_slicer(path: Path, shape: tuple[int, ...]) -> Any:
    """A function from frame index to the slices of that frame, for the axis that is time."""
    if len(shape) == 3:
        fix = "give a 4D file; join 3D files with `nibabel.concat_images([...])`, one per frame in order of time"
        raise InputError(path, f"a 3D image {shape}, but a 4D sequence (H, W, D, T) is needed", fix)
    if 0 in shape:
        raise InputError(path, f"an empty image of shape {shape}", "export the file again")
    if len(shape) == 4 or (len(shape) == 5 and shape[4] == 1):
        return lambda index: (..., index) if len(shape) == 4 else (..., index, 0)
    if len(shape) == 5 and shape[3] == 1:
        return lambda index: (..., 0, index)
    raise InputError(path, f"shape {shape}, but (H, W, D, T) is needed", "save the file with space and time axes only")


def _trusted_affine(path: Path, image: Any) -> np.ndarray:
    """The affine, repaired where an sform contradicts ``pixdim``."""
    affine, zooms = np.asarray(image.affine, dtype=np.float64), np.asarray(image.header.get_zooms()[:3], np.float64)
    if not np.allclose(spacing_from_affine(affine), zooms, rtol=SPACING_RTOL):
        affine = _repaired_affine(path, image.header, affine, zooms)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise InputError(path, "the affine is singular or not finite", "repair sform, qform and pixdim in the header")
    return affine


def _repaired_affine(path: Path, header: Any, sform: np.ndarray, zooms: np.ndarray) -> np.ndarray:
    """The qform, whose spacing is ``pixdim`` by its definition, or without one the sform scaled to ``pixdim``."""
    spacing = spacing_from_affine(sform)
    if header["qform_code"] > 0:
        _warn_once(path, spacing, zooms, "the qform, which agrees with pixdim, is used")
        return np.asarray(header.get_qform(), dtype=np.float64)
    _warn_once(path, spacing, zooms, "the sform is scaled to pixdim, as no qform is set")
    repaired = sform.copy()
    with np.errstate(divide="ignore", invalid="ignore"):  # a singular sform is refused by the caller
        repaired[:3, :3] *= zooms / spacing
    return repaired


def _warn_once(path: Path, sform_spacing: np.ndarray, zooms: np.ndarray, remedy: str) -> None:
    if remedy in _announced:
        return
    _announced.add(remedy)
    logger.warning(
        "%s: the sform says %s mm per voxel, pixdim %s; %s. Further files of this kind are not announced.",
        path,
        np.round(sform_spacing, 4).tolist(),
        np.round(zooms, 4).tolist(),
        remedy,
    )


def _units(path: Path, header: Any) -> tuple[str, str]:
    try:
        space, time = header.get_xyzt_units()
    except KeyError:
        space = time = "unknown"
    if space not in ("mm", "unknown"):
        fix = "scale affine and pixdim to millimetres and set the spatial unit to mm"
        raise InputError(path, f"space is in {space}, but millimetres are needed", fix, "xyzt_units")
    if time not in ("sec", "msec", "usec", "unknown"):
        raise InputError(path, f"the fourth axis is in {time}, not time", "give a sequence of volumes", "xyzt_units")
    return space, time
