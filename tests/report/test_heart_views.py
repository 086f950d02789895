# SPDX-License-Identifier: Apache-2.0
"""Planes as cardiologists know them: septum left, apex up, the patient's right at the left."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from cardiac4d.report.cut_planes import direction_letters
from cardiac4d.report.heart_views import heart_axis, heart_stacks
from tests.report.test_montage import AFFINE, TOWARD_APEX, cigar

SEPTUM = np.array([0.6, 0.6, 0.3])


def document(**axis: object) -> dict:
    return {"axis": axis or None}


def stacks(num_cuts: int = 5, **axis: object) -> tuple:
    found = heart_axis(document(**axis), cigar(), AFFINE)
    return heart_stacks(found, cigar(), AFFINE, num_cuts)


def test_measured_axis_and_septum_are_used() -> None:
    axis = heart_axis(document(apex_mm=[0, 0, -50], base_mm=[0, 0, 0], septal_direction=[1, 1, 1]), cigar(), AFFINE)
    assert axis.toward_apex == pytest.approx([0, 0, -1])
    assert axis.septum == pytest.approx([0.5**0.5, 0.5**0.5, 0])
    assert axis.septum_known


def test_without_measured_axis_the_longest_direction_serves() -> None:
    axis = heart_axis(document(), cigar(), AFFINE)
    assert axis.toward_apex @ TOWARD_APEX == pytest.approx(1.0, abs=1e-3)
    assert np.linalg.norm(axis.apex_mm - axis.base_mm) == pytest.approx(68, abs=4)
    assert axis.septum @ [1, 0, 0] > 0, "the septum of most hearts faces right"
    assert not axis.septum_known


def test_upright_axis_without_septum_has_a_direction_too() -> None:
    axis = heart_axis(document(apex_mm=[0, 0, -50], base_mm=[0, 0, 0], septal_direction=None), cigar(), AFFINE)
    assert np.linalg.norm(axis.septum) == pytest.approx(1)
    assert axis.septum @ axis.toward_apex == pytest.approx(0)


def test_short_axis_is_seen_from_the_apex_with_the_septum_left() -> None:
    base = np.array([-40.0, -40.0, 40.0])
    axial, short, long = stacks(apex_mm=base + 60 * TOWARD_APEX, base_mm=base, septal_direction=SEPTUM)
    plane = short.cuts[0].plane
    assert plane.right @ SEPTUM < 0
    assert np.cross(plane.right, plane.down) == pytest.approx(-TOWARD_APEX, abs=1e-4), "towards the base"
    assert plane.down[2] < 0, "the inferior wall is below"
    depths = [(cut.center_mm - base) @ TOWARD_APEX / 60 for cut in short.cuts]
    assert depths == pytest.approx([0.9, 0.7, 0.5, 0.3, 0.1], abs=1e-4)
    assert long.cuts[0].plane.down == pytest.approx(-TOWARD_APEX, abs=1e-4), "apex at the top"
    assert long.cuts[0].plane.right == pytest.approx(plane.right)
    assert axial.cuts[0].plane.letters == "R L A P"


def test_long_axes_turn_evenly_over_half_a_circle() -> None:
    *_, long = stacks(6)
    rights = [cut.plane.right for cut in long.cuts]
    assert [a @ b for a, b in pairwise(rights)] == pytest.approx([np.cos(np.pi / 6)] * 5)
    assert rights[-1] @ -rights[0] == pytest.approx(np.cos(np.pi / 6)), "one step more would show the first, mirrored"
    assert [cut.title.split("°")[0] for cut in long.cuts] == ["0", "30", "60", "90", "120", "150"]


def test_all_pictures_have_one_scale_and_hold_the_ventricle() -> None:
    widths = {cut.plane.half_width_mm for stack in stacks() for cut in stack.cuts}
    assert len(widths) == 1
    assert widths.pop() == pytest.approx(34 + 22, abs=3)


def test_without_a_ventricle_axial_planes_go_through_the_volume() -> None:
    empty = np.zeros((10, 10, 10), np.uint8)
    assert heart_axis(document(), empty, AFFINE) is None
    (axial,) = heart_stacks(None, empty, AFFINE, 3)
    assert [cut.center_mm.tolist() for cut in axial.cuts] == [[-9, -9, 3], [-9, -9, 9], [-9, -9, 15]]


def test_directions_are_named_by_one_or_two_letters() -> None:
    assert [direction_letters(np.array(v, float)) for v in ([1, 0.2, 0], [-0.7, 0, -0.7], [0, -1, 0])] == [
        "R",
        "LI",
        "P",
    ]
