# SPDX-License-Identifier: Apache-2.0
"""How sure the numbers are: intervals that should hold the true value with a stated probability."""

from __future__ import annotations

from dataclasses import dataclass

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Intervals:
    """Lower and upper bound of the numbers of a study.

    Attributes:
        level: intended probability that an interval holds the true value, in (0, 1).
        method: name of the method.
        edv_ml: end-diastolic volume; ``None`` where the method gives no interval.
        esv_ml: end-systolic volume.
        sv_ml: stroke volume.
        ef_percent: ejection fraction.
        ed_mass_g: myocardial mass at end-diastole.
        ed_thickness_mm: mean wall thickness at end-diastole.
    """

    level: float
    method: str
    edv_ml: Bounds | None = None
    esv_ml: Bounds | None = None
    sv_ml: Bounds | None = None
    ef_percent: Bounds | None = None
    ed_mass_g: Bounds | None = None
    ed_thickness_mm: Bounds | None = None
