# SPDX-License-Identifier: Apache-2.0
"""A small beating heart and a wobbly prediction of it."""

from __future__ import annotations

import numpy as np
import pytest

AFFINE = np.diag([1.5, 2.0, 2.5, 1.0])
SHAPE = (24, 20, 16)


def beating_shell(radii_mm: list[float], wall_mm: float = 6.0, shift_mm: float = 0.0) -> np.ndarray:
    """A cavity of these radii, one per frame, in a wall of constant thickness; ``(H, W, D, T)``."""
    grid = np.stack(
        np.meshgrid(*(np.arange(n) * s for n, s in zip(SHAPE, np.diag(AFFINE), strict=False)), indexing="ij")
    )
    centre = np.array(SHAPE) * np.diag(AFFINE)[:3] / 2 + [shift_mm, 0, 0]
    distance = np.linalg.norm(grid - centre[:, None, None, None], axis=0)[..., None]
    radii = np.array(radii_mm)
    return np.where(distance < radii, 1, np.where(distance < radii + wall_mm, 2, 0)).astype(np.uint8)


@pytest.fixture
def truth() -> np.ndarray:
    """Dense labels of one cycle; end-diastole is frame 0, end-systole frame 2."""
    return beating_shell([11.0, 9.5, 7.0, 8.0, 10.0])


@pytest.fixture
def pred() -> np.ndarray:
    """A prediction that is a little too small and off to one side."""
    return beating_shell([10.5, 9.5, 7.5, 8.0, 9.5], shift_mm=1.0)


@pytest.fixture
def label(truth: np.ndarray) -> np.ndarray:
    """The truth of frames 0 and 2; nothing else is annotated."""
    sparse = np.full_like(truth, 255)
    sparse[..., [0, 2]] = truth[..., [0, 2]]
    return sparse


@pytest.fixture
def affine() -> np.ndarray:
    return AFFINE.copy()
