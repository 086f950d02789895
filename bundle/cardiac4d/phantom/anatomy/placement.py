# SPDX-License-Identifier: Apache-2.0
"""Where the heart lies in the patient: the rotation and shift from the heart frame to RAS millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from .shapes import Array, Point

_BASEWARD: Final = np.array([0.62, -0.60, 0.50])
"""Long axis from apex to base in RAS: the apex points to the left, to the front and down."""
_SEPTALWARD: Final = np.array([1.0, 1.0, 0.0])
"""The right ventricle lies to the right and in front of the left one."""
_JITTER_DEG: Final = 7.0


@dataclass(frozen=True)
class Frame:
    """A rigid frame: ``ras = rotation @ local + origin_mm``.

    Attributes:
        rotation: ``(3, 3)``, its columns are the local axes in RAS.
        origin_mm: RAS position of the local origin.
    """

    rotation: NDArray[np.float64]
    origin_mm: NDArray[np.float64]

    def to_ras(self, local: Array | Point) -> NDArray[np.float64]:
        """Points ``(..., 3)`` of this frame in RAS."""
        return np.asarray(local) @ self.rotation.T + self.origin_mm

    def to_local(self, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
        """Coordinates of RAS points in this frame, broadcast together, in the precision of the input."""
        r = self.rotation.astype(x.dtype)
        ox, oy, oz = self.origin_mm.astype(x.dtype)
        x, y, z = x - ox, y - oy, z - oz
        first, second, third = (x * r[0, i] + y * r[1, i] + z * r[2, i] for i in range(3))
        return first, second, third

    def direction(self, ras: Array | Point) -> NDArray[np.float64]:
        """Unit vector of this frame that points along a RAS direction."""
        local = np.asarray(ras, dtype=np.float64) @ self.rotation
        return local / np.linalg.norm(local)


def sample_placement(length_mm: float, rng: np.random.Generator) -> Frame:
    """Draw the frame of one heart: usual orientation, turned by about 7 degrees about each axis, at a scanner position.

    Args:
        length_mm: epicardial apex to basal plane at end-diastole; the mid-ventricle lies 3 cm left of the midline.
        rng: source of randomness.
    """
    base = _BASEWARD / np.linalg.norm(_BASEWARD)
    septal = _SEPTALWARD - (_SEPTALWARD @ base) * base
    septal /= np.linalg.norm(septal)
    nominal = np.stack([septal, np.cross(base, septal), base], axis=1)
    turn = Rotation.from_rotvec(np.deg2rad(rng.normal(0.0, _JITTER_DEG, 3))).as_matrix()
    rotation = turn @ nominal
    mid_ventricle = np.array([-30.0, 0.0, 0.0]) + rng.normal(0.0, [6.0, 10.0, 60.0])
    return Frame(rotation, mid_ventricle - rotation[:, 2] * 0.65 * length_mm)
