# SPDX-License-Identifier: Apache-2.0
"""From every format through the network's grid into every output, on the study's own grid and time axis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd

from cardiac4d.errors import InputError
from cardiac4d.io import OUTPUT_FORMATS, NiftiSequence, NrrdSequence, OutputFormat
from cardiac4d.transforms import LoadSequenced, SaveProbabilitiesd, SaveSequence, SaveSequenced, TimeLastd
from tests.helpers.formats import write_metaimage, write_slicer_sequence
from tests.helpers.sequences import AFFINES, noise, write_nifti

SHAPE = (9, 8, 6, 5)
Writer = Callable[[Path, np.ndarray, np.ndarray], Any]


def _phases(folder: Path, voxels: np.ndarray, affine: np.ndarray) -> Path:
    for t in range(voxels.shape[3]):
        write_nifti(folder / f"phases/t{t}.nii", voxels[..., t], affine)
    return folder / "phases"


WRITERS: dict[str, Writer] = {
    "nifti": lambda folder, voxels, affine: write_nifti(folder / "a.nii.gz", voxels, affine, step=40, unit="msec"),
    "seq.nrrd": lambda folder, voxels, affine: write_slicer_sequence(
        folder / "a.seq.nrrd", voxels, affine, unit="ms", values=[0, 40, 80, 120, 160]
    ),
    "seq.nrrd, list first": lambda folder, voxels, affine: write_slicer_sequence(
        folder / "a.seq.nrrd", voxels, affine, list_axis=0, space="right-anterior-superior"
    ),
    "mha": lambda folder, voxels, affine: write_metaimage(folder / "a.mha", voxels, affine, packed=True),
    "phases": _phases,
    "phases with times": lambda folder, voxels, affine: {
        "files": _phases(folder, voxels, affine),
        "frame_times_ms": [0, 40, 90, 100, 200],
    },
}


def _segment(image: torch.Tensor) -> MetaTensor:
    """A stand-in for network and argmax: labels 0, 1, 2 without any metadata."""
    return MetaTensor((image.as_tensor() > -500).byte() + (image.as_tensor() > 500).byte())


@pytest.mark.parametrize("name", ["flipped", "permuted", "oblique_left_handed"])
@pytest.mark.parametrize("form", WRITERS)
def test_results_lie_on_the_study_whatever_its_format(tmp_path: Path, form: str, name: str) -> None:
    voxels, affine = noise(SHAPE), AFFINES[name]
    entry = {"id": "s", "image": WRITERS[form](tmp_path, voxels, affine), "frames": [1, 2, 4]}
    pre = Compose([LoadSequenced("image", None, "RAS"), TimeLastd("image")])
    data = pre(entry)
    times = data["image"].meta["frame_times_ms"].tolist()
    data["pred"] = _segment(data["image"])
    post = [
        Invertd("pred", pre, orig_keys="image", nearest_interp=True, to_tensor=True),
        SaveSequenced("pred", tmp_path / "out", outputs=["nifti", "seq.nrrd"]),
    ]
    Compose(post)(data)
    native = voxels[..., [1, 2, 4]]
    expected = (native > -500).astype(np.uint8) + (native > 500)
    for source in (NiftiSequence(tmp_path / "out/s_seg.nii.gz"), NrrdSequence(tmp_path / "out/s_seg.seq.nrrd")):
        np.testing.assert_array_equal(np.stack(list(source.frames()), axis=-1), expected)
        np.testing.assert_allclose(source.grid.affine, affine, atol=1e-5)
    np.testing.assert_allclose(source.time_axis().frame_times_ms, times)
    if form == "phases with times":
        np.testing.assert_allclose(times, [40, 90, 200])


@pytest.fixture
def study(tmp_path: Path) -> tuple[Compose, dict[str, Any]]:
    entry = {"id": "s", "image": str(write_nifti(tmp_path / "a.nii", noise(SHAPE), AFFINES["oblique"]))}
    pre = Compose([LoadSequenced("image", (1.0, 1.0, 2.5)), TimeLastd("image")])
    return pre, pre(entry)


def test_probabilities_are_interpolated_and_written_frame_by_frame(
    tmp_path: Path, study: tuple[Compose, dict[str, Any]]
) -> None:
    pre, data = study
    shape = data["image"].shape[1:]
    ramp = torch.linspace(-4, 4, shape[0]).view(-1, 1, 1, 1).expand(shape)
    frames = torch.arange(shape[3]) / 10
    logits = torch.stack([torch.zeros(shape), ramp + frames, -ramp])
    data["pred"] = MetaTensor(logits, meta=data["image"].meta)
    out = SaveProbabilitiesd("pred", transform=pre, output_dir=tmp_path / "out")(data)
    assert torch.equal(out["pred"].as_tensor(), logits), "what follows takes the argmax of these"
    softmax = torch.softmax(logits, dim=0)
    for label, name in ((1, "LV"), (2, "LVM")):
        image = nib.load(tmp_path / f"out/s_prob_{name}.nii.gz")
        expected = pre.inverse({"image": data["image"].clone().copy_(softmax[label : label + 1])})["image"]
        np.testing.assert_allclose(image.get_fdata(), np.moveaxis(expected.numpy(), 0, -1), atol=6e-4)
        assert (image.shape, image.get_data_dtype()) == (SHAPE, np.uint16)
        np.testing.assert_allclose(image.affine, AFFINES["oblique"], atol=1e-5)
        assert image.header.get_xyzt_units() == ("mm", "sec")
        np.testing.assert_allclose(image.header["pixdim"][4], 0.043)
    with pytest.raises(InputError, match=r"s_prob_LV\.nii\.gz: the file exists already"):
        SaveProbabilitiesd("pred", transform=pre, output_dir=tmp_path / "out")(data)


def test_overwriting_removes_what_other_outputs_left(tmp_path: Path, study: tuple[Compose, dict[str, Any]]) -> None:
    image = study[1]["image"]
    labels = MetaTensor(torch.zeros(image.shape, dtype=torch.uint8), meta=image.meta)
    SaveSequence(tmp_path / "out", outputs=["nifti", "seq.nrrd"])(labels)
    SaveSequence(tmp_path / "out", outputs=["seq.nrrd", "probabilities"], overwrite=True)(labels)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a_seg.seq.nrrd"]
    assert labels.meta["saved_to"] == str(tmp_path / "out/a_seg.seq.nrrd")


@pytest.mark.parametrize("outputs", [[], ["nifty"], "nifti", [["nifti"]]])
def test_outputs_that_nobody_writes_are_refused(tmp_path: Path, outputs: Any) -> None:
    with pytest.raises(ValueError, match=r"`outputs` must be a list of some of nifti, seq\.nrrd"):
        SaveSequence(tmp_path, outputs=outputs)


def test_another_format_needs_one_line(
    tmp_path: Path, study: tuple[Compose, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, result: Any, _overwrite: bool) -> Path:
        path.parent.mkdir()
        path.write_text(f"{result.labels.shape} of {Path(result.meta['filename_or_obj']).name}")
        return path

    monkeypatch.setitem(OUTPUT_FORMATS, "text", OutputFormat(".txt", write))
    image = study[1]["image"]
    labels = MetaTensor(torch.zeros(image.shape, dtype=torch.uint8), meta=image.meta)
    SaveSequence(tmp_path / "out", outputs=["text"])(labels)
    assert (tmp_path / "out/a_seg.txt").read_text() == f"{tuple(image.shape[1:])} of a.nii"
