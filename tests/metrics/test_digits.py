# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

from cardiac4d.metrics import evaluate_case, rounded, summarize_cases


def test_noise_of_arithmetic_is_not_written(pred, label, truth, affine) -> None:
    row = evaluate_case("a", pred, label, truth, affine=affine, frame_times_ms=[0, 50, 100, 150, 11.399999999999997])
    for numbers in (rounded(row), rounded(summarize_cases([row]))):
        assert all(len(str(value).partition(".")[2]) <= 4 for value in numbers.values() if isinstance(value, float))


def test_decimals_follow_the_unit_in_the_name() -> None:
    exact = {"ef_percent": 50.00000074505806, "surf_lv_mm": 0.71207969, "es_time_ms": 295.501172, "l2_sd": 2.66518864}
    assert rounded(exact) == {"ef_percent": 50.0, "surf_lv_mm": 0.712, "es_time_ms": 295.5, "l2_sd": 2.6652}
    assert rounded({"ef_error_points": -0.00001, "num_cases": 3, "case_id": "a_ml"})["num_cases"] == 3
    assert math.isnan(rounded({"edv_ml": math.nan})["edv_ml"])
