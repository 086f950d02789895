# SPDX-License-Identifier: Apache-2.0
"""``pip install .`` as a user types it, with pip's build isolation, but without network; and what it leaves behind.

pip's isolated environment hides the packages of the target. It gets its setuptools from a wheel that is made here of
the installed one, and could not get a torch.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

import cardiac4d
from cardiac4d.ops import build
from tests.helpers.backends import needs_compiler

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="needs the paths of a POSIX system")]

SOURCES = ("bundle", "pyproject.toml", "setup.py", "README.md", "LICENSE")
WITHOUT_TORCH = (
    "cardiac4d: native kernels not built (torch 2.10 or newer was not found beside this Python); "
    f"pure PyTorch runs instead. Build them later: {build.COMMAND}"
)


def _run(python: Path | str, *arguments: str | Path, cwd: Path, **variables: str) -> str:
    """Run a Python without anything of this session's environment; what it printed, errors included."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "CARDIAC4D_", "PIP_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    command = [str(python), *map(str, arguments)]
    environment = {**kept, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", **variables}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr


def _environment(folder: Path) -> Path:
    """Make a virtual environment with nothing in it but pip; its Python."""
    _run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def setuptools_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel of the setuptools that is installed here."""
    installed = distribution("setuptools")
    folder = tmp_path_factory.mktemp("wheels")
    with zipfile.ZipFile(folder / f"setuptools-{installed.version}-py3-none-any.whl", "w") as wheel:
        for file in installed.files or []:
            if not str(file).startswith("..") and file.suffix != ".pyc":
                wheel.write(file.locate(), str(file))
    return folder


@pytest.fixture
def source(tmp_path: Path, repo_root: Path) -> Path:
    """What an installation reads, with the remains of an earlier build."""
    folder = tmp_path / "source"
    folder.mkdir()
    for name in SOURCES:
        original = repo_root / name
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so")
        if original.is_dir():
            shutil.copytree(original, folder / name, ignore=ignore)
        else:
            shutil.copy(original, folder / name)
    (folder / "bundle" / "cardiac4d" / "ops" / "_native.so").write_text("stale")
    return folder


@needs_compiler
def test_wheel_built_beside_torch_runs_natively_in_a_clean_environment(
    source: Path, setuptools_wheel: Path, tmp_path: Path
) -> None:
    options = ("--no-deps", "--find-links", setuptools_wheel, "-w", tmp_path / "dist", "-v")
    said = _run(sys.executable, "-m", "pip", "wheel", *options, ".", cwd=source)
    assert "cardiac4d: built" in said
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert wheel.name == f"cardiac4d-{cardiac4d.__version__}-py3-none-{platform}.whl"

    python = _environment(tmp_path / "clean")
    _run(python, "-m", "pip", "install", "--no-deps", wheel, cwd=tmp_path)
    site = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    (site / "torch.pth").write_text(sysconfig.get_path("purelib"))  # a path, whose own .pth files are not read
    info = dict(line.split(maxsplit=1) for line in _run(python, "-m", "cardiac4d.ops", cwd=tmp_path).splitlines())
    assert (info["backend"], info["native"]) == ("native", "loaded")
    assert Path(info["library"]) == site / "cardiac4d" / "ops" / "_native.so"
    code = "import torch; from cardiac4d.ops import *; print(conv4d(*2 * [torch.ones(1, 1, 3, 3, 3, 3)]).item())"
    assert _run(python, "-c", code, cwd=tmp_path, CARDIAC4D_BACKEND="native") == "81.0\n"


def test_environment_without_torch_gets_pure_python_and_one_clear_line(
    source: Path, setuptools_wheel: Path, tmp_path: Path
) -> None:
    python = _environment(tmp_path / "bare")
    options = ("--no-deps", "--find-links", setuptools_wheel, "-v")
    said = _run(python, "-m", "pip", "install", *options, ".", cwd=source)
    assert [line.strip() for line in said.splitlines() if "native kernels" in line] == [WITHOUT_TORCH]
    site = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    assert not list(site.rglob("_native.so"))
    assert (site / "cardiac4d" / "ops" / "csrc" / "binding.cpp").is_file()  # to build later
    if shutil.which("g++"):
        (site / "torch.pth").write_text(sysconfig.get_path("purelib"))
        _run(python, "-m", "cardiac4d.ops.build", cwd=tmp_path)
        assert "loaded" in _run(python, "-m", "cardiac4d.ops", cwd=tmp_path)


def test_source_distribution_holds_what_the_build_reads(source: Path, tmp_path: Path) -> None:
    code = f"import setuptools.build_meta as b; print(b.build_sdist({str(tmp_path)!r}))"
    _run(sys.executable, "-c", code, cwd=source)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {Path(*Path(name).parts[1:]) for name in packed.getnames()}
    csrc = source / "bundle" / "cardiac4d" / "ops" / "csrc"
    read = {path.relative_to(source) for path in csrc.rglob("*") if path.suffix in {".cpp", ".cu", ".h"}}
    assert read | {Path("setup.py"), Path("pyproject.toml")} <= names
    assert not any(name.suffix == ".so" for name in names)
