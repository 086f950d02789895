# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/data.md run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cardiac4d.io import load_datalist
from tests.helpers.sequences import ball_labels, noise, write_nifti

SHAPE = (8, 8, 5, 9)


@pytest.fixture
def blocks(repo_root: Path) -> dict[str, str]:
    text = (repo_root / "docs" / "data.md").read_text(encoding="utf-8")
    return dict(re.findall(r"```(\w+)\n(.*?)```", text, flags=re.DOTALL))


@pytest.fixture
def dataset(tmp_path: Path, blocks: dict[str, str]) -> Path:
    document = json.loads(blocks["json"])
    for section in ("training", "validation", "test"):
        for entry in document[section]:
            write_nifti(tmp_path / entry["image"], noise(SHAPE))
            if "label" in entry:
                write_nifti(tmp_path / entry["label"], ball_labels(SHAPE, (0, 7)))
    (tmp_path / "dataset.json").write_text(blocks["json"], encoding="utf-8")
    return tmp_path / "dataset.json"


@pytest.mark.parametrize("section", ["training", "validation", "test"])
def test_the_data_list_of_the_page_loads(dataset: Path, section: str) -> None:
    (entry,) = load_datalist(dataset, section)
    assert entry["full_cycle"] is True


def test_the_transforms_of_the_page_make_a_crop_of_the_papers_size(dataset: Path, blocks: dict[str, str]) -> None:
    namespace: dict[str, Any] = {}
    exec(blocks["python"], namespace)
    item = namespace["training"].set_random_state(0)(load_datalist(dataset, "training")[0])
    assert item["image"].shape == item["label"].shape == (1, 96, 96, 64, 16)
    assert {1, 2, 255} <= set(item["label"].unique().tolist())
