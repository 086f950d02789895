# SPDX-License-Identifier: Apache-2.0
"""Change intensities by factors, offsets and gammas that drift over the frames, as contrast and exposure do."""

from __future__ import annotations

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Transform

from ..conventions import IMAGE_KEY
from .cycle import cycle_phases, time_axis
from .rand_together import RandTogetherd

SCALING = 0.1
SHIFT = 0.05
GAMMA = 0.15
DRIFT = 0.3


class IntensityDrift(Transform):
    """Map every frame of ``(1, H, W, D, T)`` by a gamma, a factor and an offset of its own.

    The gamma bends intensities between the least and the greatest of the whole sequence, which it keeps, so that
    frames stay comparable; then follow factor and offset.

    Example:
        >>> IntensityDrift()(torch.ones(1, 1, 1, 1, 3), scaling=np.array([1.0, 1.1, 1.2])).flatten()
        tensor([1.0000, 1.1000, 1.2000])
    """

    def __call__(
        self,
        img: torch.Tensor,
        scaling: np.ndarray | float = 1.0,
        shift: np.ndarray | float = 0.0,
        gamma: np.ndarray | float = 1.0,
    ) -> torch.Tensor:
        """Map the intensities.

        Args:
            img: ``(1, H, W, D, T)`` floating point.
            scaling: factor, one or ``(T,)``.
            shift: offset in the unit of ``img``, one or ``(T,)``.
            gamma: exponent, one or ``(T,)``, positive.

        Returns:
            A new tensor with the metadata of ``img``.
        """
        voxels = img.as_tensor() if isinstance(img, MetaTensor) else img
        factor, offset, power = (_like(value, voxels) for value in (scaling, shift, gamma))
        if bool((power <= 0).any()):
            raise ValueError(f"`gamma` must be positive, got {gamma}")
        out = _bent(voxels, power).mul_(factor).add_(offset)
        if not isinstance(img, MetaTensor):
            return out
        return MetaTensor(out, meta=img.meta, applied_operations=img.applied_operations)


def _like(value: np.ndarray | float, voxels: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(value, dtype=voxels.dtype, device=voxels.device)


def _bent(voxels: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
    low, high = voxels.aminmax()
    if bool((power == 1).all()) or high <= low:
        return voxels.clone()
    return voxels.sub(low).div_(high - low).pow_(power).mul_(high - low).add_(low)


class RandIntensityDriftd(RandTogetherd):
    """Scale, shift and bend the intensities of images by curves that are smooth over the frames.

    A network that sees time must not learn that brightness never changes from frame to frame, and noise per frame would
    teach it to distrust its neighbours. Each curve is a constant and two slow waves: one and two per cycle, so that the
    last frame of a full cycle passes smoothly into the first; half and one per sequence where it is not a cycle.

    Args:
        keys: images ``(1, H, W, D, T)``; not labels.
        prob: probability of a change.
        scaling: greatest relative factor; 0.1 draws from 1 / 1.1 to 1.1.
        shift: greatest offset, either way, in the unit of the image: 0.05 are 51 HU where [-1024, 1024] became [-1, 1].
        gamma: greatest relative exponent; 0.15 draws from 1 / 1.15 to 1.15.
        drift: share of each range that may change over the frames, 0 for one value per sequence, up to 1.
        allow_missing_keys: pass over keys that an entry does not have.

    Raises:
        ValueError: for negative ranges, or ``drift`` outside 0 to 1.

    Example:
        >>> change = RandIntensityDriftd("image", prob=1.0).set_random_state(seed=0)
        >>> change({"image": torch.rand(1, 4, 4, 4, 20)})["image"].shape
        torch.Size([1, 4, 4, 4, 20])
    """

    def __init__(
        self,
        keys: KeysCollection = IMAGE_KEY,
        prob: float = 0.5,
        scaling: float = SCALING,
        shift: float = SHIFT,
        gamma: float = GAMMA,
        drift: float = DRIFT,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, IntensityDrift(), allow_missing_keys=allow_missing_keys)
        for name, value in (("scaling", scaling), ("shift", shift), ("gamma", gamma)):
            if not value >= 0.0:
                raise ValueError(f"`{name}` must not be negative, got {value}")
        if not 0.0 <= drift <= 1.0:
            raise ValueError(f"`drift` must lie between 0 and 1, got {drift}")
        self.scaling, self.shift, self.gamma, self.drift = scaling, shift, gamma, drift

    def randomize(self, data: torch.Tensor) -> None:
        """Draw the curves for a sequence like ``data``."""
        super().randomize(data)
        phases = cycle_phases(time_axis(data))
        if phases is None:
            phases = np.arange(data.shape[-1]) / (2 * data.shape[-1])
        self.drawn = {
            "scaling": np.exp(self._curve(phases) * np.log1p(self.scaling)),
            "shift": self._curve(phases) * self.shift,
            "gamma": np.exp(self._curve(phases) * np.log1p(self.gamma)),
        }

    def _curve(self, phases: np.ndarray) -> np.ndarray:
        """``(T,)`` in [-1, 1]; it changes by at most ``3 pi drift`` per cycle length of time."""
        constant, first, second = self.R.uniform(-1.0, 1.0), *self.R.uniform(0.0, 1.0, 2)
        share = self.R.uniform(0.5, 1.0)
        waves = share * np.cos(2 * np.pi * (phases - first)) + (1 - share) * np.cos(4 * np.pi * (phases - second))
        return (1 - self.drift) * constant + self.drift * waves
