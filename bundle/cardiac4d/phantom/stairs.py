# SPDX-License-Identifier: Apache-2.0
"""Stair-step artefact: bands of slices that come from different beats, shifted and slightly out of phase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .anatomy.shapes import Point


@dataclass(frozen=True)
class Slab:
    """A run of slices from one beat.

    Attributes:
        start: first slice.
        stop: one past the last slice.
        shift_mm: displacement of the heart, RAS.
        phase_error: displacement in the cycle, fraction of R-R.
    """

    start: int
    stop: int
    shift_mm: Point = (0.0, 0.0, 0.0)
    phase_error: float = 0.0


def whole_stack(num_slices: int) -> list[Slab]:
    """One beat for all slices: no artefact."""
    return [Slab(0, num_slices)]


def sample_slabs(num_slices: int, slice_mm: float, rng: np.random.Generator) -> list[Slab]:
    """Draw bands of 20 to 38 mm, each shifted by 0.5 to 3 mm and up to 3 % of R-R out of phase; the first is not."""
    slabs, start = [], 0
    while start < num_slices:
        stop = start + max(2, round(rng.uniform(20.0, 38.0) / slice_mm))
        stop = num_slices if stop > num_slices - 2 else stop  # no band of a single slice
        way = rng.normal(0.0, 1.0, 3)
        x, y, z = (float(c) for c in way / np.linalg.norm(way) * rng.uniform(0.5, 3.0))
        error = float(rng.uniform(-0.03, 0.03))
        slabs.append(Slab(start, stop, (x, y, z), error) if start else Slab(start, stop))
        start = stop
    return slabs
