# SPDX-License-Identifier: Apache-2.0
"""How good a segmented sequence is: overlap and surfaces where annotated, motion over time, ejection fraction."""

from __future__ import annotations

from .case import evaluate_case
from .consistency import ConsistencyMetric, TemporalConsistency, temporal_consistency
from .dice import SparseDice, dice_per_frame
from .digits import rounded
from .ejection_fraction import EjectionFractionError
from .smoothness import TemporalSmoothness, changed_volumes_ml, temporal_l2
from .summary import summarize_cases
from .surface import surface_distances_mm, temporal_surface_distance
from .surface_agreement import SurfaceAgreement, surface_agreement
from .tables import format_cases, format_table
from .volume_curve import CurveRoughness, PhaseError, phase_error_frames, roughness_percent

__all__ = [
    "ConsistencyMetric",
    "CurveRoughness",
    "EjectionFractionError",
    "PhaseError",
    "SparseDice",
    "SurfaceAgreement",
    "TemporalConsistency",
    "TemporalSmoothness",
    "changed_volumes_ml",
    "dice_per_frame",
    "evaluate_case",
    "format_cases",
    "format_table",
    "phase_error_frames",
    "roughness_percent",
    "rounded",
    "summarize_cases",
    "surface_agreement",
    "surface_distances_mm",
    "temporal_consistency",
    "temporal_l2",
    "temporal_surface_distance",
]
