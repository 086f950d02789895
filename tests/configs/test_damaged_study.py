# SPDX-License-Identifier: Apache-2.0
"""Inference over a folder with a damaged study, by the README's command, in one process and in two."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from cardiac4d.networks import EncoderDecoder
from cardiac4d.workflows.weights import write_model
from tests.helpers.studies import write_study

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
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    overlay = ",'configs/multi_gpu_inference.json'" if processes > 1 else ""
    command = [sys.executable, *launcher, "-m", "monai.bundle", "run", "inference"]
    command += ["--config_file", f"['configs/inference.json'{overlay}]", "--dataset_dir", str(studies / "image")]
    command += ["--checkpoint", str(studies / "model.pt"), "--output_dir", str(output_dir)]
    command += ["--spacing_mm", "[6.0,6.0,6.0]", "--roi_size", "[12,12,8]"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode != 0, done.stdout
    return "\n".join(done.stderr.strip().splitlines()[-20:])


@pytest.mark.parametrize("processes", [1, 2])
def test_the_other_studies_are_segmented_and_the_damaged_one_is_named(studies, tmp_path, processes):
    screen = _infer(studies, tmp_path / "out", processes=processes)
    for name in ("case0", "case2"):
        assert (tmp_path / "out" / "segmentations" / f"{name}_seg.nii.gz").is_file(), screen
    with (tmp_path / "out" / "cases.csv").open() as file:
        assert [row["case_id"] for row in csv.DictReader(file)] == ["case0", "case2"]
    assert f"{tmp_path}/out/failures.csv: 1 case was passed over" in screen
    assert f"{studies}/image/case1.nii.gz: frame" in screen
    assert "Fix: copy or export the file again" in screen
