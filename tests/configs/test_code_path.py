# SPDX-License-Identifier: Apache-2.0
"""The line with which a config finds the package: it may run any number of times in one process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
WORKFLOWS = ("train", "train_3d", "evaluate", "inference")


def run_line(name: str, **values: str) -> None:
    """Parse a config as any loader does and run what puts the package's folder on the path."""
    parser = ConfigParser()
    parser.read_config(CONFIGS / f"{name}.json")
    parser.update(values)
    parser.get_parsed_content("code_path")


@pytest.fixture(autouse=True)
def bare_path(monkeypatch, tmp_path):
    """No folder on the path that holds a bundle; the working directory is an empty one."""
    monkeypatch.chdir(tmp_path)
    ours = (ROOT, ROOT / "bundle")
    others = [place for place in sys.path if place and Path(place).absolute() not in ours]
    monkeypatch.setattr(sys, "path", ["", "/no/such/folder", *others])


def test_configs_of_one_process_add_the_folder_once():
    before = list(sys.path)
    for _ in range(3):
        for name in WORKFLOWS:
            run_line(name, bundle_root=str(ROOT))
    assert sys.path == [f"{ROOT}/bundle", *before]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_folder_beside_a_bundle_root_on_the_path_is_found(name):
    sys.path.insert(1, str(ROOT))
    before = list(sys.path)
    for _ in range(3):
        run_line(name)
    assert sys.path == [*before, f"{ROOT}/bundle"], "behind an installed package, which may be another version"


def test_folder_that_does_not_exist_is_not_added():
    before = list(sys.path)
    run_line("inference")
    assert sys.path == before


def test_folder_of_the_working_directory_is_found_and_added_once(monkeypatch):
    monkeypatch.chdir(ROOT)
    before = list(sys.path)
    for _ in range(3):
        run_line("inference")
    assert sys.path == ["./bundle", *before]


def test_folder_that_is_on_the_path_is_not_added_again():
    sys.path += [str(ROOT), str(ROOT), f"{ROOT}/bundle"]
    before = list(sys.path)
    run_line("train", bundle_root=str(ROOT))
    assert sys.path == before
