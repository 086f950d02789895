# SPDX-License-Identifier: Apache-2.0
"""Write label maps as a sequence of 3D Slicer (``.seq.nrrd``), with the names, colours and codes of the segments.

Sources: Slicer's developer guide, pages "Sequences" (custom fields, list axis last) and "Segmentations" (``SegmentN_``
fields), and its class vtkMRMLVolumeSequenceStorageNode.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..geometry import TimeAxis
from .image_names import has_suffix
from .nrrd_header import pynrrd
from .structures import CATEGORY, CODED_STRUCTURES, SNOMED
from .whole_file import whole_file
from .writer import refuse_existing

_RAS_TO_LPS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
_CATEGORY: Final = "^".join((SNOMED, *CATEGORY))
_COMPRESSION: Final = 1
"""Label maps shrink a hundredfold at any level; the highest takes many times as long."""


def write_slicer_sequence(
    path: str | PathLike[str], labels: np.ndarray, affine: np.ndarray, time: TimeAxis, *, overwrite: bool = False
) -> Path:
    """Write ``(H, W, D, T)`` labels as a sequence of label map volumes, gzip-compressed, list axis last.

    The index of the list is time in milliseconds, or the number of the frame in its source (from 0) where times are not
    known. The file appears under its name only when it is complete.

    Args:
        path: ``.seq.nrrd``; the folder is made where it does not exist.
        labels: ``(H, W, D, T)`` of integers: 0 background, 1 LV, 2 LVM.
        affine: 4x4, voxel index to RAS millimetres.
        time: T frames.
        overwrite: replace an existing file.

    Returns:
        The path written.

    Raises:
        InputError: if the file exists and ``overwrite`` is false, or pynrrd is not installed.
        ValueError: if the arguments do not fit together.
    """
    target = Path(path)
    if not has_suffix(target, (".seq.nrrd",)):
        raise ValueError(f"`path` must end in .seq.nrrd, got {target}")
    if labels.ndim != 4 or labels.shape[3] != len(time) or labels.dtype.kind not in "iu":
        raise ValueError(f"`labels` must be integers (H, W, D, {len(time)}), got {labels.shape} {labels.dtype}")
    nrrd = pynrrd(target)
    refuse_existing(target, overwrite=overwrite)
    header = {**_geometry(affine), **_index(time), **_segments(labels.shape)}
    with whole_file(target) as partial, partial.open("wb") as file:
        nrrd.write(file, labels, header, compression_level=_COMPRESSION)
    return target


def _geometry(affine: np.ndarray) -> dict[str, Any]:
    lps = _RAS_TO_LPS @ np.asarray(affine, dtype=np.float64)
    return {
        "space": "left-posterior-superior",
        "space directions": np.vstack([lps[:3, :3].T, np.full(3, np.nan)]),
        "space origin": lps[:3, 3],
        "kinds": ["domain", "domain", "domain", "list"],
        "encoding": "gzip",
    }


def _index(time: TimeAxis) -> dict[str, Any]:
    times = time.frame_times_ms
    is_known = bool(np.isfinite(times).all())
    values = [f"{value:.9g}" for value in times] if is_known else [str(index) for index in time.indices]
    return {
        "labels": ["", "", "", "time" if is_known else "frame"],
        "units": ["", "", "", "ms" if is_known else ""],
        "DataNodeClassName": "vtkMRMLLabelMapVolumeNode",
        "axis 3 index type": "numeric",
        "axis 3 index values": " ".join(values),
    }


def _segments(shape: tuple[int, ...]) -> dict[str, str]:
    extent = " ".join(f"0 {size - 1}" for size in shape[:3])
    fields = {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    for number, structure in enumerate(CODED_STRUCTURES):
        code = f"{SNOMED}^{structure.code}^{structure.meaning}"
        tag = f"TerminologyEntry:Segmentation category and type - DICOM master list~{_CATEGORY}~{code}~^^~~^^~^^|"
        of_segment = {
            "ID": structure.key,
            "Name": structure.name,
            "LabelValue": str(structure.label),
            "Layer": "0",
            "Color": " ".join(f"{part / 255:.6g}" for part in structure.colour),
            "Extent": extent,
            "Tags": tag,
        }
        fields.update({f"Segment{number}_{key}": text for key, text in of_segment.items()})
    return fields
