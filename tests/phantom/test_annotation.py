# SPDX-License-Identifier: Apache-2.0
"""The reader: how many frames, which ones, and how the drawn contours differ from the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cardiac4d.conventions import LV, LVM
from cardiac4d.geometry import Grid
from cardiac4d.phantom.anatomy.placement import Frame, sample_placement
from cardiac4d.phantom.annotation import Reader, annotated_frames, annotation_counts, drawn_labels, sample_reader
from cardiac4d.phantom.labels import Labels, truth_labels
from cardiac4d.phantom.stairs import Slab, whole_stack
from tests.phantom.hearts import irregular_ventricle, physiology

VENTRICLE = irregular_ventricle()
FRAME = sample_placement(VENTRICLE.end_diastole.base_mm, np.random.default_rng(0))
SHAPE = (110, 110, 56)
STEADY = Reader(center_sd=0.0, radius_sd=0.0, endo_bias=0.0, epi_bias=0.0)


def grid() -> Grid:
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    center = FRAME.to_ras((0.0, 0.0, 50.0))
    affine[:3, 3] = center + np.array([55.0, 55.0, -56.0])
    return Grid(SHAPE, affine)


def drawn(reader: Reader, phase: float = 0.0, slabs: list[Slab] | None = None, seed: int = 0) -> Labels:
    slabs = slabs or whole_stack(SHAPE[2])
    return drawn_labels(
        [VENTRICLE.at(phase)] * len(slabs),
        slabs,
        FRAME,
        grid(),
        reader,
        endo_radius_mm=VENTRICLE.end_diastole.a_mm,
        rng=np.random.default_rng(seed),
    )


def volume_ml(labels: Labels, *values: int) -> float:
    return float(np.isin(labels, values).sum()) * 2.0 / 1000


def test_steady_reader_draws_the_truth() -> None:
    assert np.array_equal(drawn(STEADY, 0.2), truth_labels(VENTRICLE.at(0.2), FRAME, grid()))


def test_slices_move_independently_by_the_stated_amount() -> None:
    truth, seen = truth_labels(VENTRICLE.at(0.0), FRAME, grid()), drawn(replace(STEADY, center_sd=0.03), seed=3)
    slices = [k for k in range(SHAPE[2]) if (truth[..., k] > 0).sum() > 400]
    shift = np.array([np.argwhere(seen[..., k] > 0).mean(0) - np.argwhere(truth[..., k] > 0).mean(0) for k in slices])
    assert shift.std() == pytest.approx(0.03 * VENTRICLE.end_diastole.a_mm, rel=0.25)
    assert abs(np.corrcoef(shift[:-1, 0], shift[1:, 0])[0, 1]) < 0.4


def test_bias_changes_all_slices_alike() -> None:
    truth, seen = truth_labels(VENTRICLE.at(0.0), FRAME, grid()), drawn(replace(STEADY, endo_bias=0.05))
    full, drawn_area = (np.count_nonzero(labels == LV, axis=(0, 1)) for labels in (truth, seen))
    round_slices = [k for k in range(22) if full[k] > 400]  # towards the apex; the basal plane cuts the others
    assert len(round_slices) > 4
    assert drawn_area[round_slices] / full[round_slices] == pytest.approx(1.05**2, rel=0.025)
    assert np.array_equal(seen > 0, truth > 0)


def test_systolic_gain_moves_wall_out_of_the_cavity_at_end_systole_only() -> None:
    reader = replace(STEADY, systolic_wall_gain=0.1)
    wall_ml = VENTRICLE.wall_ml
    systole = drawn(reader, 0.35)
    assert volume_ml(systole, LVM) - wall_ml == pytest.approx(0.1 * wall_ml, rel=0.15)
    assert np.array_equal(drawn(reader, 0.0), drawn(STEADY, 0.0))


def test_reader_follows_the_stair_steps_of_the_image() -> None:
    slabs = [Slab(0, 28), Slab(28, SHAPE[2], (4.0, 0.0, 0.0))]
    seen, still = drawn(STEADY, slabs=slabs), drawn(STEADY)
    assert np.array_equal(seen[..., :28], still[..., :28])
    moved = np.argwhere(seen[..., 28:] > 0).mean(0) - np.argwhere(still[..., 28:] > 0).mean(0)
    assert moved[0] == pytest.approx(-4.0, abs=0.1)  # the first array axis runs to the left, against RAS x


def test_contours_change_from_frame_to_frame_of_one_reader() -> None:
    reader = sample_reader(np.random.default_rng(1))
    assert not np.array_equal(drawn(reader, seed=1), drawn(reader, seed=2))
    assert np.array_equal(drawn(reader, seed=1), drawn(reader, seed=1))


def test_readers_are_drawn_within_the_measured_spread() -> None:
    readers = [sample_reader(np.random.default_rng(seed)) for seed in range(200)]
    assert all(0.023 <= r.center_sd <= 0.033 and 0.021 <= r.radius_sd <= 0.033 for r in readers)
    assert np.std([r.endo_bias for r in readers]) == pytest.approx(0.03, abs=0.006)


@pytest.mark.parametrize(("number", "total", "frames"), [(61, 247, 20), (16, 65, 20), (5, 10, 8), (5, 20, 8)])
def test_annotation_counts_add_up(number: int, total: int, frames: int) -> None:
    counts = annotation_counts(number, total, frames, np.random.default_rng(0))
    assert counts.sum() == total
    assert counts.min() >= 2
    assert counts.max() <= min(9, frames // 2)


@pytest.mark.parametrize("total", [9, 46])
def test_annotation_counts_refuse_what_cannot_be(total: int) -> None:
    with pytest.raises(ValueError, match="total"):
        annotation_counts(5, total, 20, np.random.default_rng(0))


@pytest.mark.parametrize("count", range(2, 10))
def test_annotated_frames_hold_both_extremes(count: int) -> None:
    frames = annotated_frames(physiology(), count, np.random.default_rng(count))
    assert len(set(frames)) == count
    assert frames == sorted(frames)
    assert {0, 7} <= set(frames)
    assert all(t % 2 == 0 for t in set(frames) - {7})


def test_labels_outside_the_field_of_view_are_background() -> None:
    far = Frame(FRAME.rotation, FRAME.origin_mm + 1000.0)
    assert not truth_labels(VENTRICLE.at(0.0), far, grid()).any()
