# SPDX-License-Identifier: Apache-2.0
"""The repository itself: its tree, the size of its parts, its links, and the wheel that pip makes of it."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sysconfig
import zipfile
from functools import cache
from pathlib import Path

import pytest

import cardiac4d
from tests.helpers.backends import needs_compiler
from tests.helpers.process import run_python

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {".ci", "bundle", "configs", "docs", "models", "scripts", "tests"}
FILES = {
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "constraints.txt",
    "pyproject.toml",
    "setup.py",
}
MAX_FILE_BYTES = 5_000_000
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40
MAX_POSITIONAL = 7
TEXT = {".cfg", ".conf", ".cpp", ".h", ".json", ".md", ".py", ".toml", ".txt", ""}

FORBIDDEN = {
    "a machine's own path": r"(?<![\w.])/(?:home|root|Users|workspace|work|mnt|scratch)/",
    "an unfinished mark": r"\b(?:TO[D]O|FIX[M]E|XX[X])\b",
    "a package registry's address": r"(?:\bpypi|\bpythonhosted|download\.pytorch|anaconda)\.\w",
}


@cache
def tracked() -> tuple[Path, ...]:
    """The files git knows, relative to the root."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(path for name in listed.stdout.split("\0") if name and (path := Path(name)) and (ROOT / path).exists())


def library() -> list[Path]:
    return [ROOT / "setup.py", *sorted((ROOT / "bundle").rglob("*.py")), *sorted((ROOT / "scripts").rglob("*.py"))]


def test_top_level_holds_only_what_the_design_names() -> None:
    assert {path.parts[0] for path in tracked()} <= FOLDERS | FILES


def test_models_holds_weights_and_no_code() -> None:
    assert {path.suffix for path in tracked() if path.parts[0] == "models"} <= {".pt", ".json", ".ts", ".md"}


def test_no_tracked_file_is_large() -> None:
    assert [str(path) for path in tracked() if (ROOT / path).stat().st_size > MAX_FILE_BYTES] == []


@pytest.mark.parametrize("what", FORBIDDEN)
def test_tracked_text_is_free_of(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path in tracked() if path.suffix in TEXT}
    assert [f"{path}: {hit[0]}" for path, text in texts.items() for hit in pattern.finditer(text)] == []


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("a machine's own path", "open('/home" + "/me/x')"),
        ("an unfinished mark", "# TO" + "DO later"),
        ("a package registry's address", "https://pypi" + ".org/simple"),
    ],
)
def test_forbidden_patterns_match_what_they_name(what: str, text: str) -> None:
    assert re.search(FORBIDDEN[what], text)


def test_modules_stay_short() -> None:
    lines = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in library()}
    assert {str(path): count for path, count in lines.items() if count > MAX_FILE_LINES} == {}


def test_functions_stay_short_and_take_few_positional_arguments() -> None:
    long, wide = {}, {}
    for path in library():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                name = f"{path.relative_to(ROOT)}:{node.name}"
                long[name] = code_lines(node)
                wide[name] = len([a for a in (*node.args.posonlyargs, *node.args.args) if a.arg not in {"self", "cls"}])
    assert {name: count for name, count in long.items() if count > MAX_FUNCTION_LINES} == {}
    mirrors_torch = {name for name in wide if re.search(r"layers/conv\w*\.py:__init__$", name)}
    assert {name: count for name, count in wide.items() if count > MAX_POSITIONAL and name not in mirrors_torch} == {}


def code_lines(function: ast.FunctionDef) -> int:
    """Lines of a function without its docstring."""
    last = function.end_lineno or function.lineno
    if ast.get_docstring(function) is None:
        return last - function.lineno + 1
    docstring = function.body[0]
    return last - function.lineno - ((docstring.end_lineno or 0) - docstring.lineno)


def test_code_lines_leave_the_docstring_out() -> None:
    function = ast.parse('def f(\n    a,\n):\n    """One.\n\n    Two.\n    """\n    return a').body[0]
    assert isinstance(function, ast.FunctionDef)
    assert code_lines(function) == 4


def test_relative_links_in_the_documents_lead_somewhere() -> None:
    broken = []
    for path in (path for path in tracked() if path.suffix == ".md"):
        for target in re.findall(r"\]\(([^)#\s]+)", (ROOT / path).read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith("mailto:") and not (ROOT / path.parent / target).exists():
                broken.append(f"{path}: {target}")
    assert broken == []


@pytest.mark.parametrize("name", ["README.md", "docs/README.md"])
def test_documents_say_how_the_commands_find_monai_and_fire(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "source .venv/bin/activate" in text
    assert re.findall(r"pip install '\.\[(\w+)\]'", text) == re.findall(r"^(train) = \[.*fire", project, re.MULTILINE)


def test_ci_runs_the_targets_a_developer_runs() -> None:
    script = ROOT / ".ci" / "run"
    if not (ROOT / ".git").exists() and not script.exists():
        pytest.skip("an archive of the bundle holds no hidden files, and so no .ci/run")
    assert os.access(script, os.X_OK)
    called = re.findall(r"^make .*?([\w-]+)$", script.read_text(encoding="utf-8"), re.MULTILINE)
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert called == ["lint", "test", "test-cuda"]
    assert set(called) <= set(targets)


@pytest.mark.parametrize(
    "target", ["install", "native", "demo", "test", "test-all", "test-cuda", "sanitize", "lint", "format"]
)
def test_target_sets_itself_up(target: str) -> None:
    """Every target that needs the environment depends on its stamp, so that it works on a fresh clone."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}: \$\(STAMP\)", makefile, re.MULTILINE)
    builds = re.search(rf"^{target}: \$\(STAMP\) \$\(NATIVE\)", makefile, re.MULTILINE)
    assert bool(builds) == (target in {"install", "demo", "test", "test-all", "test-cuda"})


def test_every_installation_asks_the_index_that_the_user_names() -> None:
    """The version alone does not choose between the CPU and the CUDA build of torch; the index does."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    installations = re.findall(r"^\t.*\$\(PIP\) install .*", makefile, re.MULTILINE)
    assert len(installations) == 2
    assert all("$(PIP_INDEX_ARGS)" in line for line in installations)


def _source_tree(folder: Path) -> Path:
    """Copy what an installation reads, without anything built."""
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so")
    shutil.copytree(ROOT / "bundle", folder / "bundle", ignore=ignore)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def _make_wheel(source: Path, env: dict[str, str]) -> Path:
    """Build as ``pip install .`` builds, but without isolation and without network."""
    wheels = source / "wheels"
    options = ("--no-deps", "--no-build-isolation", "--no-index", "-w", wheels)
    run_python("-m", "pip", "wheel", ".", *options, cwd=source, env=env)
    (wheel,) = wheels.glob("*.whl")
    return wheel


def _unpack(wheel: Path, site: Path) -> set[Path]:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        return {Path(name) for name in archive.namelist()}


def test_wheel_holds_exactly_the_package_and_nothing_stale(tmp_path: Path) -> None:
    source = _source_tree(tmp_path / "source")
    for stale in (source / "bundle", source / "build" / "lib"):
        for name in ("_native.so", "csrc/cpu/removed.cpp"):
            (stale / "cardiac4d" / "ops" / name).parent.mkdir(parents=True, exist_ok=True)
            (stale / "cardiac4d" / "ops" / name).write_text("left by an earlier build\n")
    (source / "bundle" / "cardiac4d" / "ops" / "csrc" / "cpu" / "removed.cpp").unlink()
    wheel = _make_wheel(source, {"CARDIAC4D_BUILD": "", "CXX": "no-such-compiler"})

    assert wheel.name == f"cardiac4d-{cardiac4d.__version__}-py3-none-any.whl"
    names = _unpack(wheel, tmp_path / "site")
    assert {path.parts[0] for path in names} == {"cardiac4d", f"cardiac4d-{cardiac4d.__version__}.dist-info"}
    code = {path.relative_to(ROOT / "bundle") for end in ("py", "h", "cpp") for path in ROOT.glob(f"bundle/**/*.{end}")}
    assert {path for path in names if path.suffix in {".py", ".h", ".cpp", ".so"}} == code
    assert Path("cardiac4d/py.typed") in names
    origin = run_python("-c", "import cardiac4d; print(cardiac4d.__file__)", cwd=tmp_path / "site")
    assert Path(origin.strip()).is_relative_to(tmp_path / "site")


@pytest.mark.slow
@needs_compiler
def test_wheel_with_the_native_library_fits_any_python_and_runs(tmp_path: Path) -> None:
    wheel = _make_wheel(_source_tree(tmp_path / "source"), {"CARDIAC4D_BUILD": "1", "CXX": "g++"})
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert wheel.name == f"cardiac4d-{cardiac4d.__version__}-py3-none-{platform}.whl"
    assert Path("cardiac4d/ops/_native.so") in _unpack(wheel, tmp_path / "site")
    code = "import torch; from cardiac4d.ops import *; print(conv4d(*2 * [torch.ones(1, 1, 3, 3, 3, 3)]).item())"
    site = {"CARDIAC4D_BACKEND": "native", "PYTHONPATH": str(tmp_path / "site")}
    assert run_python("-c", code, cwd=tmp_path / "site", env=site) == "81.0\n"


def test_demanded_build_that_fails_is_an_error(tmp_path: Path) -> None:
    source = _source_tree(tmp_path / "source")
    with pytest.raises(AssertionError, match="the C\\+\\+ compiler no-such-compiler was not found"):
        _make_wheel(source, {"CARDIAC4D_BUILD": "1", "CXX": "no-such-compiler"})
