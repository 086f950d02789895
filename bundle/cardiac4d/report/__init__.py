# SPDX-License-Identifier: Apache-2.0
"""What a result looks like: the page of a study, the table of a cohort, single pictures."""

from __future__ import annotations

from .agreement import ef_agreement
from .case import write_case_pictures
from .cohort_page import write_cohort_report
from .montage import dataset_montage, sequence_montage
from .overlay import overlay
from .study_report import StudyReport, write_measures_json, write_study_report
from .style import png_path, save_png
from .volumes import volume_curve

__all__ = [
    "StudyReport",
    "dataset_montage",
    "ef_agreement",
    "overlay",
    "png_path",
    "save_png",
    "sequence_montage",
    "volume_curve",
    "write_case_pictures",
    "write_cohort_report",
    "write_measures_json",
    "write_study_report",
]
