# SPDX-License-Identifier: Apache-2.0
"""``configs/metadata.json`` against the vendored schema, the package, the constraints and the changelog."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import verify_metadata
from monai.bundle.scripts import _get_fake_spatial_shape

import cardiac4d
from cardiac4d import conventions
from tests.helpers.warm_process import run_module

ROOT = Path(__file__).resolve().parents[2]
METADATA = ROOT / "configs" / "metadata.json"
SCHEMA = ROOT / "tests" / "data" / "meta_schema_20240725.json"
SCHEMA_SHA256 = "df8e20f953614757484d5e7555d36d763de945f1770c43b5cbb79bca5e844585"


@pytest.fixture
def metadata() -> dict[str, Any]:
    return json.loads(METADATA.read_text(encoding="utf-8"))


def verify(path: Path) -> None:
    """Call MONAI's check with the vendored schema; it would download a schema that is not there."""
    assert SCHEMA.is_file()
    verify_metadata(meta_file=str(path), filepath=SCHEMA, hash_val=SCHEMA_SHA256, hash_type="sha256")


def test_metadata_is_valid() -> None:
    verify(METADATA)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["bundle root", "elsewhere"])
def test_metadata_is_valid_on_the_command_line(elsewhere: bool, tmp_path: Path) -> None:
    """The command of the model card, with the vendored schema in place of a download."""
    metadata = METADATA if elsewhere else METADATA.relative_to(ROOT)
    schema = ("--filepath", SCHEMA, "--hash_val", SCHEMA_SHA256, "--hash_type", "sha256")
    command = ("monai.bundle", "verify_metadata", "--meta_file", metadata, *schema)
    printed = run_module(*command, cwd=tmp_path if elsewhere else ROOT)
    assert "metadata is verified with no error" in printed


def _without_task(meta: dict[str, Any]) -> None:
    del meta["task"]


def _null_value_range(meta: dict[str, Any]) -> None:
    meta["network_data_format"]["inputs"]["image"]["value_range"] = None


def _old_package_key(meta: dict[str, Any]) -> None:
    meta["optional_packages_version"] = meta.pop("required_packages_version")


def _fractional_channels(meta: dict[str, Any]) -> None:
    meta["network_data_format"]["outputs"]["pred"]["num_channels"] = 1.5


def _list_of_apps(meta: dict[str, Any]) -> None:
    meta["supported_apps"] = ["an app"]


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (_without_task, "'task' is a required property"),
        (_null_value_range, "None is not of type 'array'"),
        (_old_package_key, "'required_packages_version' is a required property"),
        (_fractional_channels, "1.5 is not of type 'integer'"),
        (_list_of_apps, "is not of type 'object'"),
    ],
)
def test_metadata_with_a_flaw_is_refused(spoil: Any, match: str, metadata: dict[str, Any], tmp_path: Path) -> None:
    spoil(metadata)
    flawed = tmp_path / "metadata.json"
    flawed.write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match=match):
        verify(flawed)


def test_vendored_schema_has_the_bytes_its_readme_states() -> None:
    readme = (SCHEMA.parent / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(SCHEMA.read_bytes()).hexdigest() == SCHEMA_SHA256
    assert SCHEMA_SHA256 in readme
    assert f"{SCHEMA.stat().st_size:,}" in readme


def test_version_is_the_same_everywhere(metadata: dict[str, Any]) -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changelog, re.MULTILINE)
    assert newest is not None
    assert metadata["version"] == cardiac4d.__version__ == newest[1] == next(iter(metadata["changelog"]))


def test_changelogs_tell_of_the_same_versions(metadata: dict[str, Any]) -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+)", changelog, re.MULTILINE) == list(metadata["changelog"])


def test_versions_are_those_of_the_constraints(metadata: dict[str, Any]) -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split(";")[0].strip().split("==") for line in lines if "==" in line and "< " not in line)
    stated = {
        "monai": metadata["monai_version"],
        "torch": metadata["pytorch_version"],
        "numpy": metadata["numpy_version"],
        **metadata["required_packages_version"],
    }
    assert stated == {name: pins[name] for name in stated}


def test_required_packages_are_what_the_project_declares(metadata: dict[str, Any]) -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    declared = re.search(r"^dependencies = \[(.*?)\]", project, re.MULTILINE | re.DOTALL)
    train = re.search(r"^train = \[(.*?)\]", project, re.MULTILINE)
    assert declared is not None
    assert train is not None
    names = set(re.findall(r'"([a-z0-9-]+)[>=]', declared[1] + train[1]))
    assert set(metadata["required_packages_version"]) == names - {"torch", "monai", "numpy"}


def test_channels_follow_the_label_ids(metadata: dict[str, Any]) -> None:
    formats = metadata["network_data_format"]
    pred = formats["outputs"]["pred"]
    assert pred["channel_def"] == {"0": "background"} | {str(v): k for k, v in conventions.STRUCTURES.items()}
    assert pred["num_channels"] == conventions.NUM_CLASSES
    assert formats["inputs"]["image"]["num_channels"] == 1


@pytest.mark.parametrize(("n", "shape"), [(1, (8, 8, 8, 4)), (12, (96, 96, 96, 48))])
def test_input_has_four_spatial_axes(n: int, shape: tuple[int, ...], metadata: dict[str, Any]) -> None:
    image = metadata["network_data_format"]["inputs"]["image"]
    assert _get_fake_spatial_shape(image["spatial_shape"], n=n) == shape
    assert image["value_range"] == [-1, 1]


def test_no_app_without_time_axis_is_claimed(metadata: dict[str, Any]) -> None:
    """The known viewers and deployment apps take a fourth axis for channels and drop all but one."""
    assert "supported_apps" not in metadata
