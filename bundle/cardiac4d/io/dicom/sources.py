# SPDX-License-Identifier: Apache-2.0
"""The images of one phase as results reference them, and the headers from which results take patient and study."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...errors import InputError
from .files import read_header
from .image import SliceImage
from .software import lasting_uid, new_uid
from .toolkit import pydicom_for, quiet

_REFERENCED: Final = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")
_ALWAYS_THERE: Final = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate"),
    *("StudyTime", "ReferringPhysicianName"),
)
"""Type 2: a result must have them, empty where its source has none."""
_OF_MANY_FRAMES: Final = (
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "NumberOfFrames"),
    *("DimensionIndexSequence", "DimensionOrganizationSequence", "DimensionOrganizationType"),
)
_STEP: Final = ("SpacingBetweenSlices",)
"""Told anew from the positions."""
_SEXES: Final = ("M", "F", "O", "")
_IMAGE_CLASSES: Final = {"CT": "1.2.840.10008.5.1.4.1.1.2", "MR": "1.2.840.10008.5.1.4.1.1.4"}


@dataclass(frozen=True)
class Reference:
    """An image, or one frame of an enhanced one, as DICOM references it.

    Attributes:
        sop_class: its SOP class.
        instance: its SOPInstanceUID.
        series: its SeriesInstanceUID.
        frame_number: of an enhanced image, from 1; None where the file is one image.
    """

    sop_class: str
    instance: str
    series: str
    frame_number: int | None


class PhaseImages:
    """One phase of a study as plain slices, whatever way its images are spread over series and enhanced files.

    highdicom takes plain slices of one series only. The headers here are such slices, in the order of the array's third
    axis, each under a UID of its own; :meth:`restore` puts the true references in their place afterwards.

    Args:
        place: the study, for messages.
        images: one per slice.

    Attributes:
        headers: patient, study, plane and size of each slice; no pixels.
        references: what each UID in ``headers`` stands for.

    Raises:
        InputError: if a file lacks a UID that a reference needs.
    """

    def __init__(self, place: Path, images: Sequence[SliceImage]) -> None:
        self.references: dict[str, Reference] = {}
        self.headers: list[Any] = []
        template = study_header(place, images[0])
        for image in images:
            self.headers.append(_plane(template, image))
            self.references[self.headers[-1].SOPInstanceUID] = reference_of(place, image)

    def restore(self, result: Any) -> None:
        """Replace the UIDs of ``headers`` in a result by the references that they stand for."""
        for dataset in _nested(result):
            reference = self.references.get(str(dataset.get("ReferencedSOPInstanceUID", "")))
            if reference is not None:
                _refer(dataset, reference)
        result.ReferencedSeriesSequence = _by_series(self.references.values())
        if "SourceImageSequence" in result:
            result.SourceImageSequence = _with_frames(self.references.values())


def study_header(place: Path, image: SliceImage) -> Any:
    """The header of an image's file without pixels and frames; what the standard wants there is there, maybe empty.

    Raises:
        InputError: if the file does not name its study.
    """
    pydicom = pydicom_for(place)
    with quiet():
        header = pydicom.dcmread(image.source.path, stop_before_pixels=True, force=True)
        for keyword in _OF_MANY_FRAMES:
            header.pop(keyword, None)
        for keyword in _ALWAYS_THERE:
            if keyword not in header:
                setattr(header, keyword, "")
        if str(header.PatientSex or "") not in _SEXES:
            header.PatientSex = ""
        _need(image.source.path, header, "StudyInstanceUID")
        if not header.get("FrameOfReferenceUID"):
            header.FrameOfReferenceUID = lasting_uid(header.StudyInstanceUID, "frame of reference")
    return header


def reference_of(place: Path, image: SliceImage) -> Reference:
    """How DICOM references an image.

    Raises:
        InputError: if its file lacks a UID.
    """
    path = image.source.path
    header = read_header(place, path, [*_REFERENCED, "NumberOfFrames"]) or {}
    values = [_need(path, header, keyword) for keyword in _REFERENCED]
    return Reference(values[0], values[1], values[2], image.source.frame_number if "NumberOfFrames" in header else None)


def _need(path: Path, header: Any, keyword: str) -> str:
    value = str(header.get(keyword, ""))
    if not value:
        problem = "missing, but results of this study must name it"
        raise InputError(path, problem, "export the study again, or write results in another format", keyword)
    return value


def _plane(template: Any, image: SliceImage) -> Any:
    """A plain slice with the plane of an image."""
    import pydicom

    plane = pydicom.Dataset()
    plane.file_meta = template.file_meta
    own = {
        "SOPClassUID": _IMAGE_CLASSES.get(image.series.modality, _IMAGE_CLASSES["CT"]),
        "SOPInstanceUID": new_uid(),
        "Rows": image.size[0],
        "Columns": image.size[1],
        "ImagePositionPatient": list(image.position),
        "ImageOrientationPatient": list(image.orientation),
        "PixelSpacing": list(image.pixel_spacing_mm),
        "SliceThickness": image.thickness_mm or None,
    }
    plane.update({element.tag: element for element in template if element.keyword not in (*own, *_STEP)})
    for keyword, value in own.items():
        setattr(plane, keyword, value)
    return plane


def _nested(dataset: Any) -> Iterable[Any]:
    """Every data set in the sequences of one, at any depth."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from _nested(item)


def _refer(dataset: Any, reference: Reference) -> None:
    dataset.ReferencedSOPClassUID = reference.sop_class
    dataset.ReferencedSOPInstanceUID = reference.instance
    if reference.frame_number is not None:
        dataset.ReferencedFrameNumber = reference.frame_number


def _files(references: Iterable[Reference]) -> list[Reference]:
    """One reference per file."""
    return list({reference.instance: reference for reference in references}.values())


def _whole(reference: Reference) -> Any:
    """An item that references a whole file."""
    from pydicom import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference.sop_class, reference.instance
    return item


def _with_frames(references: Iterable[Reference]) -> list[Any]:
    """Items of SourceImageSequence: every file, and of an enhanced one the frames that were used."""
    frames: dict[str, list[int]] = {}
    items = []
    for reference in references:
        if reference.instance not in frames:
            items.append((reference, _whole(reference)))
        frames.setdefault(reference.instance, []).append(reference.frame_number or 1)
    for reference, item in items:
        if reference.frame_number is not None:
            item.ReferencedFrameNumber = frames[reference.instance]
    return [item for _, item in items]


def _by_series(references: Iterable[Reference]) -> list[Any]:
    """Items of ReferencedSeriesSequence: every file, under its series."""
    from pydicom import Dataset

    series: dict[str, list[Any]] = {}
    for reference in _files(references):
        series.setdefault(reference.series, []).append(_whole(reference))
    items = []
    for uid, instances in series.items():
        items.append(Dataset())
        items[-1].SeriesInstanceUID, items[-1].ReferencedInstanceSequence = uid, instances
    return items
