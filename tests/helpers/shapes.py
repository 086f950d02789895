# SPDX-License-Identifier: Apache-2.0
"""Label maps of bodies whose volume and wall thickness are known by formula, on any grid."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial.transform import Rotation

Labels = np.ndarray
TURN = Rotation.from_euler("xyz", [25.0, -40.0, 15.0], degrees=True).as_matrix()


def grid_around(half_mm: float, spacing_mm: tuple[float, ...], rotation: np.ndarray | None = None) -> tuple:
    """Shape and affine of a grid around the origin, and the RAS position of its voxel centres, ``(3, H, W, D)``."""
    counts = [2 * math.ceil(half_mm / s) + 1 for s in spacing_mm]
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if rotation is None else rotation) @ np.diag(spacing_mm)
    affine[:3, 3] = -affine[:3, :3] @ [(n - 1) / 2 - 0.21 for n in counts]  # no voxel centre on the origin
    where = np.tensordot(affine[:3, :3], np.indices(counts), axes=1) + affine[:3, 3][:, None, None, None]
    return affine, where


def sphere_in_sphere(
    inner_mm: float, outer_mm: float, spacing_mm: tuple[float, ...], rotation: np.ndarray | None = None
) -> tuple[Labels, np.ndarray]:
    """A closed shell: label map ``(H, W, D)`` and affine. Thickness ``outer - inner``, exactly, everywhere."""
    affine, where = grid_around(outer_mm + 3 * max(spacing_mm), spacing_mm, rotation)
    radius = np.linalg.norm(where, axis=0)
    return np.where(radius < inner_mm, 1, np.where(radius < outer_mm, 2, 0)).astype(np.uint8), affine


def cup(
    inner_mm: tuple[float, float],
    outer_mm: tuple[float, float],
    top_mm: float,
    spacing_mm: tuple[float, ...],
    rotation: np.ndarray | None = None,
) -> tuple[Labels, np.ndarray]:
    """Two ellipsoids of revolution (short, long semi-axis) about z with one centre, cut at ``z = top_mm``."""
    affine, where = grid_around(max(outer_mm) + 3 * max(spacing_mm), spacing_mm, rotation)
    x, y, z = where
    inner, outer = (np.hypot(x, y) ** 2 / a**2 + z**2 / b**2 < 1 for a, b in (inner_mm, outer_mm))
    labels = np.where(inner, 1, np.where(outer, 2, 0))
    return np.where(z < top_mm, labels, 0).astype(np.uint8), affine


def cup_ml(semi_axes_mm: tuple[float, float], top_mm: float) -> float:
    """Volume of one such ellipsoid below the cut: the integral of ``pi a^2 (1 - z^2 / b^2)`` from ``-b``."""
    a, b = semi_axes_mm
    return math.pi * a**2 * ((top_mm + b) - (top_mm**3 + b**3) / (3 * b**2)) / 1000


def confocal_cup(
    focus_mm: float, inner_mm: float, outer_mm: float, top_mm: float, spacing_mm: tuple[float, ...], rotation=None
) -> tuple[Labels, np.ndarray]:
    """Two confocal ellipsoids by their short semi-axes: hyperbolas that meet both at right angles are field lines."""
    axes = [(a, math.hypot(a, focus_mm)) for a in (inner_mm, outer_mm)]
    return cup(axes[0], axes[1], top_mm, spacing_mm, rotation)
