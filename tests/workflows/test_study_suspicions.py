# SPDX-License-Identifier: Apache-2.0
"""Labels of another image, frames out of order, cycles that do not close, lost units: said, and said only then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cardiac4d.geometry import TimeAxis
from cardiac4d.io import write_sequence
from cardiac4d.phantom import PRESETS, write_dataset
from cardiac4d.workflows.data_check import check_data
from cardiac4d.workflows.study_facts import StudyFacts, collect_facts
from cardiac4d.workflows.study_suspicions import suspicions, suspicions_among
from tests.helpers.studies import AFFINE, beating_ball, sparse

NUM_FRAMES = 20
REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"
TOPICS = ("frame", "labels would fit", "cavity", "full_cycle", "turns", "its header")
HARMLESS = ("the frame duration", "every frame counts", "the heart reaches")

needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="real sequences are not here")


def ball() -> tuple[np.ndarray, np.ndarray]:
    """A beating ball away from the middle, so that it is not its own mirror image; two frames are annotated."""
    image, labels = beating_ball(NUM_FRAMES)
    return np.roll(image, (2, -2, 2), (0, 1, 2)), np.roll(sparse(labels, [0, 10]), (2, -2, 2), (0, 1, 2))


def facts(folder: Path, image: np.ndarray, labels: np.ndarray, affine: np.ndarray = AFFINE, **entry: Any) -> StudyFacts:
    time = TimeAxis.uniform(image.shape[-1], 0.04)
    for key, voxels in (("image", image), ("label", labels)):
        write_sequence(folder / f"{key}.nii.gz", voxels, affine, time, overwrite=True)
    files = {key: str(folder / f"{key}.nii.gz") for key in ("image", "label")}
    return collect_facts("training", {"id": "ball", "full_cycle": True, **files, **entry})


def odd(found: StudyFacts) -> list[str]:
    """Sentences about order, fit, closure and units."""
    return [s for s in suspicions(found) if any(topic in s for topic in TOPICS) and not s.startswith(HARMLESS)]


def test_healthy_study_raises_nothing(tmp_path: Path) -> None:
    assert odd(facts(tmp_path, *ball())) == []


def reorder(order: list[int]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda image: image[..., order]


AS_TEXT = sorted(range(NUM_FRAMES), key=str)
SHUFFLED = [frame for pair in zip(range(10), range(10, 20), strict=True) for frame in pair]
EXCHANGED = [*range(5), 10, *range(6, 10), 5, *range(11, NUM_FRAMES)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(lambda v: np.flip(v, 0), "better flipped along the first axis", id="flipped"),
        pytest.param(lambda v: np.flip(v, 2), "better flipped along the third axis", id="upside down"),
        pytest.param(lambda v: np.roll(v, 3, 0), "better moved by 12 x 0 x 0 mm", id="shifted"),
        pytest.param(lambda v: np.full_like(v, 40) + v % 7, "is hardly brighter than the wall", id="other image"),
        pytest.param(reorder(AS_TEXT), "are they sorted as text", id="text"),
        pytest.param(reorder(SHUFFLED), "are the frames in order of time?", id="shuffled"),
        pytest.param(reorder(EXCHANGED), "differs from both its neighbours", id="exchanged"),
        pytest.param(reorder([*range(19), 0]), "the last frame is the first one again", id="repeated"),
    ],
)
def test_image_that_its_labels_or_time_do_not_fit_is_said(tmp_path: Path, change: Any, expected: str) -> None:
    image, labels = ball()
    found = odd(facts(tmp_path, np.ascontiguousarray(change(image)), labels))
    assert any(expected in sentence for sentence in found), found


def test_cycle_that_ends_in_systole_is_said_only_where_it_is_called_full(tmp_path: Path) -> None:
    image, labels = (voxels[..., :11] for voxels in beating_ball(NUM_FRAMES))
    whole = [s for s in odd(facts(tmp_path, image, labels)) if "full_cycle" in s]
    assert len(whole) == 1
    assert "the last frame differs from the first 1.00 times as much as the most different frames" in whole[0]
    assert not any("full_cycle" in s for s in odd(facts(tmp_path, image, labels, full_cycle=False)))


def test_labels_that_turn_back_and_forth_are_said(tmp_path: Path) -> None:
    image, labels = beating_ball(NUM_FRAMES)
    assert not any("turns" in s for s in odd(facts(tmp_path, image, labels)))
    found = odd(facts(tmp_path, image, labels[..., SHUFFLED]))
    assert any("the volume of the LV turns 17 times" in sentence for sentence in found), found


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(0.001, "0.072 mm wide; is its header in metres? Then multiply its affine and spacing by 1000"),
     (0.1, "7.2 mm wide; is its header in centimetres? Then multiply its affine and spacing by 10,"),
     (1000, "7.2e+04 mm wide; is its header in micrometres? Then multiply its affine and spacing by 0.001")],
)  # fmt: skip
def test_lost_unit_of_space_is_named_with_its_fix(tmp_path: Path, factor: float, expected: str) -> None:
    affine = AFFINE @ np.diag([factor, factor, factor, 1])
    found = [s for s in odd(facts(tmp_path, *ball(), affine=affine)) if "its header" in s]
    assert len(found) == 1
    assert expected in found[0]


def test_labels_that_fit_less_than_those_of_others_are_said(tmp_path: Path) -> None:
    image, labels = ball()
    noisy = np.clip(image.astype(np.float32) + np.random.default_rng(0).normal(0, 120, image.shape), -1000, 1000)
    studies = [facts(tmp_path, image, labels) for _ in range(3)] + [facts(tmp_path, noisy, labels)]
    among = suspicions_among(studies)
    assert any("in most studies by" in sentence for sentence in among[3])
    assert not any("in most studies by" in sentence for found in among[:3] for sentence in found)
    assert not any("in most studies by" in s for found in suspicions_among(studies[2:]) for s in found)  # too few


@needs_real_data
@pytest.mark.parametrize("case", ["patient001", "patient045", "patient100"])
def test_real_sequences_raise_nothing(case: str) -> None:
    image, label = (REAL / "acdc_cine" / f"{case}_4d{kind}.nii.gz" for kind in ("", "_sparse_gt"))
    entry = {"image": str(image), "label": str(label), "label_map": {1: 0, 2: 2, 3: 1}}
    assert odd(collect_facts("training", {"id": case, "full_cycle": True, **entry})) == []


@pytest.mark.slow
def test_phantom_raises_nothing(tmp_path: Path) -> None:
    write_dataset(tmp_path, PRESETS["laptop"], seed=0)
    assert [s for study in check_data("dataset.json", tmp_path).studies for s in study.suspicions] == []
