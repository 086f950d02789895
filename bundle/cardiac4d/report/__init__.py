# SPDX-License-Identifier: Apache-2.0
"""What a result looks like: the page of a study, the table of a cohort, single pictures; pictures of a training."""

from __future__ import annotations

from .agreement import ef_agreement
from .case import write_case_pictures
from .cohort_page import write_cohort_report
from .montage import dataset_montage, sequence_montage
from .overlay import overlay
from .study_report import StudyReport, write_measures_json, write_study_report
from .style import as_pixels, png_path, save_png
from .training_curves import training_curves
from .training_page import write_training_summary
from .training_panel import phase_frames, training_panel
from .variants import variant_montage
from .volumes import volume_curve

__all__ = [
    "StudyReport",
    "as_pixels",
    "dataset_montage",
    "ef_agreement",
    "overlay",
    "phase_frames",
    "png_path",
    "save_png",
    "sequence_montage",
    "training_curves",
    "training_panel",
    "variant_montage",
    "volume_curve",
    "write_case_pictures",
    "write_cohort_report",
    "write_measures_json",
    "write_study_report",
    "write_training_summary",
]
