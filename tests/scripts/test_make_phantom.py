# SPDX-License-Identifier: Apache-2.0
"""The command line of the phantom: data set, picture, and what it prints."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from cardiac4d.io import load_datalist
from cardiac4d.phantom import PRESETS
from tests.phantom.hearts import TINY

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "make_phantom.py"


def test_script_writes_data_set_and_montage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "tiny", replace(TINY, num_training=1, num_labeled_frames=7))
    make_phantom = runpy.run_path(str(SCRIPT))["make_phantom"]
    text = make_phantom(str(tmp_path / "data"), preset="tiny", montage=str(tmp_path / "picture.png"))
    assert text.splitlines()[0].endswith("dataset.json")
    assert load_datalist(tmp_path / "data" / "dataset.json", "test")[0]["id"] == "phantom_002"
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_picture_of_another_format_is_refused_before_anything_is_rendered(tmp_path: Path) -> None:
    make_phantom = runpy.run_path(str(SCRIPT))["make_phantom"]
    with pytest.raises(ValueError, match=r"must end in \.png, got .*picture\.xyz"):
        make_phantom(str(tmp_path / "data"), montage=str(tmp_path / "picture.xyz"))
    assert list(tmp_path.iterdir()) == []
