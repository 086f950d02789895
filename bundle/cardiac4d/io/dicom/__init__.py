# SPDX-License-Identifier: Apache-2.0
"""Multi-phase DICOM studies: which images are which slice and phase, where they lie, and their numbers."""

from __future__ import annotations

from .convert import write_nifti
from .image import SourceFrame
from .segmentation import BINARY, LABELMAP
from .segmentation_files import write_segmentations
from .sequence import DicomSequence
from .studies import dicom_studies, holds_dicom, is_dicom_study

__all__ = [
    "BINARY",
    "LABELMAP",
    "DicomSequence",
    "SourceFrame",
    "dicom_studies",
    "holds_dicom",
    "is_dicom_study",
    "write_nifti",
    "write_segmentations",
]
