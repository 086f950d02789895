# SPDX-License-Identifier: Apache-2.0
"""Write 4D NIfTI: exact affine, time axis and units, and never half a file."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.openers import ImageOpener

from ..errors import InputError
from ..geometry import Grid, TimeAxis
from .image_names import NIFTI_SUFFIXES, has_suffix
from .whole_file import whole_file

_VOXELS_AT = 352
"""Bytes of a header and of the mark that no extension follows."""
_FRACTION_STEPS = 65535.0
WRITABLE = ("uint8", "int16", "uint16", "int32", "float32", "float64")
ORTHOGONAL_ATOL = 1e-4
"""Largest cosine between two axes that a qform, which knows rotations only, may still stand for."""


def write_sequence(
    path: str | PathLike[str],
    voxels: np.ndarray,
    affine: np.ndarray,
    time: TimeAxis,
    *,
    sform_code: int = 1,
    qform_code: int = 1,
    space_unit: str = "mm",
    overwrite: bool = False,
) -> Path:
    """Write ``(H, W, D, T)`` voxels as they are, without scaling.

    The file appears under its name only when it is complete. sform and qform are both set; a sheared affine, which a
    qform cannot hold, gets ``qform_code`` 0.

    Args:
        path: ``.nii`` or ``.nii.gz``; the folder is made where it does not exist.
        voxels: ``(H, W, D, T)``, uint8, int16, uint16, int32, float32 or float64.
        affine: 4x4, voxel index to RAS millimetres.
        time: T frames; gives ``pixdim[4]``, ``toffset`` and the time unit.
        sform_code: NIfTI code of the affine's space; 0 becomes ``qform_code`` or else 1.
        qform_code: NIfTI code of the qform's space.
        space_unit: ``mm`` or ``unknown``.
        overwrite: replace an existing file.

    Returns:
        The path written.

    Raises:
        InputError: if the file exists and ``overwrite`` is false.
        ValueError: if the arguments do not fit together.
    """
    target = Path(path)
    if not has_suffix(target, NIFTI_SUFFIXES):
        raise ValueError(f"`path` must end in .nii or .nii.gz, got {target}")
    if voxels.ndim != 4 or voxels.shape[3] != len(time):
        raise ValueError(f"`voxels` must be (H, W, D, {len(time)}), one frame per time, got {voxels.shape}")
    if voxels.dtype.name not in WRITABLE:
        raise ValueError(f"`voxels` must be one of {', '.join(WRITABLE)}, got {voxels.dtype}")
    refuse_existing(target, overwrite=overwrite)
    image = nib.Nifti1Image(voxels, None, dtype=voxels.dtype)
    _set_space(image, np.asarray(affine, dtype=np.float64), sform_code or qform_code or 1, qform_code)
    _set_time(image, time, space_unit)
    with whole_file(target) as partial:
        nib.save(image, partial)
    return target


def write_fractions(
    path: str | PathLike[str],
    frames: Iterable[np.ndarray],
    grid: Grid,
    time: TimeAxis,
    *,
    sform_code: int = 1,
    qform_code: int = 1,
    space_unit: str = "mm",
    overwrite: bool = False,
) -> Path:
    """Write numbers from 0 to 1, one frame at a time: as uint16 in steps of 1/65535, which the header scales back.

    NIfTI has no float16. This takes the same two bytes, every viewer shows it, and its steps are finer than those of
    float16 above 0.03.

    Args:
        path: see :func:`write_sequence`.
        frames: T frames ``(H, W, D)``; at most one is asked for at a time.
        grid: the study's grid.
        time: T frames.
        sform_code: see :func:`write_sequence`.
        qform_code: see :func:`write_sequence`.
        space_unit: see :func:`write_sequence`.
        overwrite: replace an existing file.

    Returns:
        The path written.

    Raises:
        InputError: if the file exists and ``overwrite`` is false.
        ValueError: if ``frames`` do not fit ``grid`` and ``time``.
    """
    target = Path(path)
    refuse_existing(target, overwrite=overwrite)
    empty = np.broadcast_to(np.uint16(0), (*grid.shape, len(time)))  # of the whole shape, and two bytes
    image = nib.Nifti1Image(empty, None, dtype=np.uint16)
    _set_space(image, grid.affine, sform_code or qform_code or 1, qform_code)
    _set_time(image, time, space_unit)
    image.header.set_slope_inter(1.0 / _FRACTION_STEPS, 0.0)
    image.header["vox_offset"] = _VOXELS_AT
    with whole_file(target) as partial, ImageOpener(str(partial), "wb") as file:
        file.write(image.header.binaryblock + bytes(_VOXELS_AT - len(image.header.binaryblock)))
        count = 0
        for count, frame in enumerate(frames, start=1):  # noqa: B007
            if frame.shape != grid.shape:
                raise ValueError(f"`frames` must have shape {grid.shape}, got {frame.shape}")
            file.write(np.rint(frame.clip(0, 1) * _FRACTION_STEPS).astype(np.uint16).tobytes(order="F"))
        if count != len(time):
            raise ValueError(f"`frames` must be {len(time)}, got {count}")
    return target


def refuse_existing(
    path: Path, *, overwrite: bool, fix: str = "name another output folder, or allow overwriting"
) -> None:
    """Raise :class:`InputError`, with what the user can do about it, if ``path`` exists and may not be replaced."""
    if path.exists() and not overwrite:
        raise InputError(path, "the file exists already", fix)


def _set_space(image: nib.Nifti1Image, affine: np.ndarray, sform_code: int, qform_code: int) -> None:
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    sheared = np.abs(axes.T @ axes - np.eye(3)).max() > ORTHOGONAL_ATOL
    image.set_qform(affine, code=0 if sheared else qform_code, strip_shears=True)
    image.set_sform(affine, code=sform_code)


def _set_time(image: nib.Nifti1Image, time: TimeAxis, space_unit: str) -> None:
    step, offset = time.to_nifti()
    image.header["pixdim"][4] = step
    image.header["toffset"] = offset
    image.header.set_xyzt_units(xyz=space_unit, t=time.unit)
