# SPDX-License-Identifier: Apache-2.0
"""Function of the left ventricle over the cycle: end-diastolic and end-systolic volume, ejection fraction, mass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ..conventions import MYOCARDIUM_DENSITY_G_PER_ML
from .inputs import Array
from .volumes import volumes_ml

Curve = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LeftVentricleFunction:
    """What one sequence says about the left ventricle.

    Attributes:
        edv_ml: end-diastolic volume, the largest cavity volume.
        esv_ml: end-systolic volume, the smallest.
        sv_ml: stroke volume, ``edv_ml - esv_ml``.
        ef_percent: ejection fraction, ``100 * sv_ml / edv_ml``; NaN if the cavity is empty in every frame, or if only
            one frame was measured, which shows no ejection.
        ed_frame: 0-based frame of the largest cavity volume, the first if several.
        es_frame: 0-based frame of the smallest.
        ed_time_ms: time of ``ed_frame``; NaN if the frame times are not known.
        es_time_ms: time of ``es_frame``.
        ed_mass_g: myocardial mass at ``ed_frame``, its volume times 1.05 g/ml.
        lv_volumes_ml: ``(T,)`` cavity volume per frame; NaN where not annotated.
        lvm_volumes_ml: ``(T,)`` myocardial volume per frame.
    """

    edv_ml: float
    esv_ml: float
    sv_ml: float
    ef_percent: float
    ed_frame: int
    es_frame: int
    ed_time_ms: float
    es_time_ms: float
    ed_mass_g: float
    lv_volumes_ml: Curve
    lvm_volumes_ml: Curve

    @property
    def lvm_variation_percent(self) -> float:
        """Largest minus smallest myocardial volume, in percent of the mean over the measured frames.

        A heart conserves it, so this is an error of the segmentation. NaN if fewer than two frames were measured, or
        none of them holds myocardium.
        """
        measured = self.lvm_volumes_ml[np.isfinite(self.lvm_volumes_ml)]
        if len(measured) < 2 or not measured.any():
            return float("nan")
        return float(100 * np.ptp(measured) / measured.mean())


def measure_left_ventricle(
    labels: Array | torch.Tensor,
    affine: Array | torch.Tensor,
    frame_times_ms: Sequence[float] | Array | torch.Tensor | None = None,
) -> LeftVentricleFunction:
    """Measure the left ventricle over the frames that are annotated.

    End-diastole and end-systole are the frames of the largest and the smallest cavity volume (Myronenko et al. 2019,
    section 4), without smoothing of the curve: one frame in which a segmentation lost the cavity makes the ejection
    fraction 100 %, so look at the curve.

    Args:
        labels: ``(H, W, D, T)``; 0, 1 LV, 2 LVM, 255 = not annotated. A predicted or dense map measures every frame,
            a sparse one those that are annotated.
        affine: ``(4, 4)``, voxel to millimetre.
        frame_times_ms: ``(T,)`` time of each frame, if known.

    Returns:
        The measurements. A single frame gives ``edv_ml == esv_ml`` and an undefined ejection fraction.

    Raises:
        ValueError: if no frame is annotated, or label map, affine or number of frame times are not as above.

    Example:
        >>> labels = np.zeros((10, 10, 10, 2), np.uint8)
        >>> labels[..., 0], labels[:4, ..., 1] = 1, 1
        >>> function = measure_left_ventricle(labels, np.diag([5.0, 5.0, 4.0, 1.0]))
        >>> round(function.edv_ml), round(function.esv_ml), round(function.ef_percent)
        (100, 40, 60)
    """
    lv_ml, lvm_ml = volumes_ml(labels, affine, "LV"), volumes_ml(labels, affine, "LVM")
    return function_of_curves(lv_ml, lvm_ml, frame_times_ms)


def function_of_curves(
    lv_ml: Curve,
    lvm_ml: Curve,
    frame_times_ms: Sequence[float] | Array | torch.Tensor | None = None,
    frames: tuple[int, int] | None = None,
) -> LeftVentricleFunction:
    """Derive the measurements from the two volume curves.

    Args:
        lv_ml: ``(T,)`` cavity volume per frame; NaN where not annotated.
        lvm_ml: ``(T,)`` myocardial volume per frame.
        frame_times_ms: ``(T,)`` time of each frame, if known.
        frames: end-diastolic and end-systolic frame, where they are not those of the largest and smallest volume.

    Returns:
        The measurements.

    Raises:
        ValueError: if no frame is annotated, one of ``frames`` is not, or the number of frame times is wrong.
    """
    num_measured = np.isfinite(lv_ml).sum()
    if num_measured == 0:
        raise ValueError("`labels` must hold at least one annotated frame, all voxels are 255")
    times_ms = _frame_times_ms(frame_times_ms, len(lv_ml))
    ed, es = (int(np.nanargmax(lv_ml)), int(np.nanargmin(lv_ml))) if frames is None else frames
    _check_measured((ed, es), lv_ml)
    edv_ml, esv_ml = float(lv_ml[ed]), float(lv_ml[es])
    defined = num_measured > 1 and edv_ml > 0
    return LeftVentricleFunction(
        edv_ml=edv_ml,
        esv_ml=esv_ml,
        sv_ml=edv_ml - esv_ml,
        ef_percent=100 * (edv_ml - esv_ml) / edv_ml if defined else float("nan"),
        ed_frame=ed,
        es_frame=es,
        ed_time_ms=float(times_ms[ed]),
        es_time_ms=float(times_ms[es]),
        ed_mass_g=float(lvm_ml[ed]) * MYOCARDIUM_DENSITY_G_PER_ML,
        lv_volumes_ml=lv_ml,
        lvm_volumes_ml=lvm_ml,
    )


def _check_measured(frames: tuple[int, int], volumes_ml: Curve) -> None:
    for frame in frames:
        if not 0 <= frame < len(volumes_ml) or np.isnan(volumes_ml[frame]):
            raise ValueError(f"frame {frame} is not an annotated frame of 0..{len(volumes_ml) - 1}")


def _frame_times_ms(times_ms: Sequence[float] | Array | torch.Tensor | None, num_frames: int) -> Curve:
    if times_ms is None:
        return np.full(num_frames, np.nan)
    times = np.asarray(times_ms, dtype=np.float64)
    if times.shape != (num_frames,):
        raise ValueError(f"`frame_times_ms` must hold one time per frame ({num_frames}), got shape {times.shape}")
    return times
