# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from monai.bundle.utils import load_bundle_config

from cardiac4d.errors import InputError
from cardiac4d.workflows.hub import REQUIRED, pack_hub_zip

WANTED = ("Makefile", "bundle/cardiac4d/__init__.py", "models/model.json", "tests/test_a.py")


@pytest.fixture
def small_bundle(tmp_path: Path) -> Path:
    """The required files and some that do not belong into an archive."""
    unwanted = ("bundle/cardiac4d/__pycache__/a.pyc", "bundle/cardiac4d.egg-info/PKG-INFO", "bundle/cardiac4d/ops/x.so")
    others = ("outputs/model.pt", "models/.hidden", ".git/config", "models/model.ts", "models/mine.pt", "notes.md")
    for name in (*REQUIRED, *WANTED, *unwanted, *others):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "root"


def test_archive_holds_what_runs_the_bundle_and_nothing_else(small_bundle: Path, tmp_path: Path) -> None:
    archive = pack_hub_zip(small_bundle, tmp_path / "dist")
    assert archive == tmp_path / "dist" / "cardiac4d.zip"
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
        assert packed.read("cardiac4d/models/model.pt") == b"models/model.pt"
    assert names == sorted(f"cardiac4d/{name}" for name in (*REQUIRED, *WANTED))
    assert list(archive.parent.iterdir()) == [archive]


def test_same_files_give_the_same_bytes(small_bundle: Path, tmp_path: Path) -> None:
    first = pack_hub_zip(small_bundle, tmp_path / "a").read_bytes()
    for path in small_bundle.rglob("*.json"):
        path.write_text(path.read_text())
        path.chmod(0o600)
    assert pack_hub_zip(small_bundle, tmp_path / "b").read_bytes() == first


def test_archive_is_never_replaced_silently(small_bundle: Path, tmp_path: Path) -> None:
    archive = pack_hub_zip(small_bundle, tmp_path)
    before = archive.read_bytes()
    (small_bundle / "LICENSE").write_text("another")
    with pytest.raises(InputError, match=r"cardiac4d\.zip: the file exists already"):
        pack_hub_zip(small_bundle, tmp_path)
    assert archive.read_bytes() == before
    assert pack_hub_zip(small_bundle, tmp_path, overwrite=True).read_bytes() != before


@pytest.mark.parametrize("name", REQUIRED)
def test_bundle_without_a_required_file_is_refused(name: str, small_bundle: Path, tmp_path: Path) -> None:
    (small_bundle / name).unlink()
    with pytest.raises(InputError, match=f"{name} is missing"):
        pack_hub_zip(small_bundle, tmp_path / "dist")
    assert not (tmp_path / "dist").exists()


def test_archive_has_the_layout_monai_looks_for(small_bundle: Path, tmp_path: Path) -> None:
    """MONAI reads ``<stem of the archive>/configs/metadata.json`` from the archive."""
    (small_bundle / "configs" / "metadata.json").write_text(json.dumps({"version": "1.2.3"}))
    (small_bundle / "configs" / "inference.json").write_text(json.dumps({"device": "cpu"}))
    parser = load_bundle_config(str(pack_hub_zip(small_bundle, tmp_path)), "inference.json")
    assert (parser["_meta_#version"], parser["device"]) == ("1.2.3", "cpu")
