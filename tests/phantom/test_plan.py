# SPDX-License-Identifier: Apache-2.0
"""What a data set will hold: the paper's numbers, groups in every list, reproducible plans."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from cardiac4d.phantom.plan import (
    dataset_fingerprint,
    deal_groups,
    plan_dataset,
    sequence_fingerprint,
    sequence_rng,
)
from cardiac4d.phantom.presets import PRESETS, Preset


def test_paper_preset_has_the_papers_numbers() -> None:
    plans = plan_dataset(PRESETS["paper"], seed=0)
    assert Counter(plan.split for plan in plans) == {"training": 49, "validation": 12}
    assert sum(plan.num_labeled for plan in plans) == 247
    assert {plan.num_labeled for plan in plans} == set(range(2, 10))
    assert [plan.split for plan in plans] != sorted(plan.split for plan in plans)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_plans_depend_on_the_seed_alone(preset: Preset) -> None:
    assert plan_dataset(preset, 1) == plan_dataset(preset, 1)
    assert plan_dataset(preset, 1) != plan_dataset(preset, 2)
    assert len({plan.id for plan in plan_dataset(preset, 1)}) == preset.num_sequences


@pytest.mark.parametrize("seed", range(4))
def test_laptop_test_list_holds_reduced_and_normal_hearts(seed: int) -> None:
    groups = [plan.group for plan in plan_dataset(PRESETS["laptop"], seed) if plan.split == "test"]
    assert Counter(groups) == {"normal": 2, "borderline": 1, "reduced": 1}


def test_groups_come_as_close_to_their_shares_as_they_can() -> None:
    dealt = Counter(deal_groups(61, np.random.default_rng(0)))
    assert dealt == {"normal": 37, "borderline": 9, "reduced": 15}
    assert len(deal_groups(1, np.random.default_rng(0))) == 1


def test_sequences_draw_from_streams_of_their_own() -> None:
    assert sequence_rng(0, 3).random() == sequence_rng(0, 3).random()
    assert len({sequence_rng(seed, index).random() for seed in range(3) for index in range(5)}) == 15


def test_fingerprints_tell_parameters_apart() -> None:
    preset = PRESETS["laptop"]
    plan = plan_dataset(preset, 0)[0]
    prints = {
        dataset_fingerprint(preset, 0),
        dataset_fingerprint(preset, 1),
        dataset_fingerprint(replace(preset, label_jitter=False), 0),
        sequence_fingerprint(preset, 0, plan),
        sequence_fingerprint(preset, 0, replace(plan, num_labeled=9 if plan.num_labeled < 9 else 8)),
    }
    assert len(prints) == 5


@pytest.mark.parametrize(
    ("change", "name"), [({"num_frames": 5}, "num_frames"), ({"systolic_wall_gain": 0.5}, "systolic_wall_gain")]
)
def test_presets_refuse_impossible_values(change: dict[str, float], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        replace(PRESETS["laptop"], **change)  # type: ignore[arg-type]
