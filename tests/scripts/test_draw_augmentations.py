# SPDX-License-Identifier: Apache-2.0
"""The picture of the augmentations."""

from __future__ import annotations

import runpy
from pathlib import Path

from tests.helpers.studies import write_small_dataset

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "draw_augmentations.py"


def test_script_draws_a_case_of_a_data_list(tmp_path: Path) -> None:
    data = write_small_dataset(tmp_path / "data", num_training=1, num_validation=1)
    draw = runpy.run_path(str(SCRIPT))["draw_augmentations"]
    text = draw(str(tmp_path / "picture.png"), str(data / "dataset.json"), spacing_mm=4.0, size=16)
    assert text == f"picture: {tmp_path / 'picture.png'}"
    assert (tmp_path / "picture.png").stat().st_size > 10_000
