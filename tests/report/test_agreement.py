# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from cardiac4d.report import ef_agreement

NAN = float("nan")


def test_points_are_the_cases() -> None:
    scatter, differences = ef_agreement([60.0, 40.0, 50.0], [58.0, 44.0, 53.0]).axes
    cases = next(line for line in scatter.get_lines() if line.get_label() == "case")
    np.testing.assert_allclose(cases.get_xydata(), [[58, 60], [44, 40], [53, 50]])
    np.testing.assert_allclose(differences.get_lines()[0].get_xydata(), [[59, 2], [42, -4], [51.5, -3]])


def test_bias_and_limits_are_those_of_the_differences() -> None:
    differences = ef_agreement([60.0, 40.0, 50.0], [58.0, 44.0, 53.0]).axes[1]
    heights = [line.get_ydata()[0] for line in differences.get_lines()[1:]]
    half = 1.96 * np.std([2, -4, -3], ddof=1)
    np.testing.assert_allclose(heights, [-5 / 3, -5 / 3 - half, -5 / 3 + half])


def test_two_cases_have_no_limits_of_agreement() -> None:
    assert len(ef_agreement([60.0, 40.0], [58.0, 44.0]).axes[1].get_lines()) == 2


def test_cases_without_both_values_are_left_out_and_counted_so() -> None:
    figure = ef_agreement([60.0, NAN, 40.0], [58.0, 50.0, NAN], title="4D network")
    assert figure.get_suptitle() == "4D network (n = 1)"


def test_no_common_case_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one case"):
        ef_agreement([NAN], [50.0])


def test_lists_of_other_length_are_refused() -> None:
    with pytest.raises(ValueError, match="one value per case"):
        ef_agreement([60.0], [50.0, 51.0])
