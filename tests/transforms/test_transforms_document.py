# SPDX-License-Identifier: Apache-2.0
"""docs/transforms.md: its example runs as it is written, and its table is complete."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from cardiac4d import transforms

FILES = ("mine/frozen_frame.py", "mine/test_frozen_frame.py", "mine/frozen_frame.json")


@pytest.fixture(scope="module")
def page() -> str:
    return (Path(__file__).resolve().parents[2] / "docs" / "transforms.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The three files of the page, written where its commands look for them, the folder on the path."""
    (tmp_path / "mine").mkdir()
    for name in FILES:
        (content,) = re.findall(rf"^`{re.escape(name)}`.*?:\n\n```\w+\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "mine"))
    yield tmp_path
    for name in ("frozen_frame", "test_frozen_frame"):
        sys.modules.pop(name, None)


def test_tests_of_the_example_pass(folder: Path) -> None:
    module = importlib.import_module("test_frozen_frame")
    tests = [value for name, value in vars(module).items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


def _config_files(page: str, folder: Path, repo_root: Path) -> list[Path]:
    (command,) = re.findall(r"^PYTHONPATH=mine python -m monai.bundle run training (.*)$", page, re.MULTILINE)
    names = re.findall(r"'([^']+)'", shlex.split(command)[1])
    return [(repo_root if name.startswith("configs/") else folder) / name for name in names]


def test_config_of_the_example_trains_with_it(page: str, folder: Path, repo_root: Path) -> None:
    parser = ConfigParser()
    parser.read_config(_config_files(page, folder, repo_root))
    parser["bundle_root"] = str(repo_root)
    first = parser.get_parsed_content("train::random_transforms")[0]
    assert type(first).__name__ == "RandFrozenFramed"
    first.set_random_state(0).prob = 1.0
    entry = {
        "image": MetaTensor(torch.rand(1, 2, 2, 2, 6)),
        "label": MetaTensor(torch.zeros(1, 2, 2, 2, 6, dtype=torch.uint8)),
    }
    assert first(entry)["label"].unique().tolist() == [0, 255]


def test_table_names_every_transform(page: str) -> None:
    rows = re.findall(r"^\| (`\w+`) \| (`.*?`|-) \|", page, re.MULTILINE)
    named = {name for row in rows for cell in row for name in re.findall(r"`(\w+)`", cell)}
    assert named == set(transforms.__all__)


def test_overlay_of_the_page_exists(page: str, repo_root: Path) -> None:
    for name in set(re.findall(r"configs/\w+\.json", page)):
        assert (repo_root / name).is_file()
