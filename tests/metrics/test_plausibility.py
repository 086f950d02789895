# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest

from cardiac4d.metrics import implausible


@pytest.mark.parametrize(("variation", "count"), [(20.0, 0), (20.5, 1), (math.nan, 0)])
def test_myocardium_that_varies_beyond_the_tolerance_is_implausible(variation: float, count: int) -> None:
    assert len(implausible({"lvm_variation_percent": variation})) == count


def test_sentence_states_value_and_tolerance() -> None:
    (sentence,) = implausible({"lvm_variation_percent": 31.4})
    assert "varies by 31 %" in sentence
    assert "more than 20 %" in sentence
