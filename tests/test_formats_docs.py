# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/formats.md run, and its tables name what exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cardiac4d.errors import InputError
from cardiac4d.io import OUTPUT_FORMATS, PROBABILITIES, load_datalist, open_sequence, open_volume
from cardiac4d.io.image_names import IMAGE_SUFFIXES
from tests.helpers.formats import write_metaimage
from tests.helpers.sequences import AFFINES, noise, write_nifti

SHAPE = (6, 5, 4)


@pytest.fixture
def text(repo_root: Path) -> str:
    return (repo_root / "docs" / "formats.md").read_text(encoding="utf-8")


def _block(text: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)
    assert found
    return found[1]


def test_the_entries_of_the_page_are_read(text: str, tmp_path: Path) -> None:
    for name in ("s01/phases/1", "s01/phases/2", *(f"s02/{t}_ct" for t in range(4))):
        write_nifti(tmp_path / f"{name}.nii.gz", noise(SHAPE))
    (tmp_path / "s03").mkdir()
    for percent in (0, 40, 75):
        write_metaimage(tmp_path / f"s03/ct_{percent}pct.mha", noise(SHAPE), AFFINES["plain"])
    write_nifti(tmp_path / "s04_xytz.nii.gz", noise((6, 5, 3, 4)), step=2.0, unit="msec")
    (tmp_path / "dataset.json").write_text(_block(text, "json"), encoding="utf-8")
    entries = load_datalist(tmp_path / "dataset.json", "test")
    assert [entry["id"] for entry in entries] == ["phases", "s02", "s03", "s04"]
    sources = [open_sequence(entry["image"]) for entry in entries]
    assert [source.num_frames for source in sources] == [2, 4, 3, 3]
    np.testing.assert_allclose(sources[1].time_axis().frame_times_ms, [0, 41.5, 83, 130])
    np.testing.assert_allclose(sources[2].time_axis().frame_times_ms, [0, 342.8, 642.75])


def test_the_reader_of_the_page_reads(text: str, tmp_path: Path) -> None:
    namespace: dict[str, Any] = {}
    exec(_block(text, "python"), namespace)
    voxels = noise((3, *SHAPE))
    np.savez(tmp_path / "a.npz", voxels=voxels, affine=AFFINES["oblique"], times_ms=[0.0, 40.0, 95.0])
    source = namespace["NpzSequence"](tmp_path / "a.npz")
    np.testing.assert_array_equal(np.stack(list(source.frames())), voxels)
    np.testing.assert_array_equal(source.grid.affine, AFFINES["oblique"])
    np.testing.assert_allclose(source.time_axis().frame_times_ms, [0, 40, 95])
    np.savez(tmp_path / "b.npz", voxels=voxels)
    with pytest.raises(InputError, match=r"b\.npz: not an archive of a sequence"):
        namespace["NpzSequence"](tmp_path / "b.npz")


def test_the_page_names_every_output_and_suffix(text: str) -> None:
    for name in (*OUTPUT_FORMATS, PROBABILITIES):
        assert f"| `{name}` |" in text
    for suffix in IMAGE_SUFFIXES:
        assert f"`{suffix}`" in text


def test_every_suffix_has_a_reader(tmp_path: Path) -> None:
    for suffix in IMAGE_SUFFIXES:
        (tmp_path / f"a{suffix}").write_bytes(b"nothing of the kind")
        with pytest.raises(InputError) as caught:
            open_volume(tmp_path / f"a{suffix}")
        assert "not a NIfTI, NRRD or MetaImage file" not in str(caught.value)
