# SPDX-License-Identifier: Apache-2.0
"""Who may import whom, read from the syntax trees, and what a bare import of the package costs."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.process import run_python

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "bundle" / "cardiac4d"
SCRIPTS = ROOT / "scripts"

COMMON = {"conventions", "errors", "geometry"}
VERSION = "__version__"
"""Of the root ``__init__``; DICOM files say by which version they were made."""
LAYERS: dict[str, set[str]] = {
    "conventions": set(),
    "errors": set(),
    "geometry": {"conventions", "errors"},
    "ct_noise": set(),
    "ops": {VERSION},
    "layers": COMMON | {"ops"},
    "networks": COMMON | {"layers"},
    "losses": COMMON | {"ops"},
    "measure": COMMON,
    "metrics": COMMON | {"measure"},
    "io": COMMON | {VERSION},
    "transforms": COMMON | {"io", "ct_noise"},
    "phantom": COMMON | {"io", "ct_noise"},
    "report": COMMON | {"measure", "metrics", "io"},
}
LAYERS["workflows"] = {*LAYERS, "__init__", VERSION}
LAYERS["command_line"] = {"errors"}
LAYERS["__init__"] = {"layers", "ops", "networks", "losses"}
"""Which other layers a layer may import; the names of the root ``__init__`` load lazily, and it holds the version."""

CORE = {"torch", "numpy"}
SCIENTIFIC = CORE | {"monai", "scipy", "tqdm"}
THIRD_PARTY: dict[str, set[str]] = {
    **dict.fromkeys(LAYERS, SCIENTIFIC),
    **dict.fromkeys(("conventions", "errors", "geometry", "ops"), CORE),
    "__init__": set(),
    "io": SCIENTIFIC | {"nibabel", "pydicom", "highdicom", "itk", "nrrd"},
    "report": SCIENTIFIC | {"matplotlib", "contourpy"},
    "workflows": SCIENTIFIC | {"ignite"},
    "command_line": {"fire"},
    "scripts": SCIENTIFIC,
}
"""MONAI not below the layers, Ignite only in workflows, file formats only in io, matplotlib only in report, fire only
in command_line."""

SCRIPTS_OWN = {"scripts", "conv4d_benchmark"}
"""What scripts may share: the packages in their folder, and ``scripts``, which relative imports start from."""

PROGRAMS = {"ops/__main__.py", "ops/build.py"}
"""The only modules of the package that may be run."""
INDIRECT = {"import_module", "optional_import", "__import__"}


def imported_modules(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Yield (absolute dotted name, number of leading dots) of every import in a module, wherever it stands.

    Args:
        tree: the parsed module.
        package: the dotted package that the module is in, which relative imports start from.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((f"{stem}.{alias.name}", node.level) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in INDIRECT and not str(node.args[0].value).startswith("."):
                yield str(node.args[0].value), 0


def breaches(source: str, path: str) -> list[str]:
    """Return every breach of the import rules in the source of ``cardiac4d/<path>`` or ``scripts/<path>``."""
    scripts = path.startswith("scripts/")
    layer = path.split("/")[0].removesuffix(".py")
    package = tuple(path.split("/")[:-1]) if scripts else ("cardiac4d", *path.split("/")[:-1])
    found = []
    for name, dots in imported_modules(ast.parse(source), package):
        top, *rest = name.split(".")
        if dots > 2 + (len(package) > 2 and rest[:1] != [] and rest[0] in COMMON | {VERSION}):
            found.append(f"{path}: {dots} leading dots before {name}")
        if top == "cardiac4d":
            found += _internal_breach(path, layer, rest, dots)
        elif top not in sys.stdlib_module_names and top not in THIRD_PARTY[layer] | (SCRIPTS_OWN if scripts else set()):
            found.append(f"{path}: {layer} must not import {top}")
    return found


def _internal_breach(path: str, layer: str, parts: list[str], dots: int) -> list[str]:
    """Check one import of the package itself; ``parts`` follow ``cardiac4d``."""
    target = parts[0] if parts and parts[0] in {*LAYERS, VERSION} else "__init__"
    if layer == "scripts":
        module = PACKAGE.joinpath(*parts[:2]).with_suffix(".py")
        deep = len(parts) > 1 and target != "workflows" and module.is_file()
        return [f"{path}: scripts take public names, not the module {'.'.join(parts)}"] if deep else []
    if not dots and path != "__init__.py":
        return [f"{path}: write the import of cardiac4d.{'.'.join(parts)} relative"]
    if target != layer and target not in LAYERS[layer]:
        return [f"{path}: {layer} must not import {target}"]
    return []


def python_files() -> list[tuple[str, Path]]:
    files = [(str(path.relative_to(PACKAGE)), path) for path in sorted(PACKAGE.rglob("*.py"))]
    return files + [(f"scripts/{path.relative_to(SCRIPTS)}", path) for path in sorted(SCRIPTS.rglob("*.py"))]


@pytest.mark.parametrize(("name", "path"), [pytest.param(*file, id=file[0]) for file in python_files()])
def test_module_obeys_the_layer_rules(name: str, path: Path) -> None:
    assert breaches(path.read_text(encoding="utf-8"), name) == []


def test_modules_start_with_their_licence_and_a_docstring() -> None:
    for name, path in python_files():
        source = path.read_text(encoding="utf-8")
        assert source.startswith("# SPDX-License-Identifier: Apache-2.0\n"), name
        assert ast.get_docstring(ast.parse(source)), f"{name} has no module docstring"


def test_package_modules_are_not_programs() -> None:
    programs = {name for name, path in python_files() if "__main__" in path.read_text(encoding="utf-8")}
    assert {name for name in programs if not name.startswith("scripts/")} <= PROGRAMS


def test_every_layer_of_the_package_is_named_in_the_rules() -> None:
    present = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert present <= set(LAYERS)


def test_bundle_and_scripts_are_folders_and_not_packages() -> None:
    assert not (PACKAGE.parent / "__init__.py").exists()
    assert not (SCRIPTS / "__init__.py").exists()


@pytest.mark.parametrize(
    ("path", "source", "message"),
    [
        ("ops/functional.py", "import monai", "ops must not import monai"),
        ("geometry.py", "def f():\n    from scipy import ndimage", "geometry must not import scipy"),
        ("geometry/time.py", "from ..io import read", "geometry must not import io"),
        ("layers/conv.py", "from ..networks import EncoderDecoder", "layers must not import networks"),
        ("layers/conv.py", "from .. import networks", "layers must not import networks"),
        ("ops/functional.py", "from .. import conv4d", "ops must not import __init__"),
        ("metrics/dice.py", "from .. import __version__", "metrics must not import __version__"),
        ("metrics/dice.py", "from ignite.metrics import Metric", "metrics must not import ignite"),
        ("losses/dice.py", "import nibabel as nib", "losses must not import nibabel"),
        ("io/nifti.py", "from monai.utils import optional_import\noptional_import('fire')", "io must not import fire"),
        ("io/a/b.py", "from ...io.labels import f", "3 leading dots"),
        ("metrics/dice.py", "from cardiac4d.measure import volumes", "relative"),
        ("__init__.py", "import torch", "__init__ must not import torch"),
        ("scripts/train.py", "from cardiac4d.measure.volumes import volumes_ml", "scripts take public names"),
        ("scripts/train.py", "import ignite", "scripts must not import ignite"),
        ("ops/functional.py", "import conv4d_benchmark", "ops must not import conv4d_benchmark"),
    ],
)
def test_rules_catch_a_breach(path: str, source: str, message: str) -> None:
    found = breaches(source, path)
    assert len(found) == 1
    assert message in found[0]


def test_rules_admit_what_the_design_allows() -> None:
    source = "import os\nimport nibabel\nfrom ..conventions import LV\nfrom ..geometry import f\nfrom .lists import g"
    assert breaches(source, "io/nifti.py") == []
    assert breaches("from ...geometry import f\nfrom ..source import g", "io/dicom/b.py") == []
    assert breaches("from ... import __version__", "io/dicom/b.py") == []
    assert breaches("from conv4d_benchmark.plan import Plan", "scripts/benchmark_conv4d.py") == []
    assert breaches("from .plan import Plan", "scripts/conv4d_benchmark/run.py") == []


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import cardiac4d", ("torch", "numpy", "monai")),
        (
            "from cardiac4d import conv4d, Conv4d",
            ("monai", "nibabel", "scipy", "ignite", "matplotlib", "fire", "torch._dynamo"),
        ),
    ],
)
def test_public_names_need_no_more_than_they_say(statement: str, absent: tuple[str, ...]) -> None:
    code = f"{statement}; import sys; print(sorted(set({absent!r}) & set(sys.modules)))"
    assert run_python("-c", code, cwd=ROOT / "bundle") == "[]\n"
