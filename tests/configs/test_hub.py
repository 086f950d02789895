# SPDX-License-Identifier: Apache-2.0
"""What a model hub checks before it lists a bundle, re-expressed: files, weights, network, export, packaging.

The commands run in processes that cannot import cardiac4d unless the configs find it, from the bundle root and from
another folder.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from cardiac4d.networks import EncoderDecoder
from cardiac4d.workflows.hub import FILES, REQUIRED, hub_files, pack_hub_zip
from tests.helpers.bundles import ROOT, copy_bundle
from tests.helpers.process import run_python
from tests.helpers.studies import NUM_FRAMES, SHAPE, write_study
from tests.helpers.warm_process import run_module

MAX_REPOSITORY_FILE_BYTES = 25_000_000
PLACES = pytest.mark.parametrize("elsewhere", [False, True], ids=["bundle root", "elsewhere"])
"""Working directory of a command."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_bundle(tmp_path_factory.mktemp("hub") / "cardiac4d")


def network_of(bundle: Path) -> EncoderDecoder:
    network = EncoderDecoder()
    network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    return network.eval()


@pytest.mark.parametrize("name", [*REQUIRED, "docs/data_license.txt", "configs/train.json", "configs/logging.conf"])
def test_bundle_has_the_files_a_hub_asks_for(name: str) -> None:
    path = ROOT / name
    assert path.is_file()
    assert 0 < path.stat().st_size < MAX_REPOSITORY_FILE_BYTES


def test_shipped_weights_are_a_bare_state_dict_of_the_configured_network() -> None:
    """Plain tensors that load without unpickling code, with the very names and shapes of the network."""
    weights = torch.load(ROOT / "models" / "model.pt", weights_only=True, map_location="cpu")
    expected = {name: value.shape for name, value in EncoderDecoder().state_dict().items()}
    assert {name: value.shape for name, value in weights.items()} == expected
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in weights.values())


def commands(bundle: Path, cwd: Path) -> tuple[str, ...]:
    """Config, metadata and bundle root as one types them from ``cwd``."""
    root = Path() if cwd == bundle else bundle
    files = ("--config_file", str(root / "configs/inference.json"), "--meta_file", str(root / "configs/metadata.json"))
    return files if cwd == bundle else (*files, "--bundle_root", str(bundle))


@PLACES
def test_network_keeps_the_format_of_the_metadata(elsewhere: bool, bundle: Path, tmp_path: Path) -> None:
    cwd = tmp_path if elsewhere else bundle
    options = (*commands(bundle, cwd), "--device", "cpu", "--n", "2")
    printed = run_module("monai.bundle", "verify_net_in_out", "network_def", *options, cwd=cwd, isolated=True)
    assert "data shape of network is verified with no error" in printed


@pytest.mark.parametrize(
    "elsewhere", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["bundle root", "elsewhere"]
)
def test_export_runs_without_the_package_and_gives_the_same_numbers(
    elsewhere: bool, bundle: Path, tmp_path: Path
) -> None:
    cwd, exported = tmp_path if elsewhere else bundle, tmp_path / "model.ts"
    options = (*commands(bundle, cwd), "--filepath", str(exported))
    options += ("--ckpt_file", str(bundle / "models" / "model.pt"))
    run_module("monai.bundle", "ckpt_export", "network_def", *options, cwd=cwd, isolated=True)

    image = torch.randn(1, 1, 10, 9, 7, 5)
    torch.save(image, tmp_path / "image.pt")
    run_python("-W", "ignore", "-c", RUN_EXPORTED, cwd=tmp_path)
    with torch.no_grad():
        expected = network_of(bundle)(image)
    torch.testing.assert_close(torch.load(tmp_path / "pred.pt"), expected, rtol=1e-4, atol=1e-5)


RUN_EXPORTED = """
import sys
sys.modules["cardiac4d"] = None  # importing it would raise
import torch
with torch.no_grad():
    torch.save(torch.jit.load("model.ts")(torch.load("image.pt")), "pred.pt")
"""


@pytest.mark.slow
def test_onnx_export_runs_in_onnxruntime_and_gives_the_same_numbers(bundle: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    exported, image = tmp_path / "model.onnx", torch.randn(1, 1, 10, 9, 7, 5)
    options = (*commands(bundle, bundle), "--filepath", str(exported), "--input_shape", str(list(image.shape)))
    options += ("--ckpt_file", str(bundle / "models" / "model.pt"))
    run_module("monai.bundle", "onnx_export", "network_def", *options, cwd=bundle, isolated=True)

    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    (pred,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    with torch.no_grad():
        expected = network_of(bundle)(image)
    torch.testing.assert_close(torch.from_numpy(pred), expected, rtol=1e-4, atol=1e-4)


def test_monai_load_after_pip_install_returns_the_network_and_touches_no_folder(bundle: Path, tmp_path: Path) -> None:
    """MONAI takes the train config by default. The installed copy is what runs, not the sources beside the configs."""
    cwd, site = tmp_path / "empty", tmp_path / "site"
    cwd.mkdir()
    sources = shutil.copytree(bundle, tmp_path / "sources")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "-q", "--target", site)
    run_python("-m", "pip", "install", *options, ".", cwd=sources, env={"CARDIAC4D_BUILD": "0"})
    arguments = (str(bundle.parent), str(tmp_path), str(site))
    run_python("-W", "ignore", "-c", LOAD, *arguments, cwd=cwd, env={"PYTHONPATH": str(site)})
    expected = network_of(bundle).state_dict()
    for workflow in ("train", "inference"):
        loaded = torch.load(tmp_path / f"{workflow}.pt", weights_only=True)
        assert all(torch.equal(loaded[name], value) for name, value in expected.items())
    assert list(cwd.iterdir()) == []


LOAD = """
import sys, cardiac4d, monai.bundle, torch
assert cardiac4d.__file__.startswith(sys.argv[3]), cardiac4d.__file__
for workflow in ("train", "inference"):
    network = monai.bundle.load("cardiac4d", bundle_dir=sys.argv[1], workflow_type=workflow, device="cpu")
    assert type(network).__name__ == "EncoderDecoder", network
    torch.save(network.state_dict(), f"{sys.argv[2]}/{workflow}.pt")
"""


def test_unpacked_archive_segments_a_study(bundle: Path, tmp_path: Path) -> None:
    """Pack, unpack elsewhere, run inference from there: shape, affine, time step and label ids are the study's."""
    archive = pack_hub_zip(bundle, tmp_path / "dist")
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    root = tmp_path / "unpacked" / "cardiac4d"
    study = tmp_path / "studies" / write_study(tmp_path / "studies", "ball")["image"]
    options = ("--bundle_root", root, "--dataset_dir", study, "--output_dir", tmp_path / "out")
    config = ("--config_file", root / "configs" / "inference.json")
    run_module("monai.bundle", "run", "inference", *config, *options, cwd=tmp_path, isolated=True)

    (written,) = (tmp_path / "out").rglob("*.nii.gz")
    pred, source = nib.load(written), nib.load(study)
    assert pred.shape == (*SHAPE, NUM_FRAMES)
    np.testing.assert_allclose(pred.affine, source.affine, atol=1e-4)
    np.testing.assert_allclose(pred.header.get_zooms(), source.header.get_zooms(), rtol=1e-5)
    assert pred.header.get_xyzt_units() == source.header.get_xyzt_units()
    assert set(np.unique(np.asarray(pred.dataobj))) <= {0, 1, 2}


def test_archive_holds_what_its_readme_names() -> None:
    """Targets of make, links, and files in commands: the README opens with two commands, which must work there."""
    packed = {path.relative_to(ROOT).as_posix() for path in hub_files(ROOT)}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\]\(([^)#:\s]+)\)", readme))
    named |= set(re.findall(r"\b(?:configs|scripts|docs)/[\w./]*\w", readme))
    assert re.search(r"^make demo\b", readme, re.MULTILINE)
    assert named <= packed
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(OPS)", "bundle/cardiac4d/ops")
    in_makefile = set(re.findall(r"\b[\w/]+\.(?:py|toml|txt)\b", makefile))
    assert {"Makefile", "scripts/demo.py", *in_makefile} <= packed
    assert any(name.startswith("tests/test_") for name in packed)


def test_every_file_of_the_list_exists_and_none_at_the_root_is_forgotten() -> None:
    assert [name for name in FILES if not (ROOT / name).is_file()] == []
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    at_root = {name for name in listed if "/" not in name and not name.startswith(".") and (ROOT / name).is_file()}
    assert at_root <= set(FILES)


def test_configs_are_pretty_printed() -> None:
    for path in sorted((ROOT / "configs").glob("*.json")):
        text = path.read_text(encoding="utf-8")
        assert text == json.dumps(json.loads(text), indent=4, ensure_ascii=False) + "\n", path.name
