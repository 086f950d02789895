# SPDX-License-Identifier: Apache-2.0
"""Volumes: units, oblique grids, invariances, and frames nobody annotated."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cardiac4d.measure import volumes_ml


def test_counts_voxels_per_structure_and_frame() -> None:
    labels = np.zeros((10, 10, 10, 3), np.uint8)
    labels[:3, ..., 0], labels[:1, ..., 1] = 1, 1
    labels[3:8, ..., 0] = 2
    affine = np.diag([0.5, 0.5, 2.0, 1.0])  # 0.5 mm^3
    np.testing.assert_allclose(volumes_ml(labels, affine, "LV"), [0.15, 0.05, 0.0])
    np.testing.assert_allclose(volumes_ml(labels, affine, "LVM"), [0.25, 0.0, 0.0])


def test_rotation_flip_and_shear_keep_the_volume() -> None:
    labels = np.ones((4, 5, 6, 1), np.uint8)
    c, s = math.cos(0.4), math.sin(0.4)
    affine = np.diag([1.5, 2.0, 3.0, 1.0])
    oblique = np.array([[c, -s, 0, 7], [s, c, 0, 8], [0, 0, 1, 9], [0, 0, 0, 1]]) @ affine @ np.diag([-1.0, 1, 1, 1])
    sheared = affine + 0.7 * np.eye(4, k=2) * (np.arange(4) < 1)[:, None]
    for matrix in (affine, oblique, sheared):
        assert volumes_ml(labels, matrix, "LV")[0] == pytest.approx(4 * 5 * 6 * 9e-3)


def test_sphere_converges_to_its_volume_on_two_grids() -> None:
    for spacing in ((1.0, 1.0, 1.0), (0.8, 0.8, 2.0)):
        axes = [np.arange(-25, 25, step) for step in spacing]
        radius = np.sqrt(sum(x**2 for x in np.meshgrid(*axes, indexing="ij")))
        volume = volumes_ml((radius < 20).astype(np.uint8)[..., None], np.diag([*spacing, 1.0]), "LV")[0]
        assert volume == pytest.approx(4 / 3 * math.pi * 8, rel=0.005)


def test_unannotated_frame_is_nan_and_padding_is_outside() -> None:
    labels = np.full((10, 10, 10, 2), 255, np.uint8)
    labels[:5, ..., 1] = 1
    np.testing.assert_allclose(volumes_ml(labels, np.eye(4), "LV"), [np.nan, 0.5])
