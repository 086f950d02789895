# SPDX-License-Identifier: Apache-2.0
"""Drifting intensities and noise by dose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from cardiac4d.ct_noise import NoiseModel, draw_noise
from cardiac4d.geometry import Grid, TimeAxis, plan_grid
from cardiac4d.transforms import DoseNoise, IntensityDrift, RandCyclicShiftd, RandDoseNoised, RandIntensityDriftd
from cardiac4d.transforms.resample import FrameResampler
from cardiac4d.transforms.resampled_noise import ResampledNoise

NUM_FRAMES = 10


def _image(
    shape: tuple[int, ...] = (6, 5, 4), *, full_cycle: bool = True, step: float = 100.0, affine: Any = None
) -> MetaTensor:
    time = TimeAxis.uniform(NUM_FRAMES, step, unit="msec", full_cycle=full_cycle)
    voxels = torch.linspace(-1, 1, int(np.prod(shape))).view(1, *shape, 1).repeat(1, 1, 1, 1, NUM_FRAMES)
    return MetaTensor(voxels, affine=torch.eye(4) if affine is None else torch.as_tensor(affine), meta=time.to_meta())


def test_gamma_keeps_the_ends_of_the_whole_sequence_and_factors_act_per_frame() -> None:
    image = _image()
    gamma = np.linspace(0.5, 2.0, NUM_FRAMES)
    bent = IntensityDrift()(image, gamma=gamma).as_tensor()
    torch.testing.assert_close(bent[0, 0, 0, 0], torch.full((NUM_FRAMES,), -1.0))
    torch.testing.assert_close(bent[0, -1, -1, -1], torch.ones(NUM_FRAMES))
    expected = 2 * ((image.as_tensor()[0, 3, 2, 1] + 1) / 2) ** torch.from_numpy(gamma).float() - 1
    torch.testing.assert_close(bent[0, 3, 2, 1], expected)
    factor = np.linspace(1.0, 2.0, NUM_FRAMES)
    moved = IntensityDrift()(image, scaling=factor, shift=0.5)
    torch.testing.assert_close(
        moved.as_tensor()[0, 3, 2, 1], image.as_tensor()[0, 3, 2, 1] * torch.tensor(factor).float() + 0.5
    )
    assert moved.meta["frame_duration_ms"] == 100
    assert torch.equal(image.as_tensor(), _image().as_tensor())


def _mean_change(curve: np.ndarray, *, wrap: bool) -> float:
    steps = np.abs(np.diff(curve, append=curve[:1])) if wrap else np.abs(np.diff(curve))
    return float(steps.max())


@pytest.mark.parametrize("full_cycle", [True, False])
def test_curves_are_smooth_over_frames_and_around_a_full_cycle(full_cycle: bool) -> None:
    change = RandIntensityDriftd("image", 1.0, shift=0.2, drift=0.5).set_random_state(0)
    largest, spread = [], []
    for _ in range(100):
        change.randomize(_image(full_cycle=full_cycle))
        curve = change.drawn["shift"] / 0.2
        largest.append(_mean_change(curve, wrap=full_cycle))
        spread.append(np.ptp(curve))
        assert np.abs(curve).max() <= 1
    assert max(largest) <= 3 * np.pi * 0.5 / NUM_FRAMES
    assert max(spread) > 0.5


def test_curves_follow_the_phase_of_a_frame_when_the_cycle_begins_elsewhere() -> None:
    change, shift = RandIntensityDriftd("image", 1.0), RandCyclicShiftd("image").set_random_state(3)
    moved = shift({"image": _image()})["image"]
    first = TimeAxis.from_meta(moved.meta).indices[0]
    drawn = []
    for image in (_image(), moved):
        change.set_random_state(0).randomize(image)
        drawn.append(change.drawn["scaling"])
    assert first > 0
    np.testing.assert_allclose(np.roll(drawn[0], -first), drawn[1])


def test_drift_of_zero_changes_all_frames_alike_and_labels_stay() -> None:
    change = RandIntensityDriftd("image", prob=1.0, drift=0.0).set_random_state(1)
    label = MetaTensor(torch.full((1, 6, 5, 4, NUM_FRAMES), 255, dtype=torch.uint8))
    moved = change({"image": _image(), "label": label})
    assert moved["label"] is label
    frames = moved["image"].as_tensor()
    torch.testing.assert_close(frames[..., :1].expand_as(frames), frames)
    assert (frames - _image().as_tensor()).abs().max() > 0.01


def test_changes_are_drawn_alike_from_equal_seeds_and_not_at_probability_zero() -> None:
    change = RandIntensityDriftd("image", prob=1.0)
    one, two = (change.set_random_state(5)({"image": _image()})["image"].as_tensor() for _ in range(2))
    assert torch.equal(one, two)
    passed = RandIntensityDriftd("image", prob=0.0)({"image": _image()})["image"]
    assert torch.equal(passed.as_tensor(), _image().as_tensor())


@pytest.mark.parametrize("values", [{"scaling": -0.1}, {"shift": -1.0}, {"gamma": -0.1}, {"drift": 1.1}], ids=str)
def test_ranges_that_make_no_sense_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        RandIntensityDriftd(**values)


def test_a_gamma_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="gamma"):
        IntensityDrift()(_image(), gamma=0.0)


def _correlation(noise: np.ndarray, axis: int, lag: int) -> float:
    moved = np.moveaxis(noise, axis, 0)
    return float((moved[lag:] * moved[:-lag]).mean() / (moved**2).mean())


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (3.0, 3.0, 3.0)], ids=str)
def test_noise_is_that_of_the_scanner_resampled_by_the_loader(spacing_mm: tuple[float, float, float]) -> None:
    native = np.array([0.35, 0.35, 2.0])
    resample = FrameResampler(plan_grid(Grid((200, 200, 50), np.diag([*native, 1.0])), spacing_mm, None))
    rng = np.random.default_rng(0)
    expected = resample(torch.from_numpy(draw_noise((200, 200, 50), native, rng))).numpy()
    drawn = next(ResampledNoise((72, 72, 96), np.array(spacing_mm), native).frames(rng))
    assert drawn.std() == pytest.approx(expected.std(), rel=0.05)
    for axis in (0, 1, 2):
        for lag in (1, 2):
            assert _correlation(drawn, axis, lag) == pytest.approx(_correlation(expected, axis, lag), abs=0.06)


def test_frames_are_independent() -> None:
    frames = ResampledNoise((64, 64, 32), np.ones(3), np.ones(3)).frames(np.random.default_rng(0))
    one, two, three = (next(frames).ravel() for _ in range(3))
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.05
    assert abs(np.corrcoef(one, three)[0, 1]) < 0.05


def _added(image: MetaTensor, noise: NoiseModel, hu_per_unit: float = 1.0) -> np.ndarray:
    noisy = DoseNoise(hu_per_unit)(image, noise, seed=0)
    assert TimeAxis.from_meta(noisy.meta) == TimeAxis.from_meta(image.meta)
    return (noisy.as_tensor() - image.as_tensor()).numpy()[0]


def test_pulsed_current_makes_systole_louder_wherever_the_cycle_begins() -> None:
    shape, noise = (24, 24, 12), NoiseModel(20.0, low_dose=0.2)
    loudness = _added(_image(shape), noise).std(axis=(0, 1, 2))
    np.testing.assert_allclose(
        loudness / loudness[7], [noise.sigma_at(t / 10, 1000.0) / 20 for t in range(10)], rtol=0.08
    )
    moved = RandCyclicShiftd("image").set_random_state(3)({"image": _image(shape)})["image"]
    first = TimeAxis.from_meta(moved.meta).indices[0]
    shifted = _added(moved, noise).std(axis=(0, 1, 2))
    np.testing.assert_allclose(shifted, np.roll(loudness, -first), rtol=0.08)


def test_current_is_steady_where_the_phase_is_not_known_and_units_are_those_of_the_image() -> None:
    image, noise = _image((24, 24, 12), full_cycle=False), NoiseModel(20.0, low_dose=0.2)
    loudness = _added(image, noise).std(axis=(0, 1, 2))
    assert np.ptp(loudness) < 0.1 * loudness.mean()
    np.testing.assert_allclose(_added(image, noise, 1024.0) * 1024, _added(image, noise), atol=1e-2)
    unknown_length = _added(_image((24, 24, 12), step=0.0), noise).std(axis=(0, 1, 2))
    assert unknown_length[2] > 2 * unknown_length[7]


def test_scanner_axis_is_found_in_turned_arrays() -> None:
    """Slices of 2 mm lie along the first array axis: noise is correlated farther along the two others."""
    affine = np.array([[0, 0, 0.35, 0], [0, 0.35, 0, 0], [2.0, 0, 0, 0], [0, 0, 0, 1]])
    added = _added(_image((24, 64, 64), full_cycle=False, affine=affine), NoiseModel(20.0, 1.0))[..., 0]
    assert _correlation(added, 0, 1) == pytest.approx(0.31, abs=0.05)
    for axis in (1, 2):
        assert _correlation(added, axis, 1) > 0.85


def test_voxels_of_the_scanner_are_found_when_the_loader_reordered_axes() -> None:
    """The file has its slices along the first axis, the loaded image along the third."""
    loaded = _image((48, 48, 40), full_cycle=False)
    native = torch.tensor([[0, 0, 0.35, 0], [0, 0.35, 0, 0], [2.0, 0, 0, 0], [0, 0, 0, 1]], dtype=torch.float64)
    loaded.meta["original_affine"] = native
    drawn = _added(loaded, NoiseModel(1.0, 1.0))[..., 0]
    expected = next(
        ResampledNoise((48, 48, 40), np.ones(3), np.array([0.35, 0.35, 2.0])).frames(np.random.default_rng(0))
    )
    np.testing.assert_allclose(drawn, expected, atol=1e-5)


def test_less_dose_is_more_noise() -> None:
    loudness = []
    for dose in (0.8, 0.2):
        add = RandDoseNoised("image", 1.0, (dose, dose)).set_random_state(0)
        image = _image((24, 24, 12), full_cycle=False)
        loudness.append((add({"image": image})["image"].as_tensor() - image.as_tensor()).std().item())
    assert loudness[1] / loudness[0] == pytest.approx(np.sqrt((1 / 0.2 - 1) / (1 / 0.8 - 1)), rel=1e-3)


def test_noise_is_drawn_alike_from_equal_seeds_leaves_labels_and_not_at_probability_zero() -> None:
    add = RandDoseNoised("image", prob=1.0)
    label = MetaTensor(torch.zeros(1, 6, 5, 4, NUM_FRAMES, dtype=torch.uint8))
    draws = [add.set_random_state(seed)({"image": _image(), "label": label}) for seed in (1, 1, 2)]
    assert torch.equal(draws[0]["image"].as_tensor(), draws[1]["image"].as_tensor())
    assert not torch.equal(draws[0]["image"].as_tensor(), draws[2]["image"].as_tensor())
    assert draws[0]["label"] is label
    passed = RandDoseNoised("image", prob=0.0)({"image": _image()})["image"]
    assert torch.equal(passed.as_tensor(), _image().as_tensor())


@pytest.mark.parametrize("dose", [(0.0, 1.0), (0.5, 0.2), (0.5, 1.5)])
def test_doses_that_make_no_sense_are_refused(dose: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="dose"):
        RandDoseNoised(dose=dose)
    with pytest.raises(ValueError, match="hu_per_unit"):
        DoseNoise(0.0)
