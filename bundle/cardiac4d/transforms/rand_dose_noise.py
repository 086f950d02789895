# SPDX-License-Identifier: Apache-2.0
"""Let a CT study look as if it had been taken with less dose: noise as a reconstruction leaves it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Transform

from ..conventions import IMAGE_KEY
from ..ct_noise import NoiseModel, sample_noise
from ..geometry import closest_axes, spacing_from_affine
from .cycle import cycle_phases, time_axis
from .rand_together import RandTogetherd
from .resampled_noise import ResampledNoise

DOSE = (0.25, 1.0)
_USUAL_CYCLE_MS = 1000.0


class DoseNoise(Transform):
    """Add noise of CT to ``(1, H, W, D, T)``, independent from frame to frame.

    It is the noise of the scanner's voxels, resampled as the loader resamples the study: the metadata's original affine
    tells their size. Where the file covers a full cycle, ECG-pulsed tube current makes systole louder, whichever
    frames were cropped or shifted.

    Args:
        hu_per_unit: Hounsfield units per unit of the image: 1 before ``scale_intensity``, 1024 behind it in the CT
            configs, which map [-1024, 1024] to [-1, 1].
    """

    def __init__(self, hu_per_unit: float = 1.0) -> None:
        if not hu_per_unit > 0.0:
            raise ValueError(f"`hu_per_unit` must be positive, got {hu_per_unit}")
        self.hu_per_unit = hu_per_unit

    def __call__(self, img: MetaTensor, noise: NoiseModel, seed: int) -> MetaTensor:  # type: ignore[override]
        """Add noise of ``noise``; equal seeds give equal noise.

        Returns:
            A new image with the metadata of ``img``.
        """
        out = img.as_tensor().clone()
        drawn = _drawn_frames(img, np.random.default_rng(seed))
        for t, (sigma_hu, frame) in enumerate(zip(frame_sigmas_hu(noise, img), drawn)):  # noqa: B905 - no end
            out[..., t].add_(torch.from_numpy(frame).to(out.device), alpha=sigma_hu / self.hu_per_unit)
        return MetaTensor(out, meta=img.meta, applied_operations=img.applied_operations)


def frame_sigmas_hu(noise: NoiseModel, img: MetaTensor) -> list[float]:
    """Standard deviation per frame, in Hounsfield units on voxels of the reference size.

    Without a full cycle the phases are not known and the current does not pulse; a cycle of unknown length lasts 1 s.
    """
    time = time_axis(img)
    phases = cycle_phases(time)
    if phases is None:
        return [noise.sigma_hu] * img.shape[-1]
    length_ms = time.cycle_length_ms
    cycle_ms = length_ms if math.isfinite(length_ms) else _USUAL_CYCLE_MS
    return [noise.sigma_at(float(phase), cycle_ms) for phase in phases]


def _drawn_frames(img: MetaTensor, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Frames ``(H, W, D)``, drawn with the scanner's axis last: the native axis closest to head-feet."""
    affine = img.affine.numpy(force=True)
    native = np.asarray(img.meta.get("original_affine", affine), dtype=np.float64)
    spacing_mm, native_mm = spacing_from_affine(affine), spacing_from_affine(native)
    # Which native axis runs along each axis of the image.
    across = np.abs(np.linalg.inv(native[:3, :3] / native_mm) @ (affine[:3, :3] / spacing_mm)).argmax(axis=0)
    scanner = next(axis for axis, (world, _) in enumerate(closest_axes(native)) if world == 2)
    order = sorted(range(3), key=lambda axis: across[axis] == scanner)
    shape = [img.shape[1 + axis] for axis in order]
    noise = ResampledNoise(shape, spacing_mm[order], native_mm[across][order])
    back = np.argsort(order)
    return (frame.transpose(back) for frame in noise.frames(rng))


class RandDoseNoised(RandTogetherd):
    """Simulate a scan with a random fraction of the dose.

    A scan with the fraction ``f`` of the tube current has ``1 / f`` of the variance, so noise with ``1 / f - 1`` of the
    variance of a full-dose scan is added. That of a full-dose scan, 20 to 35 HU on voxels of 0.35 x 0.35 x 2 mm, and
    how its current pulses, are drawn as for the phantom.

    Args:
        keys: CT images ``(1, H, W, D, T)``; not labels, not MR.
        prob: probability of added noise.
        dose: least and greatest fraction, above 0 and at most 1.
        hu_per_unit: see :class:`DoseNoise`.
        allow_missing_keys: pass over keys that an entry does not have.

    Raises:
        ValueError: if ``dose`` or ``hu_per_unit`` is not admissible.

    Example:
        >>> scan = RandDoseNoised("image", prob=1.0, dose=(0.25, 0.25)).set_random_state(seed=0)
        >>> bool(scan({"image": MetaTensor(torch.zeros(1, 16, 16, 8, 2))})["image"].std() > 10)
        True
    """

    def __init__(
        self,
        keys: KeysCollection = IMAGE_KEY,
        prob: float = 0.5,
        dose: tuple[float, float] = DOSE,
        hu_per_unit: float = 1.0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, DoseNoise(hu_per_unit), allow_missing_keys=allow_missing_keys)
        low, high = dose
        if not 0.0 < low <= high <= 1.0:
            raise ValueError(f"`dose` must be two fractions above 0 and at most 1, ascending, got {dose}")
        self.dose = (float(low), float(high))

    def randomize(self, data: Any = None) -> None:
        """Draw the dose, the scanner's noise and the seed of the voxels."""
        super().randomize(data)
        seed = int(self.R.randint(2**31))
        scanner = sample_noise(np.random.default_rng(seed))
        missing = 1.0 / float(self.R.uniform(*self.dose)) - 1.0
        self.drawn = {"noise": replace(scanner, sigma_hu=scanner.sigma_hu * math.sqrt(missing)), "seed": seed}
