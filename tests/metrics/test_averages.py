# SPDX-License-Identifier: Apache-2.0
"""Averages leave out what is not defined, and never turn it into a zero."""

from __future__ import annotations

import math

from cardiac4d.metrics.averages import mean_of_defined, with_mean

NAN = float("nan")


def test_undefined_values_are_left_out() -> None:
    assert mean_of_defined([1.0, NAN, 4.0]) == 2.5


def test_mean_of_nothing_is_undefined() -> None:
    assert math.isnan(mean_of_defined([NAN, NAN]))
    assert math.isnan(mean_of_defined([]))


def test_mean_over_structures_needs_both() -> None:
    assert with_mean({"LV": 1.0, "LVM": 2.0}) == {"LV": 1.0, "LVM": 2.0, "mean": 1.5}
    assert math.isnan(with_mean({"LV": 1.0, "LVM": NAN})["mean"])
