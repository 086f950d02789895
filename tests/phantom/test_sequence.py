# SPDX-License-Identifier: Apache-2.0
"""One study: its labels agree with its stated numbers, and every draw is reproducible."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cardiac4d.conventions import NOT_ANNOTATED
from cardiac4d.geometry import voxel_volume_ml
from cardiac4d.measure import measure_left_ventricle
from cardiac4d.phantom.physiology import Group
from cardiac4d.phantom.presets import PRESETS
from cardiac4d.phantom.sequence import sample_study
from tests.phantom.hearts import TINY


@pytest.mark.parametrize("group", ["normal", "borderline", "reduced"])
def test_truth_labels_measure_as_stated(group: Group) -> None:
    study = sample_study(PRESETS["laptop"], group, 4, np.random.default_rng(2))
    heart, truth = study.scene.ventricle.physiology, study.truth()
    function = measure_left_ventricle(truth, study.grid.affine)
    assert function.ef_percent == pytest.approx(heart.ef_percent, abs=0.6)
    assert function.edv_ml == pytest.approx(heart.edv_ml, rel=0.01)
    assert (function.ed_frame, function.es_frame) == (0, heart.es_frame)
    wall_ml = np.count_nonzero(truth == 2, axis=(0, 1, 2)) * voxel_volume_ml(study.grid.affine)
    assert wall_ml == pytest.approx(np.full(20, study.scene.ventricle.wall_ml), rel=0.015)


def test_labels_are_sparse_and_close_to_the_truth() -> None:
    study = sample_study(PRESETS["laptop"], "normal", 4, np.random.default_rng(4))
    labels, truth = study.labels(), study.truth()
    annotated = [t for t in range(20) if (labels[..., t] != NOT_ANNOTATED).all()]
    assert annotated == study.labeled_frames
    assert len(annotated) == 4
    assert {0, study.scene.ventricle.physiology.es_frame} <= set(annotated)
    rest = np.delete(labels, annotated, axis=3)
    assert (rest == NOT_ANNOTATED).all()
    for t in annotated:
        for value, least in ((1, 0.88), (2, 0.75)):
            a, b = labels[..., t] == value, truth[..., t] == value
            dice = 2 * (a & b).sum() / (a.sum() + b.sum())
            assert least < dice < 0.995


def test_without_jitter_the_labels_are_the_truth() -> None:
    study = sample_study(
        replace(TINY, label_jitter=False, stair_step_probability=0.0), "normal", 2, np.random.default_rng(0)
    )
    labels, truth = study.labels(), study.truth()
    assert all(np.array_equal(labels[..., t], truth[..., t]) for t in study.labeled_frames)


def test_same_stream_gives_the_same_voxels() -> None:
    first, second, other = (sample_study(TINY, "reduced", 3, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.image(), second.image())
    assert np.array_equal(first.labels(), second.labels())
    assert first.grid.affine.tolist() != other.grid.affine.tolist()


def test_noise_is_louder_in_systole_when_pulsed() -> None:
    study = sample_study(TINY, "normal", 2, np.random.default_rng(0))
    pulsed = replace(study, noise=replace(study.noise, low_dose=0.04))
    image = pulsed.image().astype(np.float64)
    lung = image[..., 0] < -780
    assert image[lung, 2].std() > 2 * image[lung, 6].std()  # phases .25 and .75
