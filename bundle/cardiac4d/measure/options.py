# SPDX-License-Identifier: Apache-2.0
"""What a user may choose about the measurement of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from .inputs import Array
from .long_axis import LongAxis


@dataclass(frozen=True, eq=False)
class MeasureOptions:
    """Choices; the defaults measure what a label map alone allows.

    Args:
        phase_rule: which frames are end-diastole and end-systole: ``"extrema"`` of the measured cavity volume
            (Myronenko et al. 2019), or of the ``"smoothed"`` curve. Volumes are always those measured in the frame.
        ed_frame: 0-based end-diastolic frame, instead of the rule; with it goes ``es_frame``.
        es_frame: 0-based end-systolic frame.
        long_axis: axis at end-diastole, instead of the one found from the shape.
        septal_direction: ``(3,)`` RAS direction from the cavity to the septum (the right ventricle); gives the 17
            segments.
        rv_mask: ``(H, W, D)`` at end-diastole or ``(H, W, D, T)``, non-zero in the right ventricle: the same from a
            mask.
        wall_thickness: measure it; a second or two per frame, two frames.
        thickness_spacing_mm: spacing of the grid on which it is measured.
    """

    phase_rule: Literal["extrema", "smoothed"] = "extrema"
    ed_frame: int | None = None
    es_frame: int | None = None
    long_axis: LongAxis | None = None
    septal_direction: Sequence[float] | None = None
    rv_mask: Array | torch.Tensor | None = None
    wall_thickness: bool = True
    thickness_spacing_mm: float = 1.0

    def __post_init__(self) -> None:
        if self.phase_rule not in ("extrema", "smoothed"):
            raise ValueError(f"`phase_rule` must be 'extrema' or 'smoothed', got {self.phase_rule!r}")
        if (self.ed_frame is None) != (self.es_frame is None):
            raise ValueError("`ed_frame` and `es_frame` must be given together")
        if self.septal_direction is not None and self.rv_mask is not None:
            raise ValueError("`septal_direction` and `rv_mask` say the same: give one of them")
        if not self.thickness_spacing_mm > 0:
            raise ValueError(f"`thickness_spacing_mm` must be positive, got {self.thickness_spacing_mm}")
