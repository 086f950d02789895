# SPDX-License-Identifier: Apache-2.0
"""Everything measured on one study, as one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..conventions import MYOCARDIUM_DENSITY_G_PER_ML
from .cycle import Curve
from .document import study_document
from .flags import Flag
from .intervals import Intervals
from .left_ventricle import LeftVentricleFunction
from .long_axis import LongAxis, Vector
from .segments import RegionalThickness, Thickening, thickening
from .times import heart_rate_per_min

PhaseRule = Literal["extrema", "smoothed", "given"]


@dataclass(frozen=True, eq=False)
class StudyMeasures:
    """What one study says about the left ventricle; undefined numbers are NaN.

    Attributes:
        function: volumes, ejection fraction, mass, and the frames they were taken in.
        phase_rule: how these frames were chosen.
        frame_times_ms: ``(T,)``; ``None`` where not known.
        cycle_length_ms: R-R interval; NaN unless the frames cover a full cycle of known length.
        full_cycle: the frames cover one R-R interval.
        lv_smoothed_ml: ``(T,)`` smoothed cavity volume; ``None`` with fewer than six measured frames.
        peak_ejection_rate_ml_per_s: largest fall of the smoothed curve; NaN without frame times.
        peak_filling_rate_ml_per_s: largest rise.
        axis: long axis and valve plane at end-diastole; ``None`` where the shape has none.
        septal_direction: ``(3,)`` unit vector across the axis, RAS; ``None`` where not known.
        wall_ed: wall thickness at end-diastole; ``None`` where not measured.
        wall_es: at end-systole.
        flags: what speaks against the numbers.
        intervals: how sure they are; ``None`` unless asked for.
    """

    function: LeftVentricleFunction
    phase_rule: PhaseRule
    frame_times_ms: Curve | None
    cycle_length_ms: float
    full_cycle: bool
    lv_smoothed_ml: Curve | None
    peak_ejection_rate_ml_per_s: float
    peak_filling_rate_ml_per_s: float
    axis: LongAxis | None
    septal_direction: Vector | None
    wall_ed: RegionalThickness | None
    wall_es: RegionalThickness | None
    flags: tuple[Flag, ...]
    intervals: Intervals | None = None

    @property
    def heart_rate_per_min(self) -> float:
        """Beats per minute; NaN unless the cycle length is known."""
        return heart_rate_per_min(self.cycle_length_ms)

    @property
    def cardiac_output_l_per_min(self) -> float:
        """Stroke volume times heart rate; NaN unless the cycle length is known."""
        return self.function.sv_ml * self.heart_rate_per_min / 1000.0

    @property
    def es_mass_g(self) -> float:
        """Myocardial mass at the end-systolic frame."""
        return float(self.function.lvm_volumes_ml[self.function.es_frame]) * MYOCARDIUM_DENSITY_G_PER_ML

    @property
    def thickening(self) -> Thickening | None:
        """How much the wall thickens from end-diastole to end-systole; ``None`` unless both were measured."""
        return None if self.wall_ed is None or self.wall_es is None else thickening(self.wall_ed, self.wall_es)

    def to_document(self, case_id: str, provenance: Mapping[str, Any]) -> dict[str, Any]:
        """The measurements as a JSON document, see :func:`~cardiac4d.measure.document.study_document`."""
        return study_document(self, case_id, provenance)
