# SPDX-License-Identifier: Apache-2.0
"""What a cardiologist reads off label maps: volumes in millilitres, ejection fraction in percent, mass in grams."""

from __future__ import annotations

from .inputs import as_affine, as_label_map, measured_frames, structure_id
from .left_ventricle import LeftVentricleFunction, measure_left_ventricle
from .volumes import volumes_ml

__all__ = [
    "LeftVentricleFunction",
    "as_affine",
    "as_label_map",
    "measure_left_ventricle",
    "measured_frames",
    "structure_id",
    "volumes_ml",
]
