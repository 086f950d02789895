# SPDX-License-Identifier: Apache-2.0
"""MetaImage: what ITK writes comes back as ITK understands it, and damage is found."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import itk
import numpy as np
import pytest

from cardiac4d.errors import InputError
from cardiac4d.io import MetaImageSequence
from tests.helpers.formats import LPS, write_metaimage
from tests.helpers.sequences import AFFINES, noise

SHAPE = (6, 5, 4, 3)


def _read(path: Path) -> np.ndarray:
    return np.stack(list(MetaImageSequence(path).frames()), axis=-1)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
@pytest.mark.parametrize("name", ["oblique", "left_handed"])
def test_a_file_written_by_itk_comes_back(tmp_path: Path, suffix: str, packed: bool, name: str) -> None:
    lps = LPS @ AFFINES[name]
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = itk.image_from_array(np.ascontiguousarray(noise(SHAPE).T))
    direction = np.eye(4)
    direction[:3, :3] = lps[:3, :3] / spacing
    image.SetDirection(direction)
    image.SetSpacing([*spacing.tolist(), 40.0])
    image.SetOrigin([*lps[:3, 3].tolist(), 7.0])
    itk.imwrite(image, str(tmp_path / f"a{suffix}"), compression=packed)
    source = MetaImageSequence(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(_read(source.path), noise(SHAPE))
    np.testing.assert_allclose(source.grid.affine, AFFINES[name], atol=1e-6)
    assert (source.grid.shape, source.num_frames, source.time_axis().unit) == (SHAPE[:3], 3, "unknown")
    assert source.frame(2).dtype == np.int16


@pytest.mark.parametrize("dtype", ["int16", "uint8", "float32"])
def test_frames_come_in_the_type_of_the_file(tmp_path: Path, dtype: str) -> None:
    voxels = (noise(SHAPE) % 200).astype(dtype)
    path = write_metaimage(tmp_path / "a.mha", voxels, AFFINES["flipped"], packed=True)
    np.testing.assert_array_equal(_read(path), voxels)
    assert MetaImageSequence(path).frame(0).dtype == dtype
    np.testing.assert_allclose(MetaImageSequence(path).grid.affine, AFFINES["flipped"])


def test_a_3d_file_is_one_phase_only_where_phases_are_wanted(tmp_path: Path) -> None:
    path = write_metaimage(tmp_path / "a.mha", noise(SHAPE)[..., 1], AFFINES["plain"])
    with pytest.raises(InputError, match=r"a 3D image \(6, 5, 4\).*one per phase"):
        MetaImageSequence(path)
    np.testing.assert_array_equal(MetaImageSequence(path, one_frame=True).frame(0), noise(SHAPE)[..., 1])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, packed: bool) -> None:
    path = write_metaimage(tmp_path / f"a{suffix}", noise(SHAPE), np.eye(4), packed=packed)
    data = path if suffix == ".mha" else path.with_suffix(".raw")
    data.write_bytes(data.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"a\.(mha|mhd|raw): .*truncated"):
        _read(path)


def test_damage_that_itk_takes_without_a_word_is_refused(tmp_path: Path) -> None:
    path = write_metaimage(tmp_path / "a.mha", noise((20, 20, 10, 3)), np.eye(4), packed=True)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 50] = b"\xff" * 50
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.mha: its voxels cannot be read.*damaged"):
        _read(path)


@pytest.mark.parametrize("packed", [False, True])
def test_absurd_dimensions_ask_for_no_memory(tmp_path: Path, packed: bool) -> None:
    path = write_metaimage(tmp_path / "a.mha", noise(SHAPE), np.eye(4), packed=packed)
    path.write_bytes(path.read_bytes().replace(b"DimSize = 6 5 4 3", b"DimSize = 900 900 900 3"))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"a\.mha: .*announces"):
            _read(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("NDims = 4", "NDims = 3", "DimSize: DimSize '6 5 4 3' and NDims '3'"),
        ("MET_SHORT", "MET_STRING", "ElementType: voxels are 1 x MET_STRING"),
        ("ElementType", "ElementNumberOfChannels = 3\nElementType", "voxels are 3 x MET_SHORT"),
        ("BinaryData = True", "BinaryData = False", "BinaryData: its voxels are written as text"),
        ("LOCAL", "../a.raw", "ElementDataFile: its voxels are in '../a.raw'"),
        ("LOCAL", "LIST", "ElementDataFile: its voxels are in 'LIST'"),
        ("LOCAL", "other.raw", "ElementDataFile: its voxels 'other.raw' are not there"),
        ("ElementDataFile = LOCAL\n", "", "its header does not name its voxels"),
        ("TransformMatrix = 1.0 0.0 0.0 0.0", "TransformMatrix = 1.0 0.0 0.0 0.5", "TransformMatrix: an axis runs"),
        ("TransformMatrix = 1.0", "TransformMatrix = 0.0", "the affine is singular|cannot be read as MetaImage"),
    ],
)
def test_what_is_no_sequence_in_one_file_is_refused(tmp_path: Path, old: str, new: str, problem: str) -> None:
    path = write_metaimage(tmp_path / "a.mha", noise(SHAPE), LPS)
    content = path.read_bytes()
    assert old.encode() in content
    path.write_bytes(content.replace(old.encode(), new.encode(), 1))
    with pytest.raises(InputError, match=rf"a\.mha: .*({problem})"):
        MetaImageSequence(path)


def test_without_itk_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "itk", None)
    path = write_metaimage(tmp_path / "a.mha", noise(SHAPE), np.eye(4))
    with pytest.raises(InputError, match=r"pip install 'cardiac4d\[itk\]'"):
        MetaImageSequence(path)
