# SPDX-License-Identifier: Apache-2.0
"""One file per prepared study: resampled voxels, their metadata, and the record of how they came to be.

The voxels are stored unpacked, so that a file is mapped into memory and a crop reads no more than the crop. Floating
point is rounded to half precision by default: scaled to [-1, 1], a range of 2,048 HU, its steps are at most 0.5 HU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import reset_ops_id

from ..errors import InputError
from .whole_file import whole_file

SUFFIX = ".pt"
STORED_TYPES = ("float16", "float32")
_META, _VOXELS, _OPERATIONS = "meta", "voxels", "applied_operations"


def write_prepared(path: str | PathLike[str], item: Mapping[str, Any], dtype: str = "float16") -> Path:
    """Write a prepared study; the file appears under its name when it is complete.

    Args:
        path: the file; its folder is made where it does not exist.
        item: what transforms made of an entry: MetaTensors, tensors and plain values by key.
        dtype: how floating-point voxels are stored, ``float16`` or ``float32``; integer voxels keep their type.

    Returns:
        The path written.

    Raises:
        InputError: if voxels do not fit into ``dtype``; the message says what to do.
        ValueError: if ``dtype`` is none of the two.
        TypeError: if the item holds a value that cannot be stored, such as an object of a class of one's own.
    """
    if dtype not in STORED_TYPES:
        raise ValueError(f"`dtype` must be one of {STORED_TYPES}, got {dtype!r}")
    target = Path(path)
    document = {key: _packed(value, getattr(torch, dtype), f"{target.name}: {key}") for key, value in item.items()}
    with whole_file(target) as partial, partial.open("wb") as file:  # by path, torch hides why writing failed
        torch.save(document, file)
    return target


def read_prepared(path: str | PathLike[str]) -> dict[str, Any]:
    """Map a prepared study into memory.

    Args:
        path: a file of :func:`write_prepared`.

    Returns:
        The item as it was written, voxels in their stored type and not yet read from disk. Operations that were applied
        invert by any transform of the same class, in any process.

    Raises:
        InputError: if the file is damaged, or none of ours.
    """
    try:
        document = torch.load(Path(path), mmap=True, weights_only=True, map_location="cpu")
        return {key: _unpacked(value) for key, value in document.items()}
    except Exception as error:  # a damaged archive fails in torch, zipfile, pickle or here, with whatever they raise
        raise InputError(path, f"it is no prepared study ({error})", "remove it; it is then prepared again") from error


def _packed(value: Any, dtype: torch.dtype, where: str) -> Any:
    if isinstance(value, MetaTensor):
        return {
            _VOXELS: _stored(value.as_tensor(), dtype, where),
            _META: _plain(value.meta, f"{where}.meta"),
            _OPERATIONS: _plain(value.applied_operations, f"{where}.applied_operations"),
        }
    return _stored(value, dtype, where) if isinstance(value, torch.Tensor) else _plain(value, where)


def _stored(voxels: torch.Tensor, dtype: torch.dtype, where: str) -> torch.Tensor:
    voxels = voxels.detach().cpu()
    if voxels.is_floating_point():
        largest = max((float(frame.abs().max()) for frame in voxels.unbind(-1)), default=0.0) if voxels.ndim else 0.0
        if largest > torch.finfo(dtype).max:
            fix = "scale intensities before they are stored, or store float32"
            raise InputError(where, f"a voxel of {largest:g} does not fit into {dtype}", fix)
        voxels = voxels.to(dtype)
    return voxels.contiguous()


def _plain(value: Any, where: str) -> Any:
    """``value`` in the types that a file may hold without running code when it is read."""
    if isinstance(value, torch.Tensor):
        return value.as_subclass(torch.Tensor).detach().cpu().clone()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, Mapping):
        return {_plain(key, where): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple, set, torch.Size)):
        return type(value)(_plain(item, where) for item in value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"`{where}` holds a value of type {type(value).__name__}, which cannot be stored: keep it in numbers or text"
    )


def _unpacked(value: Any) -> Any:
    if not (isinstance(value, dict) and value.keys() == {_VOXELS, _META, _OPERATIONS}):
        return value
    out = MetaTensor(value[_VOXELS], meta=value[_META], applied_operations=value[_OPERATIONS])
    reset_ops_id(out)
    return out


def stored_bytes(item: Mapping[str, Any], dtype: str = "float16") -> int:
    """Size on disk of the voxels of an item, without its metadata."""
    size = getattr(torch, dtype).itemsize
    tensors = [value for value in item.values() if isinstance(value, torch.Tensor)]
    return sum(math.prod(t.shape) * (size if t.is_floating_point() else t.element_size()) for t in tensors)
