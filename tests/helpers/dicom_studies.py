# SPDX-License-Identifier: Apache-2.0
"""DICOM studies in every layout that scanners and archives produce, written with pydicom alone.

A study is an array ``(column, row, slice, phase)`` of numbers that no two voxels share by chance; each layout says how
its images are spread over series and files, and which tags tell the phases. Every file names the same patient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

IDENTITY = {
    "PatientName": "Zwackelmann^Petrosilia",
    "PatientID": "PID-8675309",
    "PatientBirthDate": "19310417",
    "PatientAddress": "Donkeyfield 7",
    "ReferringPhysicianName": "Quux^Hieronymus",
    "InstitutionName": "Xanadu Infirmary",
    "AccessionNumber": "ACC-424242",
}
"""What must never be seen outside the files."""
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"

SHAPE = (6, 5, 4, 3)
"""Columns, rows, slices, phases."""
SPACING_MM = (0.5, 0.75, 2.5)
"""Between columns, between rows, between slices."""

_numbers = count(100)

Tags = Mapping[str, Any]
PerImage = Callable[[int, int], Tags]
"""Tags of the image at (slice, phase)."""


def stored_voxels(shape: tuple[int, int, int, int] = SHAPE, seed: int = 0) -> np.ndarray:
    """12-bit numbers ``(column, row, slice, phase)``, uint16."""
    return np.random.default_rng(seed).integers(0, 4096, shape).astype(np.uint16)


@dataclass
class Study:
    """What to write.

    Attributes:
        tags: of the image at (slice, phase), over the defaults; a value of None removes a tag.
        voxels: stored numbers ``(column, row, slice, phase)``.
        row: direction of growing column index, LPS.
        column: direction of growing row index, LPS.
        origin: centre of the first voxel, LPS millimetres.
        lean: shift of each slice against the one before, beside the step along the normal, LPS millimetres.
        modality: CT or MR.
    """

    tags: PerImage = field(default=lambda k, t: {})
    voxels: np.ndarray = field(default_factory=stored_voxels)
    row: tuple[float, float, float] = (1.0, 0.0, 0.0)
    column: tuple[float, float, float] = (0.0, 1.0, 0.0)
    origin: tuple[float, float, float] = (-20.5, -31.25, 7.0)
    lean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    modality: str = "CT"
    study_uid: str = field(default_factory=lambda: f"1.2.826.0.1.{next(_numbers)}")

    def position(self, k: int) -> list[float]:
        """ImagePositionPatient of slice k."""
        step = np.cross(self.row, self.column) * SPACING_MM[2] + np.array(self.lean)
        return [float(v) for v in np.array(self.origin) + k * step]

    def affine(self) -> np.ndarray:
        """Voxel index ``(column, row, slice)`` to RAS millimetres, written out from PS3.3 C.7.6.2.1.1."""
        lps = np.eye(4)
        lps[:3, 0] = np.array(self.row) * SPACING_MM[0]
        lps[:3, 1] = np.array(self.column) * SPACING_MM[1]
        lps[:3, 2] = np.cross(self.row, self.column) * SPACING_MM[2] + np.array(self.lean)
        lps[:3, 3] = self.origin
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps

    def image(self, k: int, t: int) -> Dataset:
        """The data set of one image in a file of its own."""
        data = _common(self, CTImageStorage if self.modality == "CT" else MRImageStorage)
        data.SeriesInstanceUID = f"{self.study_uid}.1"
        data.ImagePositionPatient = self.position(k)
        data.ImageOrientationPatient = [*self.row, *self.column]
        data.PixelSpacing = [SPACING_MM[1], SPACING_MM[0]]
        data.SliceThickness = 3.0
        data.RescaleSlope, data.RescaleIntercept = 1, -1024
        set_tags(data, self.tags(k, t))
        _set_pixels(data, self.voxels[:, :, k, t].T)
        return data

    def images(self) -> list[tuple[int, int]]:
        """Every (slice, phase), in an order that is neither that of slices nor that of phases."""
        places = [(k, t) for k in range(self.voxels.shape[2]) for t in range(self.voxels.shape[3])]
        return [places[i] for i in np.random.default_rng(1).permutation(len(places))]


def write_images(folder: Path, study: Study, skip: Iterable[tuple[int, int]] = ()) -> list[Path]:
    """Write one file per image, but for those of ``skip``; the names tell nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    left_out = set(skip)
    return [
        save(study.image(k, t), folder / f"IM{index:04d}")
        for index, (k, t) in enumerate(study.images())
        if (k, t) not in left_out
    ]


def write_enhanced(path: Path, study: Study, groups: Callable[[int, int], Tags], *, slice_major: bool = False) -> Path:
    """Write one enhanced multi-frame file; ``groups`` gives functional groups of the frame at (slice, phase)."""
    slices, phases = study.voxels.shape[2:]
    data = _common(study, ENHANCED_CT if study.modality == "CT" else ENHANCED_MR)
    data.SeriesInstanceUID = f"{study.study_uid}.1"
    order = (
        [(k, t) for k in range(slices) for t in range(phases)]
        if slice_major
        else [(k, t) for t in range(phases) for k in range(slices)]
    )
    shared = Dataset()
    shared.PixelMeasuresSequence = [make(PixelSpacing=[SPACING_MM[1], SPACING_MM[0]], SliceThickness=3.0)]
    shared.PlaneOrientationSequence = [make(ImageOrientationPatient=[*study.row, *study.column])]
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for k, t in order:
        frame = make(PlanePositionSequence=[make(ImagePositionPatient=study.position(k))])
        frame.PixelValueTransformationSequence = [make(RescaleSlope=1 + t, RescaleIntercept=-1024)]
        set_tags(frame, groups(k, t))
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = Sequence(frames)
    data.NumberOfFrames = len(order)
    _set_pixels(data, np.stack([study.voxels[:, :, k, t].T for k, t in order]))
    return save(data, path)


def make(**tags: Any) -> Dataset:
    """A data set of these tags."""
    data = Dataset()
    set_tags(data, tags)
    return data


def set_tags(data: Dataset, tags: Tags) -> None:
    """Set attributes by keyword, or of a private block as ``(gggg,eeee)``; None removes one."""
    for keyword, value in tags.items():
        if keyword.startswith("("):
            data.add_new(int(keyword[1:5] + keyword[6:10], 16), "LO" if isinstance(value, str) else "DS", value)
        elif value is None:
            if keyword in data:
                delattr(data, keyword)
        else:
            setattr(data, keyword, value)


def save(data: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def _common(study: Study, sop_class: str) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = sop_class, generate_uid()
    data.StudyInstanceUID, data.Modality = study.study_uid, study.modality
    data.StudyDescription = "heart"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL" if study.modality == "CT" else "M"]
    set_tags(data, IDENTITY)
    return data


def _set_pixels(data: Dataset, pixels: np.ndarray) -> None:
    data.Rows, data.Columns = pixels.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.PixelData = np.ascontiguousarray(pixels).tobytes()
