# SPDX-License-Identifier: Apache-2.0
"""What a structured report references: the images that were measured, and the segments whose volumes it gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ...errors import InputError
from ..structures import Structure
from .segmentation_files import segmentation_name
from .sequence import DicomSequence
from .sources import Reference, reference_of, study_header
from .toolkit import pydicom_for, quiet

_IDENTIFYING: Final = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")


class ReportReferences:
    """The images and segmentations of a study.

    Args:
        sequence: the study.
        frames: index of each frame that was measured.
        segmentations: folder of one DICOM SEG per frame, if there is one.

    Attributes:
        study: StudyInstanceUID.
        modality: CT or MR.
        evidence: a data set for each file that is referenced; the first has patient and study.

    Raises:
        InputError: if a file lacks a UID, or a segmentation is missing or of another study.
    """

    def __init__(self, sequence: DicomSequence, frames: Sequence[int], segmentations: Path | None) -> None:
        first = sequence.images(frames[0])[0]
        header = study_header(sequence.path, first)
        self.study, self.modality = str(header.StudyInstanceUID), first.series.modality
        self._sources = {t: [reference_of(sequence.path, image) for image in sequence.images(t)] for t in frames}
        self._segmentations = {} if segmentations is None else {t: self._read(segmentations, t) for t in frames}
        images = [self._as_dataset(one) for references in self._sources.values() for one in references]
        self.evidence = [header, *images, *self._segmentations.values()]

    def segment(self, frame: int, structure: Structure) -> Any | None:
        """The segment of a structure in one phase as highdicom takes it; None without segmentations."""
        from highdicom.sr import ReferencedSegment, SourceImageForSegmentation, SourceSeriesForSegmentation

        if frame not in self._segmentations:
            return None
        sources, seg = self._sources[frame], self._segmentations[frame]
        origin: dict[str, Any] = {"source_series": SourceSeriesForSegmentation(sources[0].series)}
        if len({source.series for source in sources}) > 1:
            origin = {"source_images": [SourceImageForSegmentation(one.sop_class, one.instance) for one in sources]}
        return ReferencedSegment(seg.SOPClassUID, seg.SOPInstanceUID, structure.label, **origin)

    def _read(self, folder: Path, frame: int) -> Any:
        path = folder / segmentation_name(frame)
        if not path.is_file():
            raise InputError(path, "no such file", "write the segmentations of all frames first")
        with quiet():
            seg = pydicom_for(path).dcmread(path, stop_before_pixels=True, specific_tags=list(_IDENTIFYING))
        if str(seg.StudyInstanceUID) != self.study:
            raise InputError(path, "a segmentation of another study", "name the folder of this study")
        return seg

    def _as_dataset(self, reference: Reference) -> Any:
        from pydicom import Dataset

        item = Dataset()
        item.SOPClassUID, item.SOPInstanceUID = reference.sop_class, reference.instance
        item.SeriesInstanceUID, item.StudyInstanceUID = reference.series, self.study
        return item
