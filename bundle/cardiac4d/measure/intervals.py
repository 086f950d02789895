# SPDX-License-Identifier: Apache-2.0
"""How sure the numbers are: intervals that should hold the true value with a stated probability.

Three sources, none of which a label map has in itself: several label maps of one study
(:func:`intervals_from_samples`), the class probabilities behind it (:func:`intervals_from_probabilities`), or errors
known from other studies (:func:`intervals_from_errors`). ``docs/measures.md`` says how often each held the truth on
the phantom.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import ndtr, ndtri
from scipy.stats import norm
from scipy.stats import t as student_t

from ..conventions import LV, LVM, MYOCARDIUM_DENSITY_G_PER_ML, NUM_CLASSES
from ..geometry import voxel_volume_ml
from .inputs import Array, as_affine
from .left_ventricle import LeftVentricleFunction

if TYPE_CHECKING:
    from .study_measures import StudyMeasures

Bounds = tuple[float, float]
Volumes = tuple[float, float, float]
"""Lower bound, median, upper bound."""
Probabilities = npt.NDArray[np.floating]
Errors = npt.NDArray[np.float64]

QUANTITIES: Final = ("edv_ml", "esv_ml", "sv_ml", "ef_percent", "ed_mass_g", "ed_thickness_mm")
DEFAULT_CORRELATION: Final = 0.05
"""Chosen so that with the shipped network the 90 % interval of the ejection fraction holds the truth of the phantom in
9 of 10 hearts or more; another network needs its own."""
_CERTAIN: Final = 1e-4
"""Voxels surer than this do not move."""
_IN_POINTS: Final = ("ef_percent",)
"""Errors of these are differences, of all others ratios: a large heart has large errors in millilitres."""


@dataclass(frozen=True)
class Intervals:
    """Lower and upper bound of the numbers of a study.

    Attributes:
        level: intended probability that an interval holds the true value, in (0, 1).
        method: ``"samples"``, ``"probabilities"`` or ``"errors"``.
        edv_ml: end-diastolic volume; ``None`` where the method gives no interval.
        esv_ml: end-systolic volume.
        sv_ml: stroke volume.
        ef_percent: ejection fraction.
        ed_mass_g: myocardial mass at end-diastole.
        ed_thickness_mm: mean wall thickness at end-diastole.
        num_studies: for ``"errors"``, on how many other studies the errors were known; the fewest of all numbers.
    """

    level: float
    method: str
    edv_ml: Bounds | None = None
    esv_ml: Bounds | None = None
    sv_ml: Bounds | None = None
    ef_percent: Bounds | None = None
    ed_mass_g: Bounds | None = None
    ed_thickness_mm: Bounds | None = None
    num_studies: int | None = None


def intervals_from_samples(samples: Sequence[StudyMeasures], level: float = 0.9) -> Intervals:
    """Intervals from several label maps of one study, such as those of a network on the cycle begun at other frames.

    Student's prediction interval, ``mean +- t * sd * sqrt(1 + 1/n)``: where the next sample would lie. It sees what
    differs between the samples, not the bias they share, and so holds the truth less often than ``level``.

    Args:
        samples: two or more measurements of the same study.
        level: in (0, 1).

    Returns:
        The intervals; ``None`` for a number that a sample leaves undefined.

    Raises:
        ValueError: if there are fewer than two samples, or ``level`` is not admissible.
    """
    _check_share("level", level)
    if len(samples) < 2:
        raise ValueError(f"`samples` must hold at least two measurements of the study, got {len(samples)}")
    factor = float(student_t.ppf((1 + level) / 2, len(samples) - 1)) * math.sqrt(1 + 1 / len(samples))
    rows = [quantities(sample) for sample in samples]
    found: dict[str, Any] = {}
    for name in QUANTITIES:
        values = np.array([row[name] for row in rows])
        if np.isfinite(values).all():
            half = factor * float(values.std(ddof=1))
            found[name] = _physical(name, (float(values.mean()) - half, float(values.mean()) + half))
    return Intervals(level, "samples", **found)


def intervals_from_probabilities(
    probabilities: Array | torch.Tensor,
    affine: Array | torch.Tensor,
    function: LeftVentricleFunction,
    level: float = 0.9,
    *,
    correlation: float = DEFAULT_CORRELATION,
) -> Intervals:
    """Intervals from class probabilities: how large could each structure be?

    Voxels err together, so that a sum over independent ones would seem far too sure. One normal variable ``z`` per
    structure and frame is common to all voxels (a one-factor Gaussian copula, Vasicek, Risk 2002;15:160): given ``z``,
    a voxel of probability ``p`` belongs to the structure with ``Phi((Phi^-1(p) + sqrt(c) z) / sqrt(1 - c))``, on
    average over ``z`` with ``p``. The bounds are the expected volumes at two quantiles of ``z``. End-diastole and
    end-systole err independently: in stroke volume and ejection fraction their deviations add in squares.

    Args:
        probabilities: ``(3, H, W, D, T)`` in [0, 1]: background, LV, LVM.
        affine: ``(4, 4)``, voxel to millimetre, of the same grid.
        function: what was measured; it says which frames are end-diastole and end-systole.
        level: in (0, 1).
        correlation: ``c``, share of the common variable, in (0, 1).

    Returns:
        The intervals; none of the wall thickness. They lie around the expected volumes, which differ a little from the
        voxel counts.

    Raises:
        ValueError: if ``probabilities`` has another shape or other values, or a number is not admissible.
    """
    _check_share("level", level)
    _check_share("correlation", correlation)
    values = _checked_probabilities(probabilities, len(function.lv_volumes_ml))
    voxel_ml, z = voxel_volume_ml(as_affine(affine)), float(norm.ppf((1 + level) / 2))

    def volumes(channel: int, frame: int) -> Volumes:
        low, middle, high = (_expected(values[channel, ..., frame], at, correlation) for at in (-z, 0.0, z))
        return low * voxel_ml, middle * voxel_ml, high * voxel_ml

    edv, esv = volumes(LV, function.ed_frame), volumes(LV, function.es_frame)
    mass = volumes(LVM, function.ed_frame)
    return Intervals(
        level,
        "probabilities",
        edv_ml=(edv[0], edv[2]),
        esv_ml=(esv[0], esv[2]),
        sv_ml=_combined("sv_ml", edv, esv),
        ef_percent=_combined("ef_percent", edv, esv) if edv[0] > 0 else None,
        ed_mass_g=(mass[0] * MYOCARDIUM_DENSITY_G_PER_ML, mass[2] * MYOCARDIUM_DENSITY_G_PER_ML),
    )


def errors_of(measured: Sequence[StudyMeasures], reference: Sequence[Mapping[str, float]]) -> dict[str, Errors]:
    """Errors of a method on studies with a reference, for :func:`intervals_from_errors`.

    Args:
        measured: what the method gave.
        reference: per study the true numbers by name, see :data:`QUANTITIES`; those that are missing are left out.

    Returns:
        Per number its errors: measured minus true of the ejection fraction, in points; measured over true of the rest.

    Raises:
        ValueError: if the two differ in length.
    """
    if len(measured) != len(reference):
        raise ValueError(f"`measured` ({len(measured)}) and `reference` ({len(reference)}) must be the same studies")
    found: dict[str, list[float]] = {name: [] for name in QUANTITIES}
    for study, truth in zip(measured, reference, strict=True):
        for name, value in quantities(study).items():
            if name in truth:
                error = value - truth[name] if name in _IN_POINTS else value / truth[name]
                found[name] += [error] if math.isfinite(error) else []
    return {name: np.array(errors) for name, errors in found.items()}


def intervals_from_errors(measures: StudyMeasures, errors: Mapping[str, Errors], level: float = 0.9) -> Intervals:
    """Intervals from the errors that the same method made on other studies: split conformal prediction.

    Bounds are the errors of rank ``floor((n + 1) (1 - level) / 2)`` from either end (Vovk, Gammerman and Shafer
    2005): they hold the truth with probability ``level`` or more **for studies drawn like the reference ones**. Errors
    on the phantom say nothing about patients, errors at one hospital little about another.

    Args:
        measures: the study at hand.
        errors: see :func:`errors_of`.
        level: in (0, 1).

    Returns:
        The intervals; ``None`` where the number is not defined or has too few errors (19 are needed for 90 %), or
        where the method lost a structure so often that nothing bounds the truth from above. They undo the bias of the
        method, so that a number may lie outside its own interval.

    Raises:
        ValueError: if ``level`` is not admissible.
    """
    _check_share("level", level)
    found: dict[str, Any] = {}
    for name, value in quantities(measures).items():
        known = np.sort(errors.get(name, np.empty(0)))
        rank = math.floor((len(known) + 1) * (1 - level) / 2 + 1e-9)
        if rank < 1 or not math.isfinite(value):
            continue
        low, high = float(known[rank - 1]), float(known[-rank])
        if name in _IN_POINTS:
            found[name] = _physical(name, (value - high, value - low))
        elif low > 0:
            found[name] = _physical(name, (value / high, value / low))
    return Intervals(level, "errors", **found, num_studies=min((len(errors[name]) for name in found), default=None))


def quantities(measures: StudyMeasures) -> dict[str, float]:
    """The numbers that can have an interval, by name."""
    function, wall = measures.function, measures.wall_ed
    core = {name: float(getattr(function, name)) for name in QUANTITIES if hasattr(function, name)}
    return core | {"ed_thickness_mm": math.nan if wall is None else wall.mean_mm}


def _expected(probabilities: Probabilities, z: float, correlation: float) -> float:
    """Expected number of voxels of a structure, given the common variable."""
    uncertain = probabilities[(probabilities > _CERTAIN) & (probabilities < 1 - _CERTAIN)].astype(np.float64)
    shifted = (ndtri(uncertain) + math.sqrt(correlation) * z) / math.sqrt(1 - correlation)
    return float(ndtr(shifted).sum()) + int(np.count_nonzero(probabilities >= 1 - _CERTAIN))


def _combined(name: str, edv: Volumes, esv: Volumes) -> Bounds:
    """Bounds of a number of two volumes whose errors are independent: deviations add in squares."""

    def of(edv_ml: float, esv_ml: float) -> float:
        return edv_ml - esv_ml if name == "sv_ml" else 100 * (1 - esv_ml / edv_ml)

    middle = of(edv[1], esv[1])
    below = math.hypot(middle - of(edv[0], esv[1]), middle - of(edv[1], esv[2]))
    above = math.hypot(of(edv[2], esv[1]) - middle, of(edv[1], esv[0]) - middle)
    return _physical(name, (middle - below, middle + above))


def _physical(name: str, bounds: Bounds) -> Bounds:
    """Nothing below 0, no ejection fraction above 100 %."""
    highest = 100.0 if name == "ef_percent" else math.inf
    low, high = (min(max(end, 0.0), highest) for end in bounds)
    return low, high


def _checked_probabilities(probabilities: Array | torch.Tensor, num_frames: int) -> Probabilities:
    if isinstance(probabilities, torch.Tensor):
        probabilities = probabilities.as_subclass(torch.Tensor).detach().float().cpu().numpy()
    values: Probabilities = np.asarray(probabilities)
    if values.ndim != 5 or values.shape[0] != NUM_CLASSES or values.shape[-1] != num_frames:
        raise ValueError(
            f"`probabilities` must be ({NUM_CLASSES}, H, W, D, {num_frames}), one channel per class, got {values.shape}"
        )
    if not (values.min() >= -1e-3 and values.max() <= 1 + 1e-3):
        raise ValueError("`probabilities` must lie in [0, 1]: take the softmax of logits first")
    return values


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"`{name}` must lie between 0 and 1, got {value}")
