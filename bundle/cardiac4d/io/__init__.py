# SPDX-License-Identifier: Apache-2.0
"""Files: NIfTI sequences with their time axis, sparse labels, data lists, results folders."""

from __future__ import annotations

from .acdc import write_acdc_datalist
from .cine_index import write_cine_datalist
from .datalist import frames_as_cases, load_datalist
from .dicom import DicomSequence, SourceFrame, write_nifti
from .entries import label_convention
from .folders import find_inputs, prepare_output_dir
from .image_names import case_stem
from .image_reader import SequenceReader
from .labels import LabelConvention, annotated_frames, check_frame_range, read_labels
from .metaimage import MetaImageSequence
from .mnms import write_mnms_datalist
from .nifti import NiftiSequence
from .nrrd import NrrdSequence
from .open_sequence import open_sequence, open_volume, reopen, reopen_dicom
from .outputs import (
    DICOM_SEG,
    DICOM_SR,
    OUTPUT_FORMATS,
    PROBABILITIES,
    OutputFormat,
    Segmentation,
    check_outputs,
    known_outputs,
)
from .phase_files import PhaseFiles
from .phase_folders import write_nnunet_datalist, write_phase_datalist
from .places import Place, listed_files
from .prepared import read_prepared, write_prepared
from .same_grid import LoadedGrid, check_same_grid
from .slicer_writer import write_slicer_sequence
from .source import SequenceSource
from .study_lists import ListOptions
from .writer import write_fractions, write_sequence

__all__ = [
    "DICOM_SEG",
    "DICOM_SR",
    "OUTPUT_FORMATS",
    "PROBABILITIES",
    "DicomSequence",
    "LabelConvention",
    "ListOptions",
    "LoadedGrid",
    "MetaImageSequence",
    "NiftiSequence",
    "NrrdSequence",
    "OutputFormat",
    "PhaseFiles",
    "Place",
    "Segmentation",
    "SequenceReader",
    "SequenceSource",
    "SourceFrame",
    "annotated_frames",
    "case_stem",
    "check_frame_range",
    "check_outputs",
    "check_same_grid",
    "find_inputs",
    "frames_as_cases",
    "known_outputs",
    "label_convention",
    "listed_files",
    "load_datalist",
    "open_sequence",
    "open_volume",
    "prepare_output_dir",
    "read_labels",
    "read_prepared",
    "reopen",
    "reopen_dicom",
    "write_acdc_datalist",
    "write_cine_datalist",
    "write_fractions",
    "write_mnms_datalist",
    "write_nifti",
    "write_nnunet_datalist",
    "write_phase_datalist",
    "write_prepared",
    "write_sequence",
    "write_slicer_sequence",
]
