# SPDX-License-Identifier: Apache-2.0
"""Papillary muscles stay inside the cavity's label and move with its wall."""

from __future__ import annotations

import numpy as np
import pytest

from cardiac4d.phantom import PRESETS
from cardiac4d.phantom.anatomy.papillary import sample_muscles, strands_at
from cardiac4d.phantom.physiology import Group
from cardiac4d.phantom.sequence import sample_study
from tests.phantom.hearts import irregular_ventricle, lattice

SHARE_ON_CT_PERCENT = (11.9 - 5.6, 11.9 + 5.6)
"""Papillary muscles and trabeculae in the end-diastolic volume, mean +- SD: Medicine 2023 e36106."""


def share_percent(group: Group, seed: int, *, end_systole: bool = False) -> float:
    """Share of the cavity that the strands of one heart fill, counted on a lattice of 1 mm."""
    scene = sample_study(PRESETS["laptop"], group, 2, np.random.default_rng(seed)).scene
    heart = scene.ventricle.physiology
    state = scene.ventricle.at(heart.es_frame / heart.num_frames if end_systole else 0.0)
    reach = 1.3 * state.a_mm
    points = lattice((-reach, -reach, state.endo_apex_mm), (reach, reach, state.base_mm), 1.0)
    strands = strands_at(scene.muscles, state, heart.length_ed_mm)
    muscle = np.any([strand.field(*points) < 0 for strand in strands], axis=0)
    return 100 * float(muscle[state.fields(*points)[0] < 0].mean())


@pytest.mark.parametrize("group", ["normal", "borderline", "reduced"])
def test_strands_fill_the_share_of_the_cavity_that_was_measured_on_ct(group: Group) -> None:
    shares = [share_percent(group, seed) for seed in range(4)]
    low, high = SHARE_ON_CT_PERCENT
    assert low < min(shares) <= max(shares) < high
    assert 9 < np.mean(shares) < 12


def test_strands_leave_most_of_the_smallest_cavity_to_the_blood() -> None:
    """They keep their volume while the cavity empties, so their share grows; they must not fill it."""
    for seed in range(4):
        assert share_percent("normal", seed) < share_percent("normal", seed, end_systole=True) < 35


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
    assert len(papillary) == 4  # two muscles of two heads
    assert all(strand.end_mm[0] < 0 for strand in papillary)  # the septum lies towards +x
    anterior, posterior = papillary[:2], papillary[2:]
    assert all(a.end_mm[1] * p.end_mm[1] < 0 for a in anterior for p in posterior)


@pytest.mark.parametrize("num_trabeculae", [0, 5])
def test_every_strand_forks_from_one_foot(num_trabeculae: int) -> None:
    muscles = sample_muscles(24.8, num_trabeculae, np.random.default_rng(1))
    strands = strands_at(muscles, irregular_ventricle().at(0.0), 90.0)
    assert len(strands) == 2 * (2 + num_trabeculae)
    for one, other in zip(strands[::2], strands[1::2], strict=True):
        assert one.start_mm == other.start_mm
        assert one.end_mm != other.end_mm


def test_strands_swell_as_they_shorten() -> None:
    ventricle, muscles = irregular_ventricle(), sample_muscles(24.8, 3, np.random.default_rng(2))
    start, end = (strands_at(muscles, ventricle.at(phase), 90.0)[0] for phase in (0.0, 0.35))
    assert start.radius_start_mm < end.radius_start_mm < 1.2 * start.radius_start_mm
