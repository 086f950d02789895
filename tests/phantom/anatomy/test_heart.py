# SPDX-License-Identifier: Apache-2.0
"""The rest of the heart: it follows the base, and blood meets blood at the valve plane."""

from __future__ import annotations

import numpy as np
import pytest

from cardiac4d.phantom.anatomy.heart import HeartPlan, left_atrium, reference_height, right_ventricle, sample_heart
from cardiac4d.phantom.anatomy.placement import sample_placement
from tests.phantom.hearts import irregular_ventricle


def plan(seed: int = 0) -> HeartPlan:
    ventricle, rng = irregular_ventricle(), np.random.default_rng(seed)
    return sample_heart(ventricle, sample_placement(ventricle.end_diastole.base_mm, rng), rng)


def test_reference_height_fixes_apex_and_roof_and_carries_the_base() -> None:
    z = np.array([0.0, 40.0, 80.0, 160.0, 200.0])
    assert reference_height(z, 80.0, 95.0) == pytest.approx([0.0, 47.5, 95.0, 160.0, 200.0])


def test_reference_height_is_the_identity_at_end_diastole() -> None:
    z = np.linspace(-20, 250, 100)
    assert reference_height(z, 95.0, 95.0) == pytest.approx(z)


def test_reference_height_never_folds_tissue() -> None:
    assert (np.diff(reference_height(np.linspace(-20, 250, 500), 78.0, 95.0)) > 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_left_atrium_reaches_below_the_basal_plane(seed: int) -> None:
    heart = plan(seed)
    atrium = left_atrium(heart, 0.0)
    just_below = np.array([atrium.center_mm[0]]), np.array([atrium.center_mm[1]]), np.array([heart.base_mm - 1.0])
    assert atrium.field(*just_below) < 0


def test_right_ventricle_contracts_and_atrium_fills() -> None:
    heart = plan()
    assert np.prod(right_ventricle(heart, 1.0).semi_axes_mm) < 0.85 * np.prod(right_ventricle(heart, 0.0).semi_axes_mm)
    assert np.prod(left_atrium(heart, 1.0).semi_axes_mm) > np.prod(left_atrium(heart, 0.0).semi_axes_mm)


@pytest.mark.parametrize("seed", range(8))
def test_long_axis_points_left_front_and_down(seed: int) -> None:
    frame = plan(seed).frame
    toward_apex = -frame.rotation[:, 2]
    assert toward_apex[0] < -0.2
    assert toward_apex[1] > 0.2
    assert toward_apex[2] < 0
    assert np.linalg.det(frame.rotation) == pytest.approx(1.0)


def test_frame_goes_to_the_patient_and_back() -> None:
    frame = plan().frame
    point = np.array([3.0, -7.0, 50.0])
    back = frame.to_local(*(np.array([c]) for c in frame.to_ras(point)))
    assert np.ravel(back) == pytest.approx(point)
    assert frame.direction(frame.rotation[:, 1]) == pytest.approx([0.0, 1.0, 0.0])
