# SPDX-License-Identifier: Apache-2.0
"""Papillary muscles stay inside the cavity's label and move with its wall."""

from __future__ import annotations

import numpy as np
import pytest

from cardiac4d.phantom.anatomy.papillary import sample_muscles, strands_at
from tests.phantom.hearts import irregular_ventricle


@pytest.mark.parametrize("phase", [0.0, 0.35])
def test_axes_of_the_strands_lie_in_the_cavity(phase: float) -> None:
    state = irregular_ventricle().at(phase)
    muscles = sample_muscles(24.8, 7, np.random.default_rng(0))
    for strand in strands_at(muscles, state, 90.0):
        for end in (strand.start_mm, strand.end_mm):
            assert state.fields(*(np.array([c]) for c in end))[0] < 0
            assert state.endo_apex_mm < end[2] < state.base_mm


def test_papillary_muscles_stand_on_the_free_wall() -> None:
    state = irregular_ventricle().at(0.0)
    papillary = strands_at(sample_muscles(24.8, 0, np.random.default_rng(1)), state, 90.0)
    assert len(papillary) == 2
    assert all(strand.end_mm[0] < 0 for strand in papillary)  # the septum lies towards +x
    assert papillary[0].end_mm[1] * papillary[1].end_mm[1] < 0


def test_strands_swell_as_they_shorten() -> None:
    ventricle, muscles = irregular_ventricle(), sample_muscles(24.8, 3, np.random.default_rng(2))
    start, end = (strands_at(muscles, ventricle.at(phase), 90.0)[0] for phase in (0.0, 0.35))
    assert start.radius_start_mm < end.radius_start_mm < 1.2 * start.radius_start_mm
