# SPDX-License-Identifier: Apache-2.0
"""The left ventricle: two truncated ellipsoids whose wall is solved, at every phase, from constant mass.

Heart frame (millimetres): the origin is the epicardial apex, fixed in the chest; ``z`` runs along the long axis to the
base, ``x`` to the septum, ``y`` to the anterior wall. With ellipsoid centre ``z_c`` and ``zeta = (z - z_c) / b``::

    endocardium   r^2 / (a^2 G_endo) + zeta^2 = 1
    epicardium    r^2 / ((a + w)^2 G_epi) + ((z - z_c) / (b + 0.6 w))^2 = 1
    both cut at the basal plane z = z_c + h,  h = 0.45 b

``r`` is measured from a gently bent axis and ``G(theta, z) = 1 + sum c_k cos(k theta - phi_k)`` makes the outline
irregular. The mean of ``G`` over ``theta`` is one at every ``z`` and the bend is a shear, so **both volumes stay
exactly those of the plain ellipsoids**: ``pi a^2 (h + b - (h^3 + b^3) / (3 b^2))``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import brentq

from ..physiology import Physiology
from .shapes import Array

BASE_RATIO: Final = 0.45
"""Height of the basal plane above the ellipsoid's equator, in units of ``b``."""
APEX_RATIO: Final = 0.6
"""Wall at the apex in units of the wall at the equator."""


@dataclass(frozen=True)
class Outline:
    """Departure of one ventricle from a body of revolution; volumes do not depend on it.

    Attributes:
        septal_excess: coefficient of ``cos(theta)`` of the epicardium: thicker septum, thinner lateral wall.
        lobes: coefficients of ``cos(k theta - phi_k)`` for k = 2, 3, of both surfaces.
        lobe_angles_rad: their directions ``phi_k``.
        bend_mm: displacement of the axis at the basal plane of end-diastole, (x, y).
    """

    septal_excess: float = 0.0
    lobes: tuple[float, float] = (0.0, 0.0)
    lobe_angles_rad: tuple[float, float] = (0.0, 0.0)
    bend_mm: tuple[float, float] = (0.0, 0.0)


def sample_outline(rng: np.random.Generator) -> Outline:
    """Draw an outline: septum 0.4 to 1 mm thicker than the mean wall, radius irregular by up to 4 %."""
    return Outline(
        septal_excess=rng.uniform(0.025, 0.06),
        lobes=(rng.uniform(0.0, 0.06), rng.uniform(0.0, 0.03)),
        lobe_angles_rad=(rng.uniform(0.0, 2 * np.pi), rng.uniform(0.0, 2 * np.pi)),
        bend_mm=(rng.normal(0.0, 2.0), rng.normal(0.0, 2.0)),
    )


@dataclass(frozen=True)
class VentricleState:
    """The ventricle at one phase.

    Attributes:
        a_mm: endocardial short semi-axis.
        b_mm: endocardial long semi-axis.
        wall_mm: wall at the equator, ``w``.
        contraction: 0 at end-diastole, 1 at end-systole.
        half_twist_tan: tangent of half the rotation about the long axis, at the apex and at the base.
        bend_length_mm: height above the apex at which ``outline.bend_mm`` is reached.
        outline: shape of the cross-section and of the axis.
    """

    a_mm: float
    b_mm: float
    wall_mm: float
    contraction: float
    half_twist_tan: tuple[float, float]
    bend_length_mm: float
    outline: Outline

    @property
    def center_mm(self) -> float:
        """Height of the common ellipsoid centre above the epicardial apex."""
        return self.b_mm + APEX_RATIO * self.wall_mm

    @property
    def base_mm(self) -> float:
        """Height of the basal plane above the epicardial apex."""
        return self.center_mm + BASE_RATIO * self.b_mm

    @property
    def endo_apex_mm(self) -> float:
        """Height of the endocardial apex above the epicardial apex."""
        return APEX_RATIO * self.wall_mm

    @property
    def cavity_ml(self) -> float:
        """Exact cavity volume."""
        return truncated_ellipsoid_ml(self.a_mm, self.b_mm, BASE_RATIO * self.b_mm)

    @property
    def wall_ml(self) -> float:
        """Exact myocardial volume."""
        epi_a, epi_b = self.epi_semi_axes_mm()
        return truncated_ellipsoid_ml(epi_a, epi_b, BASE_RATIO * self.b_mm) - self.cavity_ml

    def epi_semi_axes_mm(self, margin_mm: float = 0.0) -> tuple[float, float]:
        """Short and long semi-axis of the epicardium, grown by ``margin_mm``."""
        return self.a_mm + self.wall_mm + margin_mm, self.b_mm + APEX_RATIO * self.wall_mm + margin_mm

    def axis_offset_mm(self, z: Array) -> tuple[Array, Array]:
        """Displacement (x, y) of the bent axis at height ``z``."""
        bend = (z / self.bend_length_mm) ** 2
        return self.outline.bend_mm[0] * bend, self.outline.bend_mm[1] * bend

    def half_twist_tan_at(self, z: Array) -> Array:
        """Tangent of half the rotation at height ``z``, linear from apex to base: sine and cosine come without trig."""
        apex, base = self.half_twist_tan
        return apex + ((base - apex) / self.base_mm) * np.clip(z, 0, self.base_mm)

    def fields(self, x: Array, y: Array, z: Array, *margins_mm: float) -> tuple[Array, ...]:
        """Endocardial and epicardial field, and the epicardium grown by each margin; negative inside, not cut."""
        off_x, off_y = self.axis_offset_mm(z)
        dx, dy = x - off_x, y - off_y
        r2 = dx * dx + dy * dy
        g_endo, g_epi = self._outline_factors(dx, dy, r2, z)
        axial = (z - self.center_mm) ** 2
        surfaces = [(g_endo, self.a_mm, self.b_mm)]
        surfaces += [(g_epi, *self.epi_semi_axes_mm(margin)) for margin in (0.0, *margins_mm)]
        return tuple(r2 / (g * a**2) + axial * (1 / b**2) - 1 for g, a, b in surfaces)

    def _outline_factors(self, dx: Array, dy: Array, r2: Array, z: Array) -> tuple[Array, Array]:
        """``G_endo`` and ``G_epi`` of the module docstring at displacements from the axis."""
        inverse = 1 / np.sqrt(r2 + 1e-12)
        angle_cos, angle_sin = dx * inverse, dy * inverse
        t = self.half_twist_tan_at(z)
        norm = 1 / (1 + t * t)
        turn_cos, turn_sin = (1 - t * t) * norm, 2 * t * norm
        c = angle_cos * turn_cos + angle_sin * turn_sin
        s = angle_sin * turn_cos - angle_cos * turn_sin
        c2, s2 = 2 * c * c - 1, 2 * s * c
        (k2, k3), (p2, p3) = self.outline.lobes, self.outline.lobe_angles_rad
        g_endo = 1 + c2 * (k2 * math.cos(p2)) + s2 * (k2 * math.sin(p2))
        g_endo += (c * c2 - s * s2) * (k3 * math.cos(p3)) + (s * c2 + c * s2) * (k3 * math.sin(p3))
        return g_endo, g_endo + c * self.outline.septal_excess

    def endo_point_mm(self, angle_rad: Array, height: Array, radius_fraction: Array | float = 1.0) -> Array:
        """Points of the cavity in material coordinates: they move with the wall as it contracts and twists.

        Args:
            angle_rad: direction about the axis at end-diastole, 0 towards the septum.
            height: 0 at the endocardial apex, 1 at the basal plane.
            radius_fraction: 0 on the axis, 1 on the endocardium.

        Returns:
            ``(..., 3)`` in the heart frame.
        """
        z = self.endo_apex_mm + np.asarray(height) * (self.base_mm - self.endo_apex_mm)
        angle = angle_rad + 2 * np.arctan(self.half_twist_tan_at(z))
        unit_x, unit_y = np.cos(angle), np.sin(angle)
        g_endo, _ = self._outline_factors(unit_x, unit_y, np.ones_like(unit_x), z)
        zeta2 = np.clip(1 - ((z - self.center_mm) / self.b_mm) ** 2, 0, None)
        radius = radius_fraction * self.a_mm * np.sqrt(zeta2 * g_endo)
        off_x, off_y = self.axis_offset_mm(z)
        return np.stack(np.broadcast_arrays(off_x + radius * unit_x, off_y + radius * unit_y, z), axis=-1)


@dataclass(frozen=True)
class Ventricle:
    """A beating left ventricle: physiology and outline; :meth:`at` solves one phase."""

    physiology: Physiology
    outline: Outline = Outline()

    @property
    def wall_ml(self) -> float:
        """Myocardial volume, the same at every phase."""
        return self.end_diastole.wall_ml

    @property
    def end_diastole(self) -> VentricleState:
        """The state that fixes the myocardial volume: drawn wall, drawn length, drawn volume."""
        p = self.physiology
        b_mm = p.length_ed_mm / (1 + BASE_RATIO)
        return self._state(b_mm, p.wall_ed_mm, p.edv_ml, contraction=0.0)

    def at(self, phase: float) -> VentricleState:
        """The ventricle at a phase (fraction of R-R, periodic): wall solved so that its volume is conserved.

        Raises:
            ValueError: if no wall between a fifth and five times the end-diastolic one conserves the mass.
        """
        p = self.physiology
        contraction, volume_ml = float(p.contraction(phase)), float(p.volume_ml(phase))
        start = self.end_diastole
        base_mm = start.base_mm - p.mapse_mm * contraction

        def state(wall_mm: float) -> VentricleState:
            return self._state((base_mm - APEX_RATIO * wall_mm) / (1 + BASE_RATIO), wall_mm, volume_ml, contraction)

        wall_mm = brentq(lambda w: state(w).wall_ml - start.wall_ml, p.wall_ed_mm / 5, p.wall_ed_mm * 5, xtol=1e-10)
        return state(wall_mm)

    def _state(self, b_mm: float, wall_mm: float, volume_ml: float, contraction: float) -> VentricleState:
        p = self.physiology
        unit_ml = truncated_ellipsoid_ml(1.0, b_mm, BASE_RATIO * b_mm)
        return VentricleState(
            a_mm=float(np.sqrt(volume_ml / unit_ml)),
            b_mm=b_mm,
            wall_mm=wall_mm,
            contraction=contraction,
            half_twist_tan=(_half_tan(p.twist_apex_deg * contraction), _half_tan(p.twist_base_deg * contraction)),
            bend_length_mm=p.length_ed_mm + APEX_RATIO * p.wall_ed_mm,
            outline=self.outline,
        )


def _half_tan(angle_deg: float) -> float:
    return math.tan(math.radians(angle_deg) / 2)


def truncated_ellipsoid_ml(a_mm: float, b_mm: float, h_mm: float) -> float:
    """Volume of ``r^2/a^2 + z^2/b^2 <= 1, z <= h`` with ``0 <= h <= b``, in millilitres."""
    return float(np.pi * a_mm**2 * (h_mm + b_mm - (h_mm**3 + b_mm**3) / (3 * b_mm**2))) / 1000.0
