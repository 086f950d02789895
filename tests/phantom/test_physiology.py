# SPDX-License-Identifier: Apache-2.0
"""The volume curve and the distributions hearts are drawn from."""

from __future__ import annotations

import numpy as np
import pytest

from cardiac4d.phantom.physiology import GROUP_SHARES, Group, normalised_volume_curve, sample_physiology
from tests.phantom.hearts import physiology

KNOTS = {0.0: 1.0, 0.12: 0.80, 0.25: 0.25, 0.37: 0.0, 0.50: 0.35, 0.63: 0.68, 0.84: 0.74, 0.92: 0.93, 1.0: 1.0}
EF_RANGE: dict[Group, tuple[float, float]] = {"normal": (55, 76), "borderline": (45, 55), "reduced": (12, 50)}


def hearts(group: Group, number: int = 200, num_frames: int = 20) -> list:
    rng = np.random.default_rng(3)
    return [sample_physiology(group, num_frames, rng) for _ in range(number)]


def test_curve_at_the_reference_rate_is_the_published_one() -> None:
    curve = normalised_volume_curve(0.37, 60.0)
    assert curve(list(KNOTS)) == pytest.approx(list(KNOTS.values()), abs=1e-12)


@pytest.mark.parametrize("es_fraction", [0.28, 0.37, 0.50])
@pytest.mark.parametrize("rate", [45.0, 60.0, 95.0])
def test_curve_stays_between_its_extrema(es_fraction: float, rate: float) -> None:
    values = normalised_volume_curve(es_fraction, rate)(np.linspace(0, 1, 2001))
    assert values.min() >= 0
    assert values.max() <= 1
    assert abs(np.linspace(0, 1, 2001)[values.argmin()] - es_fraction) < 1e-3


def test_diastasis_shrinks_with_heart_rate() -> None:
    def plateau(rate: float) -> float:
        values = normalised_volume_curve(0.35, rate)(np.linspace(0.35, 1, 2001))
        return float(np.mean((values > 0.68) & (values < 0.74)))

    assert plateau(50.0) > plateau(65.0) > plateau(80.0)


@pytest.mark.parametrize("es_fraction", [0.1, 0.8])
def test_curve_refuses_impossible_systole(es_fraction: float) -> None:
    with pytest.raises(ValueError, match="es_fraction"):
        normalised_volume_curve(es_fraction, 60.0)


def test_volume_is_edv_at_frame_0_and_esv_at_the_es_frame() -> None:
    heart = physiology()
    volumes = heart.volume_ml(heart.frame_phases)
    assert volumes[0] == pytest.approx(130.0)
    assert volumes[7] == pytest.approx(47.0)
    assert (int(volumes.argmax()), int(volumes.argmin())) == (0, 7)
    assert heart.volume_ml(-0.02) == pytest.approx(heart.volume_ml(0.98))


@pytest.mark.parametrize("group", list(EF_RANGE))
def test_drawn_hearts_stay_in_their_group(group: Group) -> None:
    low, high = EF_RANGE[group]
    drawn = hearts(group)
    assert all(low - 1e-9 <= heart.ef_percent <= high + 1e-9 for heart in drawn)
    assert all(50 <= heart.heart_rate_bpm <= 80 for heart in drawn)
    assert all(int(h.volume_ml(h.frame_phases).argmin()) == h.es_frame for h in drawn)


def test_reduced_hearts_are_large_and_move_little() -> None:
    drawn = hearts("reduced")
    assert all(150 <= heart.edv_ml <= 280 and 5 <= heart.mapse_mm <= 10 for heart in drawn)
    assert np.mean([heart.ef_percent for heart in drawn]) == pytest.approx(32, abs=2)


def test_normal_hearts_match_the_published_means() -> None:
    drawn = hearts("normal")
    assert np.mean([heart.ef_percent for heart in drawn]) == pytest.approx(62.5, abs=1.5)
    assert np.mean([heart.edv_ml for heart in drawn]) == pytest.approx(106, abs=6)
    assert np.mean([heart.es_frame for heart in drawn]) / 20 == pytest.approx(0.35, abs=0.015)


@pytest.mark.parametrize("num_frames", [12, 15, 20, 35])
def test_end_systole_falls_on_a_frame_for_any_number_of_frames(num_frames: int) -> None:
    for heart in hearts("borderline", 20, num_frames):
        assert heart.volume_ml(heart.frame_phases).min() == pytest.approx(heart.esv_ml)


def test_group_shares_add_up() -> None:
    assert sum(GROUP_SHARES.values()) == pytest.approx(1.0)
