# SPDX-License-Identifier: Apache-2.0
"""A prepared study comes back as it was: voxels, metadata, and the way to the study's grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose
from monai.utils import TraceKeys

from cardiac4d.errors import InputError
from cardiac4d.geometry import TimeAxis
from cardiac4d.io.prepared import read_prepared, stored_bytes, write_prepared
from cardiac4d.transforms import LoadSequenced, LoadSparseLabelsd, ScaleSequenceRanged, TimeLastd
from tests.helpers.studies import write_study


def preparation() -> Compose:
    grid = {"spacing_mm": (5.0, 5.0, 6.0), "orientation": "RAS"}
    load = [LoadSequenced("image", **grid), LoadSparseLabelsd("label", **grid)]
    return Compose([*load, ScaleSequenceRanged("image", -1024, 1024, -1, 1), TimeLastd(("image", "label"))])


@pytest.fixture
def item(tmp_path: Path) -> dict:
    entry = write_study(tmp_path, "study")
    entry |= {key: str(tmp_path / entry[key]) for key in ("image", "label", "truth")}
    return preparation()(entry)


def test_voxels_and_plain_fields_come_back(tmp_path: Path, item: dict) -> None:
    back = read_prepared(write_prepared(tmp_path / "a.pt", item))
    assert back.keys() == item.keys()
    assert back["image"].dtype == torch.float16
    assert torch.equal(back["image"].as_tensor(), item["image"].as_tensor().half())
    assert back["label"].dtype == torch.uint8
    assert torch.equal(back["label"].as_tensor(), item["label"].as_tensor())
    assert back["id"] == "study"


def test_half_precision_is_within_half_a_hounsfield_unit_of_the_scaled_range(tmp_path: Path) -> None:
    scaled = torch.linspace(-1, 1, 9999).reshape(1, 9, 11, 101, 1)
    back = read_prepared(write_prepared(tmp_path / "a.pt", {"image": MetaTensor(scaled)}))["image"]
    assert float((back.as_tensor().float() - scaled).abs().max()) * 1024 <= 0.5


def test_single_precision_is_exact(tmp_path: Path, item: dict) -> None:
    back = read_prepared(write_prepared(tmp_path / "a.pt", item, "float32"))
    assert torch.equal(back["image"].as_tensor(), item["image"].as_tensor())


def test_affine_time_axis_and_every_other_metadatum_come_back(tmp_path: Path, item: dict) -> None:
    back = read_prepared(write_prepared(tmp_path / "a.pt", item))["image"]
    assert back.meta.keys() == item["image"].meta.keys()
    np.testing.assert_array_equal(back.affine, item["image"].affine)
    assert TimeAxis.from_meta(back.meta) == TimeAxis.from_meta(item["image"].meta)


def test_other_transforms_of_the_same_kind_take_it_back_to_the_grid_of_the_study(tmp_path: Path, item: dict) -> None:
    back = read_prepared(write_prepared(tmp_path / "a.pt", item))
    direct = preparation().transforms  # others than those that prepared it, as in another process
    expected = {"label": item["label"].clone()}
    for operation in expected["label"].applied_operations:
        operation[TraceKeys.ID] = TraceKeys.NONE
    for transform in (direct[3], direct[1]):
        transform.keys = ("label",)
        back = transform.inverse({"label": back["label"]})
        expected = transform.inverse(expected)
    assert back["label"].shape == expected["label"].shape == (6, 18, 16, 10)
    assert torch.equal(back["label"].as_tensor(), expected["label"].as_tensor())
    np.testing.assert_array_equal(back["label"].affine, expected["label"].affine)


def test_reading_maps_and_does_not_read(tmp_path: Path) -> None:
    size = 1 << 26
    write_prepared(tmp_path / "a.pt", {"image": MetaTensor(torch.zeros(1, size // 64, 4, 4, 4))}, "float32")
    before = resident_bytes()
    image = read_prepared(tmp_path / "a.pt")["image"]
    assert float(image[0, -1].sum()) == 0
    assert resident_bytes() - before < size  # of 4 * size on disk


def resident_bytes() -> int:
    status = Path("/proc/self/statm")
    if not status.exists():
        pytest.skip("the resident set is read from /proc")
    return int(status.read_text().split()[1]) * 4096


def test_size_on_disk_is_announced(tmp_path: Path, item: dict) -> None:
    size = write_prepared(tmp_path / "a.pt", item).stat().st_size
    assert 0 < size - stored_bytes(item) < 20_000  # metadata


def test_value_beyond_half_precision_is_refused_with_a_fix(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"70000 does not fit into torch\.float16. Fix: scale intensities"):
        write_prepared(tmp_path / "a.pt", {"image": MetaTensor(torch.full((1, 2, 2, 2, 2), 7e4))})
    assert list(tmp_path.iterdir()) == []


def test_object_that_cannot_be_stored_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"a\.pt: reader` holds a value of type object, which cannot be stored"):
        write_prepared(tmp_path / "a.pt", {"reader": object()})


def test_unknown_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`dtype` must be one of"):
        write_prepared(tmp_path / "a.pt", {}, "int8")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 half an archive"])
def test_damaged_file_is_named_with_a_fix(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.pt: it is no prepared study .* Fix: remove it"):
        read_prepared(tmp_path / "a.pt")
