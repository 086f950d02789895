# SPDX-License-Identifier: Apache-2.0
"""Inference over a folder with a damaged study, by the README's command, in one process and in two."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from cardiac4d.networks import EncoderDecoder
from cardiac4d.workflows.weights import write_model
from tests.helpers.studies import write_study
from tests.helpers.warm_process import start_module

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> Path:
    """Three studies, the second truncated where only decompression finds it."""
    folder = tmp_path_factory.mktemp("studies")
    for index in range(3):
        write_study(folder, f"case{index}", num_frames=3, seed=index)
    damaged = folder / "image" / "case1.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size * 2 // 3])
    write_model(EncoderDecoder(), folder / "model.pt", {"spacing_mm": [6.0, 6.0, 6.0], "orientation": "RAS"})
    return folder


def _infer(studies: Path, output_dir: Path, *, processes: int = 1) -> str:
    """Run to the failure that must come; return what the last screen shows."""
    overlay = ",'configs/multi_gpu_inference.json'" if processes > 1 else ""
    command = ["monai.bundle", "run", "inference"]
    command += ["--config_file", f"['configs/inference.json'{overlay}]", "--dataset_dir", str(studies / "image")]
    command += ["--checkpoint", str(studies / "model.pt"), "--output_dir", str(output_dir)]
    command += ["--spacing_mm", "[6.0,6.0,6.0]", "--roi_size", "[12,12,8]"]
    launcher = ["torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "-m"] if processes > 1 else []
    code, out, err = start_module(*launcher, *command, cwd=ROOT).wait()
    assert code != 0, out
    return "\n".join(err.strip().splitlines()[-20:])


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_other_studies_are_segmented_and_the_damaged_one_is_named(studies, tmp_path, processes):
    screen = _infer(studies, tmp_path / "out", processes=processes)
    for name in ("case0", "case2"):
        assert (tmp_path / "out" / "segmentations" / f"{name}_seg.nii.gz").is_file(), screen
    with (tmp_path / "out" / "cases.csv").open() as file:
        assert [row["case_id"] for row in csv.DictReader(file)] == ["case0", "case2"]
    assert f"{tmp_path}/out/failures.csv: 1 case was passed over" in screen
    assert f"{studies}/image/case1.nii.gz: frame" in screen
    assert "Fix: copy or export the file again" in screen
