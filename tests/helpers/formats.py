# SPDX-License-Identifier: Apache-2.0
"""Write one sequence in every format that is read, byte by byte where the libraries cannot write it."""

from __future__ import annotations

import bz2
import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_NRRD_TYPES = {"int16": "short", "uint8": "unsigned char", "float32": "float", "int64": "long long"}
_PACKED = {"raw": bytes, "gzip": gzip.compress, "bzip2": bz2.compress}
_SPACES = {"left-posterior-superior": LPS, "right-anterior-superior": np.eye(4), "LAS": np.diag([-1.0, 1.0, 1.0, 1.0])}


def _vector(numbers: Any) -> str:
    return f"({','.join(repr(float(number)) for number in numbers)})"


def write_slicer_sequence(
    path: Path,
    voxels: np.ndarray,
    affine: np.ndarray,
    *,
    list_axis: int = 3,
    space: str = "left-posterior-superior",
    encoding: str = "gzip",
    unit: str = "",
    values: list[Any] | None = None,
    endian: str = "little",
    extra: str = "",
) -> Path:
    """Write ``(H, W, D, T)`` voxels as 3D Slicer does: list axis last (since 5.10) or first (before)."""
    in_space = _SPACES[space] @ affine
    directions = [_vector(in_space[:3, axis]) for axis in range(3)]
    directions.insert(list_axis, "none")
    kinds, units = ["domain"] * 3, ['""'] * 3
    kinds.insert(list_axis, "list")
    units.insert(list_axis, f'"{unit}"')
    stored = np.moveaxis(voxels, 3, list_axis)
    lines = [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        f"type: {_NRRD_TYPES[voxels.dtype.name]}",
        "dimension: 4",
        f"space: {space}",
        f"sizes: {' '.join(map(str, stored.shape))}",
        f"space directions: {' '.join(directions)}",
        f"kinds: {' '.join(kinds)}",
        f"units: {' '.join(units)}",
        f"endian: {endian}",
        f"encoding: {encoding}",
        f"space origin: {_vector(in_space[:3, 3])}",
        "DataNodeClassName:=vtkMRMLScalarVolumeNode",
        f"axis {list_axis} index type:=numeric",
        f"axis {list_axis} index values:={' '.join(map(str, values or range(voxels.shape[3])))}",
        *([extra] if extra else []),
    ]
    order = {"little": "<", "big": ">"}[endian]
    content = _PACKED[encoding](stored.astype(stored.dtype.newbyteorder(order)).tobytes(order="F"))
    path.write_bytes("\n".join([*lines, "", ""]).encode() + content)
    return path


def write_metaimage(
    path: Path, voxels: np.ndarray, affine: np.ndarray, *, packed: bool = False, step: float = 1.0
) -> Path:
    """Write ``(H, W, D, T)`` or ``(H, W, D)`` voxels as MetaImage, ``.mha`` or ``.mhd``, without ITK."""
    lps, ndim = LPS @ affine, voxels.ndim
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    matrix, offset = np.eye(ndim), np.zeros(ndim)
    matrix[:3, :3], offset[:3] = (lps[:3, :3] / spacing).T, lps[:3, 3]
    content = voxels.tobytes(order="F")
    content = zlib.compress(content) if packed else content
    data = "LOCAL" if path.suffix == ".mha" else f"{path.stem}.raw"
    header = {
        "ObjectType": "Image",
        "NDims": ndim,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": False,
        "CompressedData": packed,
        **({"CompressedDataSize": len(content)} if packed else {}),
        "TransformMatrix": " ".join(repr(float(x)) for x in matrix.ravel()),
        "Offset": " ".join(repr(float(x)) for x in offset),
        "ElementSpacing": " ".join(repr(float(x)) for x in [*spacing, step][:ndim]),
        "DimSize": " ".join(map(str, voxels.shape)),
        "ElementType": {"int16": "MET_SHORT", "uint8": "MET_UCHAR", "float32": "MET_FLOAT"}[voxels.dtype.name],
        "ElementDataFile": data,
    }
    text = "".join(f"{key} = {value}\n" for key, value in header.items()).encode()
    path.write_bytes(text + content if data == "LOCAL" else text)
    if data != "LOCAL":
        path.with_suffix(".raw").write_bytes(content)
    return path
