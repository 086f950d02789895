# SPDX-License-Identifier: Apache-2.0
"""What speaks against a measurement: the rules on volumes, phases and mass, each with its reason in words.

A flag never changes a number. Severities: ``info`` is worth knowing, ``warning`` asks for a look at the segmentation,
``error`` says that a number does not mean what its name says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from ..conventions import LVM_VARIATION_TOLERANCE_PERCENT
from .cycle import Curve, SmoothCurve, count_minima

Severity = Literal["info", "warning", "error"]

PLAUSIBLE_EF_PERCENT: Final = (10.0, 80.0)
"""Ejection fractions outside are flagged. Normal hearts on CT reach 63 +- 8 and 66 +- 8 % (PMC7758747, two standard
deviations end at 82 %); the diseased ones of ACDC begin at 10 %."""
PLAUSIBLE_EDV_ML: Final = (40.0, 400.0)
"""Adults: women have 98 +- 21 ml, men 113 +- 26 ml (PMC7758747); the largest dilated hearts reach 400 ml."""
PLAUSIBLE_MASS_G: Final = (30.0, 400.0)
"""Adults: men 145 +- 29 g, women 108 +- 20 g (PMC7758747); the phantom spans 50 to 220 g."""
PLAUSIBLE_HEART_RATE_PER_MIN: Final = (20.0, 250.0)
"""Outside, frame times are in another unit than the file says, or the frames do not cover one cycle."""
SECOND_MINIMUM_SHARE: Final = 0.1
"""A second minimum counts if the curve rises by this share of the stroke volume between the two."""


@dataclass(frozen=True)
class Flag:
    """One doubt about a study.

    Attributes:
        code: stable name, snake_case.
        severity: ``info``, ``warning`` or ``error``.
        frames: 0-based frames concerned, ascending; empty where the whole study is.
        reason: one or two plain sentences without the name of the case.
    """

    code: str
    severity: Severity
    frames: tuple[int, ...]
    reason: str


def listed(frames: Iterable[int]) -> str:
    """Ascending frames in words, runs of three or more as ranges: ``frame 3``, ``frames 2, 4``, ``frames 0 to 7``."""
    runs: list[list[int]] = []
    for frame in map(int, frames):
        if runs and frame == runs[-1][-1] + 1:
            runs[-1].append(frame)
        else:
            runs.append([frame])
    parts = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return f"frame{'s' if sum(map(len, runs)) > 1 else ''} {', '.join(parts)}"


def lost_cavity(lv_volumes_ml: Curve) -> Flag | None:
    """Frames without any cavity: one of them among others makes an ejection fraction of 100 %.

    Args:
        lv_volumes_ml: ``(T,)``; NaN where not measured.
    """
    lost = np.flatnonzero(lv_volumes_ml == 0)
    if not lost.size:
        return None
    frames = tuple(lost.tolist())
    if lost.size == np.isfinite(lv_volumes_ml).sum():
        return Flag("no_cavity", "error", frames, "no cavity in any frame: no volume, no ejection fraction")
    return Flag(
        "lost_cavity",
        "error",
        frames,
        f"no cavity in {listed(frames)} of 0..{len(lv_volumes_ml) - 1}: the end-systolic volume is 0 and the ejection "
        "fraction 100 %, which is right only if the cavity closes entirely. Look at the segmentation",
    )


def no_muscle(lvm_volumes_ml: Curve) -> Flag | None:
    """No muscle in any frame.

    Args:
        lvm_volumes_ml: ``(T,)``; NaN where not measured.
    """
    measured = np.isfinite(lvm_volumes_ml)
    if not measured.any() or (lvm_volumes_ml[measured] > 0).any():
        return None
    frames = tuple(np.flatnonzero(measured).tolist())
    return Flag("no_muscle", "error", frames, "no muscle in any frame: no mass, no wall thickness")


def mass_variation(variation_percent: float) -> Flag | None:
    """A myocardial volume that changes over the cycle, though muscle is all but incompressible.

    Args:
        variation_percent: ``100 * (max - min) / mean``; NaN gives no flag.
    """
    if not variation_percent > LVM_VARIATION_TOLERANCE_PERCENT:
        return None
    return Flag(
        "mass_variation",
        "warning",
        (),
        f"the myocardial volume varies by {variation_percent:.0f} % of its mean over the sequence, more than "
        f"{LVM_VARIATION_TOLERANCE_PERCENT:.0f} %, though a heart conserves it: look at the volume curve before "
        "you use mass or ejection fraction",
    )


def missing_frames(lv_volumes_ml: Curve) -> Flag | None:
    """Frames that nobody annotated, and so nobody measured.

    Args:
        lv_volumes_ml: ``(T,)``; NaN where not measured.
    """
    missing = tuple(np.flatnonzero(np.isnan(lv_volumes_ml)).tolist())
    if not missing:
        return None
    verb = "are" if len(missing) > 1 else "is"
    reason = f"{listed(missing)} of 0..{len(lv_volumes_ml) - 1} {verb} not annotated"
    return Flag("missing_frames", "info", missing, f"{reason}: largest and smallest volume may lie there")


def several_minima(curve: SmoothCurve | None, stroke_volume_ml: float) -> Flag | None:
    """More than one minimum in the smoothed volume curve: a heart contracts once per cycle.

    Args:
        curve: the smoothed curve, if there is one.
        stroke_volume_ml: its scale.
    """
    if curve is None or not stroke_volume_ml > 0:
        return None
    found = count_minima(curve, SECOND_MINIMUM_SHARE * stroke_volume_ml)
    if found < 2:
        return None
    reason = (
        f"the volume curve has {found} minima, each deeper than {100 * SECOND_MINIMUM_SHARE:.0f} % of the stroke "
        "volume: the sequence may cover more than one beat, or the segmentation breaks in some frames"
    )
    return Flag("several_minima", "warning", (), reason)


def phases_too_close(ed_frame: int, es_frame: int, num_frames: int, *, full_cycle: bool) -> Flag | None:
    """End-diastole and end-systole closer than a quarter of a full cycle.

    Args:
        ed_frame: 0-based.
        es_frame: 0-based.
        num_frames: frames of the sequence.
        full_cycle: the frames cover one R-R interval; else there is no rule.
    """
    apart = abs(ed_frame - es_frame)
    apart = min(apart, num_frames - apart)
    if not full_cycle or 4 * apart >= num_frames:
        return None
    reason = (
        f"end-diastole (frame {ed_frame}) and end-systole (frame {es_frame}) are {apart} of {num_frames} frames apart, "
        "less than a quarter of the cycle: systole lasts longer"
    )
    return Flag("phases_too_close", "warning", (ed_frame, es_frame), reason)


def implausible_value(code: str, name: str, value: float, unit: str, limits: tuple[float, float]) -> Flag | None:
    """A number outside the range that adults have.

    Args:
        code: code of the flag.
        name: what the number is called in the reason.
        value: the number; NaN gives no flag.
        unit: its unit.
        limits: lowest and highest plausible value.
    """
    low, high = limits
    if math.isnan(value) or low <= value <= high:
        return None
    reason = (
        f"{name} of {value:.3g} {unit} is outside {low:.0f} to {high:.0f} {unit}: check the segmentation and voxel size"
    )
    return Flag(code, "warning", (), reason)


def implausible_heart_rate(rate_per_min: float) -> Flag | None:
    """A heart rate that no patient has.

    Args:
        rate_per_min: NaN gives no flag.
    """
    low, high = PLAUSIBLE_HEART_RATE_PER_MIN
    if math.isnan(rate_per_min) or low <= rate_per_min <= high:
        return None
    reason = (
        f"a heart rate of {rate_per_min:.3g} /min is outside {low:.0f} to {high:.0f} /min: check the unit of the frame "
        "times, and whether the frames cover one cycle; cardiac output and rates are wrong with it"
    )
    return Flag("implausible_heart_rate", "warning", (), reason)
