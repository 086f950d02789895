# SPDX-License-Identifier: Apache-2.0
"""Read 4D MetaImage files (``.mha``, ``.mhd``) one frame at a time."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any
from warnings import filterwarnings

import numpy as np

from ..errors import InputError
from ..geometry import Grid, TimeAxis
from .announced_size import check_announced
from .nrrd import beside
from .source import SCANNER_SPACE, SequenceSource, check_affine, check_finite, check_index
from .voxel_stream import VoxelStream

LARGEST_HEADER_BYTES = 1 << 20
_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class MetaImageSequence(SequenceSource):
    """A 4D ``.mha`` or ``.mhd`` file whose frames are read on demand.

    ITK says where the voxels lie in space. The voxels themselves are read here: ITK unpacks a packed file from its
    start for every frame, and takes one that is damaged in its middle without a word.

    Args:
        path: the file. A ``.mhd`` names a file of voxels in its own folder.
        one_frame: take a 3D file, as one frame.

    Raises:
        InputError: if the file is missing, damaged or no sequence of volumes; if ITK is not installed.
    """

    def __init__(self, path: str | PathLike[str], *, one_frame: bool = False) -> None:
        self.path = Path(path)
        fields, length = _read_fields(self.path)
        sizes = _sizes(self.path, fields)
        if len(sizes) == 3 and not one_frame:
            fix = "give a 4D file, or the list of the 3D files, one per phase"
            raise InputError(self.path, f"a 3D image {sizes}, but a 4D sequence is needed", fix)
        self.num_frames = sizes[3] if len(sizes) == 4 else 1
        self._dtype = _dtype(self.path, fields)
        self._stream = self._open_stream(fields, length, sizes)
        affine, self._step, self._offset = _geometry(self.path, sizes)
        self.grid = Grid(sizes[:3], affine)

    def time_axis(self, *, full_cycle: bool = False) -> TimeAxis:
        """Equally spaced frames of a duration whose unit MetaImage does not tell: their times are not known."""
        return TimeAxis.uniform(self.num_frames, self._step, unit="unknown", offset=self._offset, full_cycle=full_cycle)

    def header_meta(self) -> dict[str, Any]:
        """Millimetres in the scanner's space; see :meth:`SequenceSource.header_meta`."""
        return dict(SCANNER_SPACE)

    def frame(self, index: int) -> np.ndarray:
        """One frame ``(H, W, D)`` in the file's own type; see :meth:`SequenceSource.frame`."""
        check_index(self, index)
        size = self._stream.size // self.num_frames
        voxels = np.frombuffer(self._stream.read(index * size, size), self._dtype).reshape(self.grid.shape, order="F")
        return check_finite(self, index, voxels.astype(self._dtype.newbyteorder("="), copy=False))

    def _open_stream(self, fields: Mapping[str, str], length: int, sizes: tuple[int, ...]) -> VoxelStream:
        encoding = "zlib" if _is_true(fields.get("CompressedData")) else "raw"
        name = fields["ElementDataFile"]
        place, offset = (self.path, length) if name == "LOCAL" else (beside(self.path, name, "ElementDataFile"), 0)
        available, itemsize = place.stat().st_size - offset, self._dtype.itemsize
        check_announced(self.path, sizes[:3], itemsize, available, encoding=encoding, num_frames=self.num_frames)
        return VoxelStream(place, offset, encoding, int(np.prod(sizes, dtype=np.int64)) * itemsize)


def _read_fields(path: Path) -> tuple[dict[str, str], int]:
    """The fields of the header up to ``ElementDataFile``, its last one, and the number of bytes that they take."""
    with path.open("rb") as file:
        start = file.read(LARGEST_HEADER_BYTES)
    fields: dict[str, str] = {}
    length = 0
    for line in start.splitlines(keepends=True):
        length += len(line)
        name, separator, value = line.decode("ascii", "replace").partition("=")
        if not separator:
            break
        fields[name.strip()] = value.strip()
        if name.strip() == "ElementDataFile":
            return fields, length
    raise InputError(path, "not a MetaImage file: its header does not name its voxels", "export the file again")


def _sizes(path: Path, fields: Mapping[str, str]) -> tuple[int, ...]:
    try:
        sizes = tuple(int(size) for size in fields.get("DimSize", "").split())
        is_right = len(sizes) in (3, 4) and len(sizes) == int(fields.get("NDims", "0"))
    except ValueError:
        is_right = False
    if not is_right:
        problem = f"DimSize {fields.get('DimSize')!r} and NDims {fields.get('NDims')!r}, but (H, W, D, T) is needed"
        raise InputError(path, problem, "save the file with space and time axes only", "DimSize")
    return sizes


def _dtype(path: Path, fields: Mapping[str, str]) -> np.dtype:
    name = _TYPES.get(fields.get("ElementType", ""))
    channels = fields.get("ElementNumberOfChannels", "1")
    if name is None or channels != "1":
        problem = f"voxels are {channels} x {fields.get('ElementType')}"
        raise InputError(path, problem, "convert to one real number per voxel", "ElementType")
    if fields.get("HeaderSize", "0") != "0" or not _is_true(fields.get("BinaryData", "True")):
        fix = "save the file again as .mha, in binary"
        raise InputError(path, "its voxels are written as text or behind a header of their own", fix, "BinaryData")
    is_big = _is_true(fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB")))
    return np.dtype((">" if is_big else "<") + name)


def _is_true(value: str | None) -> bool:
    return str(value).lower() in ("true", "t", "1", "yes")


def _geometry(path: Path, sizes: tuple[int, ...]) -> tuple[np.ndarray, float, float]:
    """Affine to RAS millimetres, and step and offset of the fourth axis, as ITK understands the header."""
    header = _itk_header(path)
    count = range(len(sizes))
    spacing = np.array([header.GetSpacing(axis) for axis in count])
    directions = np.array([header.GetDirection(axis) for axis in count]).T * spacing
    origin = np.array([header.GetOrigin(axis) for axis in count])
    if len(sizes) == 4 and (directions[3, :3].any() or directions[:3, 3].any()):
        fix = "give a file whose time axis is apart from space"
        raise InputError(path, "an axis runs through space and time", fix, "TransformMatrix")
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions[:3, :3], origin[:3]
    affine = check_affine(path, _LPS_TO_RAS @ affine, "TransformMatrix, Offset and ElementSpacing")
    return (affine, float(directions[3, 3]), float(origin[3])) if len(sizes) == 4 else (affine, 0.0, 0.0)


def _itk_header(path: Path) -> Any:
    header = _metaimage_io(path).New()
    try:
        header.SetFileName(str(path))
        header.ReadImageInformation()
    except RuntimeError as error:
        problem = f"the header cannot be read as MetaImage ({str(error).strip().splitlines()[-1]})"
        raise InputError(path, problem, "export the file again") from error
    return header


def _metaimage_io(path: Path) -> Any:
    """ITK's reader of headers; its modules load when they are first named."""
    # Where this warning is an error, ITK's wrapping crashes: here, or as late as when the interpreter ends.
    filterwarnings("ignore", "builtin type .* has no __module__ attribute", DeprecationWarning)
    try:
        import itk
    except ImportError as error:
        fix = "run `pip install 'cardiac4d[itk]'`, or convert to NIfTI"
        raise InputError(path, "MetaImage files need the package itk, which is not installed", fix) from error
    return itk.MetaImageIO
