# SPDX-License-Identifier: Apache-2.0
"""What a cardiologist reads off label maps: volumes in millilitres, ejection fraction in percent, mass in grams."""

from __future__ import annotations

from .document import measures_schema
from .flags import Flag, lost_cavity, mass_variation
from .inputs import as_affine, as_label_map, measured_frames, structure_id
from .intervals import (
    QUANTITIES,
    Intervals,
    errors_of,
    intervals_from_errors,
    intervals_from_probabilities,
    intervals_from_samples,
    quantities,
)
from .left_ventricle import LeftVentricleFunction, measure_left_ventricle
from .long_axis import LongAxis
from .options import MeasureOptions
from .segments import RegionalThickness
from .study import measure_study
from .study_measures import StudyMeasures
from .volumes import volumes_ml

__all__ = [
    "QUANTITIES",
    "Flag",
    "Intervals",
    "LeftVentricleFunction",
    "LongAxis",
    "MeasureOptions",
    "RegionalThickness",
    "StudyMeasures",
    "as_affine",
    "as_label_map",
    "errors_of",
    "intervals_from_errors",
    "intervals_from_probabilities",
    "intervals_from_samples",
    "lost_cavity",
    "mass_variation",
    "measure_left_ventricle",
    "measure_study",
    "measured_frames",
    "measures_schema",
    "quantities",
    "structure_id",
    "volumes_ml",
]
