# SPDX-License-Identifier: Apache-2.0
"""The exact numbers behind one sequence: volumes and mass from the analytic model, thickness along true normals."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..conventions import MYOCARDIUM_DENSITY_G_PER_ML
from .anatomy.shapes import Array
from .anatomy.ventricle import Ventricle, VentricleState

RINGS: Final = ("apex", "mid", "base")
"""Thirds of the cavity's length, from the endocardial apex to the basal plane."""
_ANGLES: Final = 96
_HEIGHTS: Final = 24
_BISECTIONS: Final = 36


def wall_thickness_mm(state: VentricleState) -> dict[str, float]:
    """Mean wall thickness of each ring, measured in 3D along the normals of the endocardial surface.

    Rays leave the endocardium along its outer normal and end on the epicardium; near the base the epicardial surface is
    taken past the basal plane, where the label is cut. The mean is weighted by endocardial area.

    Returns:
        Millimetres by ring, see :data:`RINGS`.
    """
    height = (np.arange(3 * _HEIGHTS) + 0.5) / (3 * _HEIGHTS)
    angle = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
    points, area = _surface(state, angle[None, :], height[:, None])
    thickness = ray_lengths_mm(state, points, endo_normals(state, points))
    rows = {ring: slice(i * _HEIGHTS, (i + 1) * _HEIGHTS) for i, ring in enumerate(RINGS)}
    return {ring: float(np.average(thickness[row], weights=area[row])) for ring, row in rows.items()}


def endo_normals(state: VentricleState, points: Array) -> Array:
    """Outer unit normals of the endocardial surface at ``points`` ``(..., 3)``."""
    shifts = np.eye(3) * 1e-4
    changes = [_fields(state, points + shift)[0] - _fields(state, points - shift)[0] for shift in shifts]
    gradient = np.stack(changes, axis=-1)
    return gradient / np.linalg.norm(gradient, axis=-1, keepdims=True)


def ray_lengths_mm(state: VentricleState, points: Array, normals: Array) -> Array:
    """Distance along each ray from inside the epicardium to its surface, ``(...,)``, by bisection."""
    near = np.zeros(points.shape[:-1])
    far = np.full_like(near, 6 * state.wall_mm)
    for _ in range(_BISECTIONS):
        middle = (near + far) / 2
        inside = _fields(state, points + middle[..., None] * normals)[1] < 0
        near, far = np.where(inside, middle, near), np.where(inside, far, middle)
    return (near + far) / 2


def truth_numbers(ventricle: Ventricle) -> dict[str, Any]:
    """Everything exact about a sequence, with the unit in each key; volumes are those of the frames."""
    p = ventricle.physiology
    phases = p.frame_phases
    at_es = ventricle.at(phases[p.es_frame])
    return {
        "group": p.group,
        "edv_ml": p.edv_ml,
        "esv_ml": p.esv_ml,
        "stroke_volume_ml": p.edv_ml - p.esv_ml,
        "ef_percent": p.ef_percent,
        "mass_g": ventricle.wall_ml * MYOCARDIUM_DENSITY_G_PER_ML,
        "ed_frame": 0,
        "es_frame": p.es_frame,
        "num_frames": p.num_frames,
        "heart_rate_bpm": p.heart_rate_bpm,
        "frame_duration_ms": p.frame_duration_ms,
        "cycle_length_ms": p.cycle_ms,
        "mapse_mm": p.mapse_mm,
        "twist_deg": p.twist_apex_deg - p.twist_base_deg,
        "volumes_ml": [float(v) for v in p.volume_ml(phases)],
        "wall_thickness_ed_mm": wall_thickness_mm(ventricle.end_diastole),
        "wall_thickness_es_mm": wall_thickness_mm(at_es),
    }


def _surface(state: VentricleState, angle: Array, height: Array) -> tuple[Array, Array]:
    """Endocardial points ``(A, B, 3)`` of a grid of angles and heights, and the area element at each."""
    step = 1e-5
    points = state.endo_point_mm(angle, height)
    along_angle = state.endo_point_mm(angle + step, height) - state.endo_point_mm(angle - step, height)
    along_height = state.endo_point_mm(angle, height + step) - state.endo_point_mm(angle, height - step)
    return points, np.linalg.norm(np.cross(along_angle, along_height), axis=-1)


def _fields(state: VentricleState, points: Array) -> tuple[Array, ...]:
    return state.fields(points[..., 0], points[..., 1], points[..., 2])
