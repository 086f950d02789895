# SPDX-License-Identifier: Apache-2.0
"""One study measured as a whole: rules, times, options, document, and what is undefined."""

from __future__ import annotations

import json
import math
from datetime import datetime

import jsonschema
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from cardiac4d.measure import LongAxis, MeasureOptions, measure_left_ventricle, measure_study, measures_schema
from tests.helpers.shapes import TURN, cup
from tests.measure.test_left_ventricle import AFFINE, sequence

QUICK = MeasureOptions(wall_thickness=False)
PROVENANCE = {"input": "case7.nii.gz", "version": "1.2.3"}
BEAT = [800, 700, 480, 320, 300, 420, 560, 640, 680, 760]


@pytest.fixture(scope="module")
def beating() -> tuple[np.ndarray, np.ndarray]:
    """Two frames of a cup, oblique: end-diastole, and a thicker, shorter end-systole."""
    inner, outer = ((25.0, 50.0), (33.0, 55.0)), ((19.0, 46.0), (31.0, 55.0))
    first, affine = cup(inner[0], inner[1], 22.0, (2.0, 2.0, 2.5), TURN)
    second, _ = cup(outer[0], outer[1], 12.0, (2.0, 2.0, 2.5), TURN)
    return np.stack([first, second], axis=-1), affine


def test_core_numbers_are_those_of_the_core() -> None:
    labels = sequence(BEAT)
    found, core = measure_study(labels, AFFINE, options=QUICK).function, measure_left_ventricle(labels, AFFINE)
    for name in ("edv_ml", "esv_ml", "sv_ml", "ef_percent", "ed_frame", "es_frame", "ed_mass_g"):
        assert getattr(found, name) == getattr(core, name)


def test_output_and_rate_need_a_full_cycle_of_known_length() -> None:
    times = 90.0 * np.arange(10)
    labels = sequence(BEAT)
    found = measure_study(labels, AFFINE, times, full_cycle=True, options=QUICK)
    assert found.cycle_length_ms == pytest.approx(900)
    assert found.heart_rate_per_min == pytest.approx(60000 / 900)
    assert found.cardiac_output_l_per_min == pytest.approx(5.0 * 60 / 900)
    given = measure_study(labels, AFFINE, full_cycle=True, cycle_length_ms=1000, options=QUICK)
    assert given.heart_rate_per_min == pytest.approx(60)
    assert math.isnan(given.peak_ejection_rate_ml_per_s), "no rate without times"
    for part in (measure_study(labels, AFFINE, times, options=QUICK), measure_study(labels, AFFINE, options=QUICK)):
        assert math.isnan(part.cardiac_output_l_per_min)
        assert math.isnan(part.heart_rate_per_min)


def test_rates_are_per_second() -> None:
    times = 90.0 * np.arange(10)
    found = measure_study(sequence(BEAT), AFFINE, times, full_cycle=True, options=QUICK)
    assert found.peak_ejection_rate_ml_per_s == pytest.approx(2.2 / 0.09, rel=0.15)  # 700 to 480 voxels in a step
    assert found.peak_filling_rate_ml_per_s == pytest.approx(1.4 / 0.09, rel=0.25)


def test_frames_may_come_in_any_order() -> None:
    times, labels = 90.0 * np.arange(10), sequence(BEAT)
    order = [3, 0, 9, 1, 2, 8, 4, 5, 7, 6]
    for full_cycle in (True, False):
        found = measure_study(labels, AFFINE, times, full_cycle=full_cycle, options=QUICK)
        mixed = measure_study(labels[..., order], AFFINE, times[order], full_cycle=full_cycle, options=QUICK)
        assert mixed.peak_ejection_rate_ml_per_s == pytest.approx(found.peak_ejection_rate_ml_per_s)
        np.testing.assert_allclose(mixed.lv_smoothed_ml, found.lv_smoothed_ml[order])
        assert mixed.function.es_frame == order.index(4)


def test_rules_of_the_phases() -> None:
    noisy = list(BEAT)
    noisy[6] = 280  # one frame lost half its cavity
    labels = sequence(noisy)
    assert measure_study(labels, AFFINE, options=QUICK).function.es_frame == 6
    smooth = measure_study(
        labels, AFFINE, full_cycle=True, options=MeasureOptions(phase_rule="smoothed", wall_thickness=False)
    )
    assert (smooth.phase_rule, smooth.function.es_frame) == ("smoothed", 4)
    assert smooth.function.esv_ml == pytest.approx(3.0), "volumes are those measured in the frame"
    given = measure_study(labels, AFFINE, options=MeasureOptions(ed_frame=9, es_frame=3, wall_thickness=False))
    assert given.phase_rule == "given"
    assert (given.function.edv_ml, given.function.esv_ml) == pytest.approx((7.6, 3.2))


def test_wall_axis_and_segments_of_a_beating_cup(beating) -> None:
    labels, affine = beating
    right_ventricle = np.zeros(labels.shape[:3], bool)
    toward = np.linalg.inv(affine[:3, :3]) @ np.array([45.0, 0, -10])
    center = np.round(np.linalg.inv(affine) @ [0, 0, 0, 1])[:3] + toward
    right_ventricle[tuple(slice(int(c) - 2, int(c) + 3) for c in center)] = True
    found = measure_study(labels, affine, options=MeasureOptions(rv_mask=torch.from_numpy(right_ventricle)))
    assert found.septal_direction == pytest.approx([1, 0, 0], abs=0.1)
    assert found.wall_ed.rings_mm["mid"] == pytest.approx(8.0, abs=0.6)
    assert found.wall_es.rings_mm["mid"] == pytest.approx(12.0, abs=0.6)
    assert found.thickening.rings_percent["mid"] == pytest.approx(50, abs=8)
    assert len(found.thickening.segments_percent) == 17
    assert found.axis.direction == pytest.approx([0, 0, 1], abs=0.05)
    as_sequence = np.stack([right_ventricle, np.zeros_like(right_ventricle)], axis=-1)
    again = measure_study(labels, affine, options=MeasureOptions(rv_mask=as_sequence, wall_thickness=False))
    np.testing.assert_allclose(again.septal_direction, found.septal_direction)
    assert again.wall_ed is None
    assert again.thickening is None


def test_given_axis_is_used_and_reported(beating) -> None:
    labels, affine = beating
    given = LongAxis.given([0, 0, -50.0], [0, 0, -10.0])
    found = measure_study(labels[..., :1], affine, options=MeasureOptions(long_axis=given, thickness_spacing_mm=2.0))
    document = found.to_document("a", PROVENANCE)
    assert document["axis"]["source"] == "given"
    assert document["axis"]["base_mm"] == [0, 0, -10]
    shape = measure_study(labels[..., :1], affine, options=QUICK)
    assert shape.axis.base_mm[2] == pytest.approx(22, abs=2)
    assert found.wall_ed.mean_mm < 7.6, "the thicker wall above the given plane is not measured"


def test_document_follows_its_schema(beating) -> None:
    labels, affine = beating
    options = MeasureOptions(septal_direction=[1.0, 0, 0], thickness_spacing_mm=2.0)
    jsonschema.Draft202012Validator.check_schema(measures_schema())
    times = 90.0 * np.arange(10)
    full = measure_study(sequence(BEAT), AFFINE, times, full_cycle=True, options=QUICK)
    empty = np.full((4, 4, 4, 3), 255)
    empty[..., 0] = 0
    for measures in (measure_study(labels, affine, options=options), full, measure_study(empty, np.eye(4))):
        document = measures.to_document("case7", PROVENANCE)
        jsonschema.validate(document, measures_schema())
        assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_document_says_where_it_comes_from() -> None:
    measures = measure_study(sequence(BEAT), AFFINE, options=QUICK)
    found = measures.to_document("case7", {**PROVENANCE, "model": "m"})["provenance"]
    assert (found["input"], found["version"], found["model"]) == ("case7.nii.gz", "1.2.3", "m")
    assert (found["software"], found["input_sha256"]) == ("cardiac4d", None)
    assert datetime.fromisoformat(found["created"]).utcoffset() is not None
    for wrong in ({"input": "a"}, {**PROVENANCE, "patient": "x"}):
        with pytest.raises(ValueError, match="`provenance` must hold `input` and `version`"):
            measures.to_document("case7", wrong)


def test_flags_name_what_is_wrong_and_change_nothing() -> None:
    volumes = [800, 0, 300, 500, 900, 800]
    labels = sequence(volumes)
    labels[..., 4] = 255
    found = measure_study(labels, AFFINE, full_cycle=True, options=QUICK)
    codes = {flag.code: flag for flag in found.flags}
    assert codes["lost_cavity"].frames == (1,)
    assert codes["missing_frames"].frames == (4,)
    assert codes["phases_too_close"].frames == (0, 1)
    assert {"implausible_edv", "implausible_ef", "touches_field_of_view", "implausible_mass"} <= set(codes)
    assert found.function.ef_percent == 100
    assert all(flag.reason[0].islower() or flag.reason[0].isdigit() for flag in found.flags)


def test_any_container_of_labels_times_and_affine_is_accepted(beating) -> None:
    labels, affine = beating
    tensor = MetaTensor(torch.from_numpy(labels), affine=torch.from_numpy(affine))
    found = measure_study(tensor, tensor.affine, torch.tensor([0.0, 300.0]), options=QUICK)
    assert found.function.ef_percent == measure_study(labels, affine, [0, 300], options=QUICK).function.ef_percent
    assert measure_study(tensor, affine, torch.full((2,), torch.nan), options=QUICK).frame_times_ms is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frame_times_ms": [0.0, 1.0]}, r"one time per frame \(10\), got shape \(2,\)"),
        ({"frame_times_ms": np.zeros(10)}, "must be finite and differ"),
        ({"cycle_length_ms": -1.0}, "`cycle_length_ms` must be positive"),
        (
            {"frame_times_ms": 90.0 * np.arange(10), "full_cycle": True, "cycle_length_ms": 800.0},
            "span 810 ms, no less than `cycle_length_ms`",
        ),
        ({"options": MeasureOptions(ed_frame=0, es_frame=10)}, r"frame 10 is not an annotated frame of 0..9"),
        (
            {"options": MeasureOptions(rv_mask=np.zeros((2, 2, 2)), long_axis=LongAxis.given([0, 0, 0], [0, 0, 9]))},
            "`rv_mask` must have the shape of the labels",
        ),
        (
            {"options": MeasureOptions(septal_direction=[0, 0, 1.0], long_axis=LongAxis.given([0, 0, 0], [0, 0, 9]))},
            "must point across the long axis",
        ),
    ],
)
def test_bad_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure_study(sequence(BEAT), AFFINE, **arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"phase_rule": "median"}, "`phase_rule` must be 'extrema' or 'smoothed'"),
        ({"ed_frame": 3}, "must be given together"),
        ({"septal_direction": [1, 0, 0], "rv_mask": np.ones((1, 1, 1))}, "give one of them"),
        ({"thickness_spacing_mm": 0.0}, "must be positive"),
    ],
)
def test_bad_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MeasureOptions(**options)


def test_smoothed_rule_needs_a_curve() -> None:
    with pytest.raises(ValueError, match="at least six annotated frames"):
        measure_study(sequence([500, 300]), AFFINE, options=MeasureOptions(phase_rule="smoothed"))
