# SPDX-License-Identifier: Apache-2.0
"""Multi-phase DICOM studies: which images are which slice and phase, where they lie, and their numbers."""

from __future__ import annotations

from .convert import write_nifti
from .image import SourceFrame
from .measurement_report import Measurements, write_measurement_report
from .report_items import QualityFlag, ReportIntervals
from .segmentation import BINARY, LABELMAP
from .segmentation_files import write_segmentations
from .segmentation_planes import is_segmentation, read_segment_planes, read_segments
from .sequence import DicomSequence
from .studies import dicom_studies, holds_dicom, is_dicom_study, refuse_mixture

__all__ = [
    "BINARY",
    "LABELMAP",
    "DicomSequence",
    "Measurements",
    "QualityFlag",
    "ReportIntervals",
    "SourceFrame",
    "dicom_studies",
    "holds_dicom",
    "is_dicom_study",
    "is_segmentation",
    "read_segment_planes",
    "read_segments",
    "refuse_mixture",
    "write_measurement_report",
    "write_nifti",
    "write_segmentations",
]
