# SPDX-License-Identifier: Apache-2.0
"""Read NRRD files, among them the sequences of 3D Slicer, one frame at a time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import Grid, TimeAxis
from .announced_size import check_announced
from .nrrd_header import NrrdAxes, read_header
from .source import SCANNER_SPACE, SequenceSource, check_finite, check_index
from .voxel_stream import VoxelStream

_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
_ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}


class NrrdSequence(SequenceSource):
    """A ``.seq.nrrd`` or plain 4D ``.nrrd`` or ``.nhdr`` file whose frames are read on demand.

    pynrrd reads the header; the voxels are read here, because pynrrd (and ITK) take a file whole. With time last, as
    Slicer writes since 5.10, raw files are read frame by frame and packed ones are unpacked once from the start. With
    time in front, as Slicer wrote before, each voxel of a frame lies elsewhere in the file: a raw file is mapped, a
    packed one is **unpacked whole into memory** when its first frame is read.

    Args:
        path: the file. A detached header (``.nhdr``) names a file of voxels in its own folder.
        one_frame: take a 3D file, as one frame.

    Raises:
        InputError: if the file is missing, damaged or no sequence of volumes; if pynrrd is not installed.
    """

    def __init__(self, path: str | PathLike[str], *, one_frame: bool = False) -> None:
        self.path = Path(path)
        header, length = read_header(self.path)
        self._axes = NrrdAxes(self.path, header)
        if self._axes.time is None and not one_frame:
            fix = "give a 4D file, or the list of the 3D files, one per phase"
            raise InputError(self.path, f"a 3D image {self._axes.sizes}, but a 4D sequence is needed", fix)
        self.num_frames = self._axes.num_frames
        self.grid = Grid(tuple(self._axes.sizes[axis] for axis in self._axes.spatial), self._axes.affine)
        self._dtype = _dtype(self.path, header)
        self._stream = self._open_stream(header, length)

    def time_axis(self, *, full_cycle: bool = False) -> TimeAxis:
        """The times in the header; ``full_cycle`` is not in it and comes from the data list."""
        return self._axes.time_axis(full_cycle=full_cycle)

    def header_meta(self) -> dict[str, Any]:
        """Millimetres in the scanner's space; see :meth:`SequenceSource.header_meta`."""
        return dict(SCANNER_SPACE)

    def frame(self, index: int) -> np.ndarray:
        """One frame ``(H, W, D)`` in the file's own type; see :meth:`SequenceSource.frame`."""
        check_index(self, index)
        if self._axes.time in (None, 3):
            size = int(np.prod(self.grid.shape, dtype=np.int64)) * self._dtype.itemsize
            content = self._stream.read(index * size, size)
            voxels = np.frombuffer(content, self._dtype).reshape(self.grid.shape, order="F")
        else:
            voxels = self._whole.take(index, axis=self._axes.time)
        return check_finite(self, index, voxels.astype(self._dtype.newbyteorder("="), copy=False))

    @cached_property
    def _whole(self) -> np.ndarray:
        """All voxels, where time is not the slowest axis: mapped, or unpacked into memory."""
        stream = self._stream
        if stream.encoding == "raw":
            return np.memmap(stream.path, self._dtype, "r", stream.offset, self._axes.sizes, order="F")
        content = stream.read(0, stream.size)
        return np.frombuffer(content, self._dtype).reshape(self._axes.sizes, order="F")

    def _open_stream(self, header: Mapping[str, Any], length: int) -> VoxelStream:
        encoding = _ENCODINGS.get(str(header.get("encoding", "")).lower())
        if encoding is None:
            problem = f"voxels are encoded as {header.get('encoding')!r}"
            raise InputError(self.path, problem, "save the file raw or with gzip", "encoding")
        place, offset = _data_file(self.path, header, length)
        available = place.stat().st_size - offset
        check_announced(
            self.path,
            self.grid.shape,
            self._dtype.itemsize,
            available,
            encoding=encoding,
            num_frames=self.num_frames,
        )
        size = int(np.prod(self._axes.sizes, dtype=np.int64)) * self._dtype.itemsize
        return VoxelStream(place, offset, encoding, size)


def _dtype(path: Path, header: Mapping[str, Any]) -> np.dtype:
    name = _TYPES.get(str(header.get("type", "")))
    if name is None:
        raise InputError(path, f"voxels are of type {header.get('type')!r}", "convert to real numbers", "type")
    if np.dtype(name).itemsize == 1:
        return np.dtype(name)
    order = {"little": "<", "big": ">"}.get(str(header.get("endian", "")).lower())
    if order is None:
        raise InputError(path, "it does not say the order of bytes in a voxel", "export it again", "endian")
    return np.dtype(order + name)


def _data_file(path: Path, header: Mapping[str, Any], length: int) -> tuple[Path, int]:
    """The file that holds the voxels, and where they begin in it."""
    skipped = [key for key in ("line skip", "lineskip", "byte skip", "byteskip") if int(header.get(key, 0))]
    if skipped:
        problem = f"{skipped[0]} {header[skipped[0]]} is not supported"
        raise InputError(path, problem, "save the file again, with its voxels right behind the header", skipped[0])
    name = header.get("data file", header.get("datafile"))
    return (path, length) if name is None else (beside(path, str(name), "data file"), 0)


def beside(path: Path, name: str, field: str) -> Path:
    """The file of voxels that a header names: in the header's own folder, never elsewhere.

    Raises:
        InputError: if it is not there, or the name leads elsewhere or stands for several files.
    """
    place = path.parent / name
    if Path(name).name != name or "%" in name or name.upper().startswith("LIST"):
        fix = "save header and voxels as one file (.nrrd, .mha)"
        raise InputError(path, f"its voxels are in {name!r}, not in one file beside it", fix, field)
    if not place.is_file():
        raise InputError(path, f"its voxels {name!r} are not there", "copy both files to one folder", field)
    return place
