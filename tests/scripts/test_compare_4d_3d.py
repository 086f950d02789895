# SPDX-License-Identifier: Apache-2.0
"""The command line of the comparison: settings that no config defines are refused before any training."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from cardiac4d.errors import InputError
from cardiac4d.workflows.comparison import check_overrides

ROOT = Path(__file__).resolve().parents[2]


def test_misspelt_setting_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    main = runpy.run_path(str(ROOT / "scripts" / "compare_4d_3d.py"))["main"]
    with pytest.raises(InputError, match=r"--max_epoch: no config of the comparison.*write --max_epochs"):
        main(str(tmp_path / "data"), str(tmp_path / "out"), overlays="quick", max_epoch=1)
    assert list(tmp_path.iterdir()) == []


def test_settings_of_any_config_and_nested_ones_are_taken() -> None:
    names = ("max_epochs", "window_frames", "train::trainer::max_epochs", "validate#dataset")
    check_overrides(ROOT, ("cine_mr", "no_such_overlay"), names)
