# SPDX-License-Identifier: Apache-2.0
"""Compressed DICOM pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from cardiac4d.errors import InputError
from cardiac4d.io.dicom import DicomSequence
from tests.helpers.dicom_studies import Study, stored_voxels, write_images


@pytest.fixture
def large(tmp_path: Path) -> Study:
    """Images large enough for the resolutions of JPEG 2000, in the folder ``large``."""
    written = Study(lambda k, t: {"TriggerTime": 40 * t}, voxels=stored_voxels((48, 40, 2, 2)))
    write_images(tmp_path / "large", written)
    return written


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless], ids=["rle", "jpeg_2000"])
def test_compressed_pixels_are_read(tmp_path: Path, large: Study, syntax: str) -> None:
    for path in (tmp_path / "large").iterdir():
        data = dcmread(path)
        data.compress(syntax, generate_instance_uid=False)
        data.save_as(path)
    frames = list(DicomSequence(tmp_path / "large").frames())
    np.testing.assert_array_equal(np.stack(frames, axis=-1), large.voxels.astype(np.int16) - 1024)


@pytest.mark.parametrize(
    ("name", "syntax"),
    [("JPEGLosslessProcess14_1", JPEGLosslessSV1), ("JPEGLSLossless", JPEGLSLossless)],
    ids=["lossless", "ls"],
)
def test_jpeg_pixels_without_loss_are_read(tmp_path: Path, large: Study, name: str, syntax: str) -> None:
    gdcm = pytest.importorskip("gdcm")
    for path in (tmp_path / "large").iterdir():
        _compress_with_gdcm(gdcm, path, name)
    assert dcmread(tmp_path / "large" / "IM0003").file_meta.TransferSyntaxUID == syntax
    frames = list(DicomSequence(tmp_path / "large").frames())
    np.testing.assert_array_equal(np.stack(frames, axis=-1), large.voxels.astype(np.int16) - 1024)


def _compress_with_gdcm(gdcm: Any, path: Path, syntax: str) -> None:
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(path))
    assert writer.Write()


def test_a_missing_decoder_is_named_with_what_installs_it(
    tmp_path: Path, large: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large" / "IM0003"
    data = dcmread(path)
    data.compress(JPEG2000Lossless, generate_instance_uid=False)
    data.save_as(path)
    monkeypatch.setattr("pydicom.pixels.decoders.JPEG2000LosslessDecoder._available", {})
    with pytest.raises(InputError, match=r"IM0003: .*JPEG 2000 .*is installed\. Fix: pip install 'cardiac4d\[dicom\]'"):
        DicomSequence(path.parent)
