# SPDX-License-Identifier: Apache-2.0
"""What DICOM demands of a label map segmentation, as a list of checks: dciodvfy does not know these objects yet.

PS3.3 (2024e) A.51 Segmentation IOD with its modules, C.8.20.2 Segmentation Image Module (SegmentationType LABELMAP),
C.7.6.16 multi-frame functional groups, C.7.6.17 multi-frame dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.66.7"

FIXED: dict[str, Any] = {
    "SOPClassUID": SOP_CLASS,
    "Modality": "SEG",
    "ImageType": ["DERIVED", "PRIMARY"],
    "SegmentationType": "LABELMAP",
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "PresentationLUTShape": "IDENTITY",
    "PixelRepresentation": 0,
    "BitsAllocated": 8,
    "BitsStored": 8,
    "HighBit": 7,
    "PixelPaddingValue": 0,
    "LossyImageCompression": "00",
    "SegmentsOverlap": "NO",
}
"""Attributes with one admissible value, or the one that we chose among several."""

VALUED = {
    "General Study": ("StudyInstanceUID",),
    "General Series, Segmentation Series": ("SeriesInstanceUID", "SeriesNumber"),
    "Frame of Reference": ("FrameOfReferenceUID",),
    "Enhanced General Equipment": ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions"),
    "General Image, Content Identification": ("InstanceNumber", "ContentLabel", "ContentDate", "ContentTime"),
    "Image Pixel": ("Rows", "Columns", "PixelData"),
    "Multi-frame": ("NumberOfFrames", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    "Multi-frame Dimension": ("DimensionOrganizationSequence", "DimensionIndexSequence"),
    "Common Instance Reference": ("ReferencedSeriesSequence",),
    "SOP Common": ("SOPInstanceUID",),
    "Segmentation Image": ("SegmentSequence",),
}
"""Attributes of type 1 of each module, which must be there with a value."""

PRESENT = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
    *("PositionReferenceIndicator", "ContentDescription", "ContentCreatorName"),
)
"""Attributes of type 2, which must be there and may be empty."""

ABSENT = ("SegmentationFractionalType", "MaximumFractionalValue", "RescaleSlope", "PixelPaddingRangeLimit")

GROUPS = (
    ("PixelMeasuresSequence", "PixelSpacing"),
    ("PixelMeasuresSequence", "SliceThickness"),
    ("PlaneOrientationSequence", "ImageOrientationPatient"),
)
"""Functional groups that all frames share, and what they hold."""

SEGMENT = (
    *("SegmentNumber", "SegmentLabel", "SegmentAlgorithmType", "SegmentAlgorithmName"),
    *("SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence"),
)


def label_map_errors(path: Path) -> list[str]:
    """Everything in a file that the standard does not allow of a label map segmentation; empty if all is well."""
    seg = dcmread(path)
    return [problem for check in CHECKS for problem in check(seg)]


def _attributes(seg: Dataset) -> Iterator[str]:
    yield from (f"{name} is {seg.get(name)}, not {want}" for name, want in FIXED.items() if seg.get(name) != want)
    for module, names in VALUED.items():
        yield from (f"{module}: {name} has no value" for name in names if not seg.get(name))
    yield from (f"{name} is missing" for name in PRESENT if name not in seg)
    yield from (f"{name} does not belong" for name in ABSENT if name in seg)
    if seg.file_meta.MediaStorageSOPClassUID != SOP_CLASS:
        yield "the file meta information names another class"


def _segments(seg: Dataset) -> Iterator[str]:
    numbers = [item.SegmentNumber for item in seg.SegmentSequence]
    if len(set(numbers)) < len(numbers):
        yield "SegmentNumber is not unique"
    undescribed = set(np.unique(seg.pixel_array).tolist()) - set(numbers)
    if undescribed:
        yield f"pixel values {sorted(undescribed)} are in no item of SegmentSequence"
    for item in seg.SegmentSequence:
        yield from (f"a segment has no {name}" for name in SEGMENT if item.get(name) in (None, "", []))
        for kind in ("Category", "Type"):
            yield from _code(item.get(f"SegmentedProperty{kind}CodeSequence", []))
        if ("TrackingID" in item) != ("TrackingUID" in item):
            yield "TrackingID and TrackingUID go together"


def _code(sequence: Sequence[Dataset]) -> Iterator[str]:
    names = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
    if len(sequence) != 1 or any(not sequence[0].get(name) for name in names):
        yield "a segment has no code for what it is"


def _frames(seg: Dataset) -> Iterator[str]:
    shared, frames = seg.SharedFunctionalGroupsSequence, seg.PerFrameFunctionalGroupsSequence
    if len(shared) != 1 or len(frames) != seg.NumberOfFrames:
        yield "the functional groups do not fit the number of frames"
        return
    measures, orientation = (
        shared[0].get(f"{name}Sequence", [Dataset()]) for name in ("PixelMeasures", "PlaneOrientation")
    )
    yield from (f"no {n}" for n in ("PixelSpacing", "SliceThickness") if n not in measures[0])
    yield from (f"no {n}" for n in ("ImageOrientationPatient",) if n not in orientation[0])
    referenced = {
        i.ReferencedSOPInstanceUID for s in seg.ReferencedSeriesSequence for i in s.ReferencedInstanceSequence
    }
    for group in (shared[0], *frames):
        if "SegmentIdentificationSequence" in group:
            yield "SegmentIdentificationSequence is for BINARY and FRACTIONAL"
    for frame in frames:
        yield from _frame(frame, referenced, len(seg.DimensionIndexSequence))


def _frame(frame: Dataset, referenced: set[str], num_dimensions: int) -> Iterator[str]:
    if "ImagePositionPatient" not in frame.PlanePositionSequence[0]:
        yield "a frame has no position"
    if np.size(frame.FrameContentSequence[0].DimensionIndexValues) != num_dimensions:
        yield "DimensionIndexValues do not fit DimensionIndexSequence"
    derivation = frame.DerivationImageSequence[0]
    if derivation.DerivationCodeSequence[0].CodeValue != "113076":
        yield "a frame is derived by something else than segmentation"
    for source in derivation.SourceImageSequence:
        if source.ReferencedSOPInstanceUID not in referenced:
            yield "a source image is not in ReferencedSeriesSequence"
        if source.PurposeOfReferenceCodeSequence[0].CodeValue != "121322":
            yield "a source image has another purpose"


def _dimensions(seg: Dataset) -> Iterator[str]:
    organizations = {item.DimensionOrganizationUID for item in seg.DimensionOrganizationSequence}
    for item in seg.DimensionIndexSequence:
        if item.DimensionOrganizationUID not in organizations or "DimensionIndexPointer" not in item:
            yield "a dimension belongs to no organization"


CHECKS: tuple[Callable[[Dataset], Iterator[str]], ...] = (_attributes, _segments, _frames, _dimensions)
