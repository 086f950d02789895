# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from cardiac4d.report.planes import PLANES, to_ras, view_around

PERMUTED = np.array([[0.0, 0.0, -3.0, 0.0], [2.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
"""Array axes run anterior (2 mm), inferior (1 mm) and left (3 mm)."""


def test_to_ras_turns_every_axis() -> None:
    volume = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(to_ras(volume, PERMUTED), volume.transpose(2, 0, 1)[::-1, :, ::-1])


def test_to_ras_leaves_ras_alone() -> None:
    volume = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(to_ras(volume, np.diag([1.0, 2.0, 3.0, 1.0])), volume)


def test_view_runs_through_the_middle_with_a_margin() -> None:
    foreground = np.zeros((40, 60, 80), bool)
    foreground[20:23, 30:33, 40:43] = True
    view = view_around(foreground, np.diag([5.0, 2.5, 1.0, 1.0]))
    assert view.centre == (21, 31, 41)
    assert view.box == (slice(15, 28), slice(20, 43), slice(15, 68))
    assert view.spacing_mm == (5.0, 2.5, 1.0)


def test_view_has_its_spacing_in_ras_order() -> None:
    assert view_around(np.ones((2, 3, 4), bool), PERMUTED).spacing_mm == (3.0, 2.0, 1.0)


@pytest.mark.parametrize(("name", "edges"), [("axial", "RLAP"), ("coronal", "RLSI"), ("sagittal", "APSI")])
def test_letters_stand_where_that_side_of_the_body_is(name: str, edges: str) -> None:
    """Mark one side of the body after the other and look at which edge of the picture it comes out."""
    plane = next(plane for plane in PLANES if plane.name == name)
    assert plane.letters == edges
    view = view_around(np.ones((5, 5, 5), bool), np.eye(4))
    for letter, place in zip(edges, ((2, 0), (2, -1), (0, 2), (-1, 2)), strict=True):
        axis, high = next((axis, letter in pair[1]) for axis, pair in enumerate(("LR", "PA", "IS")) if letter in pair)
        volume = np.zeros((5, 5, 5))
        np.moveaxis(volume, axis, 0)[-1 if high else 0] = 1
        picture = view.cut(volume, plane)
        assert picture[place] == 1
        assert picture[2, 2] == 0


def test_aspect_is_height_over_width() -> None:
    view = view_around(np.ones((5, 5, 5), bool), np.diag([1.0, 2.0, 4.0, 1.0]))
    assert [view.aspect(plane) for plane in PLANES] == [2.0, 4.0, 2.0]
