# SPDX-License-Identifier: Apache-2.0
"""Files: NIfTI sequences with their time axis, sparse labels, data lists, results folders."""

from __future__ import annotations

from .acdc_cine import write_cine_datalist
from .datalist import frames_as_cases, load_datalist
from .entries import label_convention
from .folders import find_inputs, prepare_output_dir
from .labels import LabelConvention, annotated_frames, check_frame_range, read_labels
from .nifti import NiftiSequence, nifti_stem
from .open_sequence import open_sequence
from .prepared import read_prepared, write_prepared
from .same_grid import check_same_grid
from .source import SequenceSource
from .writer import write_sequence

__all__ = [
    "LabelConvention",
    "NiftiSequence",
    "SequenceSource",
    "annotated_frames",
    "check_frame_range",
    "check_same_grid",
    "find_inputs",
    "frames_as_cases",
    "label_convention",
    "load_datalist",
    "nifti_stem",
    "open_sequence",
    "prepare_output_dir",
    "read_labels",
    "read_prepared",
    "write_cine_datalist",
    "write_prepared",
    "write_sequence",
]
