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
from .announced_size import check_announced
from .image_names import NIFTI_SUFFIXES, has_suffix
from .source import SequenceSource, check_affine, check_finite, check_index

logger = logging.getLogger(__name__)

AXIS_ORDERS = ("xyzt", "xytz")
"""Orders of the axes of a file: NIfTI's own, and one that some software writes although the header cannot say so."""
SPACING_RTOL = 1e-3
"""Relative difference from which the sform's spacing and pixdim count as disagreeing (MONAI's tolerance)."""
FORMS_TOLERANCE = 0.05
"""Part of a voxel's edge by which sform and qform, which is stored in float32 angles, may differ unannounced."""

_READ_ERRORS = (OSError, EOFError, ValueError, zlib.error)
_announced: set[str] = set()


class NiftiSequence(SequenceSource):
    """A 4D NIfTI file whose frames are read on demand: opening it reads the header only.

    ``.nii`` is read in time proportional to the frames asked for; ``.nii.gz`` is decompressed once from the start to
    the last of them, if they are asked for in ascending order; reading the last frame checks its checksum.

    Args:
        path: a ``.nii`` or ``.nii.gz`` file of shape ``(H, W, D, T)``; ``(H, W, D, T, 1)`` and ``(H, W, D, 1, T)`` are
            taken too. Space must be in millimetres (or unit unknown), the fourth axis must be time (or unit unknown).
        axis_order: ``"xyzt"``, or ``"xytz"`` for a file whose third axis is time: ``pixdim[3]`` is then the frame
            duration, ``pixdim[4]`` the distance of slices, and the third column of the affine their direction.
        one_frame: take a 3D file, as one frame.

    Attributes:
        path: the file.
        grid: spatial shape and affine: the sform's if one is set, else the qform's, as in nibabel; where both are set
            and differ, a warning says so. Files whose sform's spacing contradicts ``pixdim`` have a right ``pixdim``
            and an sform of unit scale: the qform is used where its code says that it is set. Else the sform keeps its
            directions and its origin, millimetres from the first voxel centre that no spacing enters, and its columns
            get the lengths in ``pixdim``. (MONAI takes the qform even if it is not set, which loses both.)
        num_frames: T.

    Raises:
        InputError: if the file is missing, is not NIfTI, is truncated, is not 4D, or has an unusable header.
    """

    def __init__(self, path: str | PathLike[str], *, axis_order: str = "xyzt", one_frame: bool = False) -> None:
        self.path = Path(path)
        self._image = _open(self.path)
        self._header = self._image.header
        self._is_swapped = _is_swapped(self.path, axis_order, self._image.shape)
        shape = self._image.shape
        self._select = _frame_slicer(self.path, shape, one_frame=one_frame)
        if self._is_swapped:
            self._select = lambda index: (slice(None), slice(None), index)
            shape = (*shape[:2], shape[3], shape[2])
        self.num_frames = max(shape[3:], default=1)
        affine = _trusted_affine(self.path, self._image)
        self.grid = Grid(shape[:3], _slices_apart(self.path, self._header, affine) if self._is_swapped else affine)
        if self._image.get_data_dtype().kind not in "biuf":
            raise InputError(self.path, f"voxels are of type {self._image.get_data_dtype()}", "convert to real numbers")
        _refuse_short(self.path, self._image, self.num_frames)
        self._space_unit, self._time_unit = _units(self.path, self._header)
        self._stream: ImageOpener | None = None

    def time_axis(self, *, full_cycle: bool = False) -> TimeAxis:
        """The time axis in the header; ``full_cycle`` is not in a NIfTI header and comes from the data list."""
        is_plain = self._image.ndim == 4 or (self._image.ndim == 5 and self._image.shape[4] == 1)
        step = float(self._header["pixdim"][3 if self._is_swapped else 4]) if is_plain else 0.0
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
        check_index(self, index)
        try:
            voxels = np.asanyarray(self._voxels[self._select(index)])
            if index == self.num_frames - 1 and self._stream is not None:
                self._stream.read()  # gzip compares its checksum at the end only
        except _READ_ERRORS as error:
            problem = f"frame {index} of {self.num_frames} cannot be read, the file is truncated or damaged ({error})"
            raise InputError(self.path, problem, "copy or export the file again") from error
        return check_finite(self, index, voxels)

    @cached_property
    def _voxels(self) -> Any:
        """The voxels on disk; a compressed file stays open, so that reading goes on where the last frame ended."""
        proxy = self._image.dataobj
        if not self.path.name.lower().endswith(".gz"):
            return proxy
        self._stream = ImageOpener(str(self.path))
        weakref.finalize(self, self._stream.close)
        return ArrayProxy(self._stream, (proxy.shape, proxy.dtype, proxy.offset, proxy.slope, proxy.inter))


def _open(path: Path) -> Any:
    if not path.exists():
        raise InputError(path, "the file does not exist", "correct the path, or restore the file")
    if not path.is_file() or not has_suffix(path, NIFTI_SUFFIXES):
        raise InputError(path, "not a NIfTI file", "give a 4D .nii or .nii.gz file; convert other formats first")
    try:
        return nib.load(path)
    except (ImageFileError, HeaderDataError, *_READ_ERRORS) as error:
        fix = "export the file again as NIfTI; if it was copied, copy it again"
        raise InputError(path, f"the header cannot be read as NIfTI ({error})", fix) from error


def _refuse_short(path: Path, image: Any, num_frames: int) -> None:
    """Refuse a truncated file at once; a compressed one may show it only when it is read to its end."""
    itemsize, size = image.get_data_dtype().itemsize, path.stat().st_size
    announced = image.dataobj.offset + math.prod(image.shape) * itemsize
    is_packed = path.name.lower().endswith(".gz")
    if size < announced and not is_packed:
        problem = f"it has {size} bytes, but its header announces {announced}: the file is truncated"
        raise InputError(path, problem, "copy or export the file again")
    frame = (math.prod(image.shape) // num_frames,)
    check_announced(path, frame, itemsize, size, encoding="gzip" if is_packed else "raw", num_frames=num_frames)


def _is_swapped(path: Path, axis_order: str, shape: tuple[int, ...]) -> bool:
    """Whether time is the third axis of the file."""
    if axis_order not in AXIS_ORDERS:
        problem = f"{axis_order!r} is not one of {', '.join(AXIS_ORDERS)}"
        raise InputError(path, problem, "correct it, or leave it out", "axis_order")
    if axis_order == "xytz" and len(shape) != 4:
        fix = "leave it out for this file"
        raise InputError(path, f"the order xytz for a file of shape {shape}", fix, "axis_order")
    return axis_order == "xytz"


def _slices_apart(path: Path, header: Any, affine: np.ndarray) -> np.ndarray:
    """The affine of a file in the order xytz: slices lie along its third column, ``pixdim[4]`` apart."""
    distance = float(header["pixdim"][4])
    if not math.isfinite(distance) or distance <= 0:
        fix = "write the distance of slices, in millimetres, into pixdim[4]"
        raise InputError(path, f"pixdim[4], the distance of slices in the order xytz, is {distance:g}", fix, "pixdim")
    apart = affine.copy()
    apart[:3, 2] *= distance / np.linalg.norm(affine[:3, 2])
    return apart


def _frame_slicer(path: Path, shape: tuple[int, ...], *, one_frame: bool) -> Any:
    """A function from frame index to the slices of that frame, for the axis that is time."""
    if len(shape) == 3 and one_frame:
        return lambda index: ...
    if len(shape) == 3:
        fix = "give a 4D file, or a pattern such as 'phases/*.nii.gz' for 3D files, one per phase"
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
    elif image.header["sform_code"] > 0 and image.header["qform_code"] > 0:
        _warn_of_other_qform(path, Grid(image.shape[:3], affine), image.header)
    return check_affine(path, affine, "sform, qform and pixdim")


def _warn_of_other_qform(path: Path, grid: Grid, header: Any) -> None:
    distance = grid.distance_mm(Grid(grid.shape, _qform(path, header)))
    if distance > FORMS_TOLERANCE * grid.spacing_mm.min():
        _warn_once("forms", "%s: sform and qform place voxels up to %.3g mm apart; the sform is used.", path, distance)


def _repaired_affine(path: Path, header: Any, sform: np.ndarray, zooms: np.ndarray) -> np.ndarray:
    """The qform, whose spacing is ``pixdim`` by its definition, or without one the sform scaled to ``pixdim``."""
    spacing = spacing_from_affine(sform)
    has_qform = header["qform_code"] > 0
    remedy = "the qform, which agrees with pixdim, is used" if has_qform else "the sform is scaled to pixdim"
    values = (np.round(spacing, 4).tolist(), np.round(zooms, 4).tolist())
    _warn_once(remedy, "%s: the sform says %s mm per voxel, pixdim %s; %s.", path, *values, remedy)
    if has_qform:
        return _qform(path, header)
    repaired = sform.copy()
    with np.errstate(divide="ignore", invalid="ignore"):  # a singular sform is refused by the caller
        repaired[:3, :3] *= zooms / spacing
    return repaired


def _qform(path: Path, header: Any) -> np.ndarray:
    try:
        return np.asarray(header.get_qform(), dtype=np.float64)
    except ValueError as error:
        fix = "repair it, or set qform_code to 0 if the sform is right"
        raise InputError(path, f"the qform is no rotation ({error})", fix, "qform") from error


def _warn_once(kind: str, message: str, *arguments: Any) -> None:
    if kind not in _announced:
        _announced.add(kind)
        logger.warning(f"{message} Further files of this kind are not announced.", *arguments)


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
