# SPDX-License-Identifier: Apache-2.0
"""The label map of one phase as a DICOM Segmentation (PS3.3 A.51)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ... import __version__
from ..structures import CATEGORY, CODED_STRUCTURES, SNOMED, Structure
from .software import EQUIPMENT, NAME, SERIES_NUMBER, coded, lasting_uid, learned_method, new_uid
from .sources import PhaseImages

BINARY: Final = "BINARY"
LABELMAP: Final = "LABELMAP"
_NATIVE, _RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"
_SYNTAX: Final = {BINARY: _NATIVE, LABELMAP: _RLE}
"""Bits cannot be compressed by what viewers know; a label map of bytes shrinks a hundredfold."""


def phase_segmentation(labels: np.ndarray, images: PhaseImages, phase: str, number: int, kind: str = BINARY) -> Any:
    """The data set of one phase.

    Segment 1 is the cavity, 2 the myocardium, in every phase. Slices without structures are left out, as other software
    does, unless a structure is missing in the whole phase: then all are kept, so that no segment is without frames.

    Args:
        labels: ``(column, row, slice)``: 0 background, 1 LV, 2 LVM.
        images: the slices that were segmented.
        phase: the phase in words, such as ``"frame 3, 30 % R-R"``.
        number: of the phase, from 0.
        kind: ``BINARY`` or ``LABELMAP``.

    Returns:
        A ``highdicom.seg.Segmentation``.
    """
    from highdicom.seg import Segmentation

    study = str(images.headers[0].StudyInstanceUID)
    present = set(np.unique(labels)) >= {structure.label for structure in CODED_STRUCTURES}
    result = Segmentation(
        source_images=images.headers,
        pixel_array=np.ascontiguousarray(labels.transpose(2, 1, 0)),
        segmentation_type=kind,
        segment_descriptions=[_describe(structure, study) for structure in CODED_STRUCTURES],
        series_instance_uid=new_uid(),
        series_number=SERIES_NUMBER + number,
        sop_instance_uid=new_uid(),
        instance_number=1,
        content_label="LV_SEGMENTATION",
        content_description=f"Left ventricle, {phase}",
        series_description=f"{NAME} left ventricle, {phase}",
        transfer_syntax_uid=_SYNTAX[kind],
        omit_empty_frames=present,
        **EQUIPMENT,
    )
    result.ContentCreatorName = ""  # of type 2, PS3.3 table 10-12: no person
    images.restore(result)
    return result


def _describe(structure: Structure, study: str) -> Any:
    """One segment; its tracking UID is the same in all phases of a study."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription

    return SegmentDescription(
        segment_number=structure.label,
        segment_label=structure.name,
        segmented_property_category=coded(*CATEGORY, SNOMED),
        segmented_property_type=coded(structure.code, structure.meaning, SNOMED),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(NAME, learned_method(), __version__),
        tracking_id=structure.name,
        tracking_uid=lasting_uid(study, structure.code),
        display_color=CIELabColor.from_rgb(*structure.colour),
    )
