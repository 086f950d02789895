# SPDX-License-Identifier: Apache-2.0
"""The archive that model hubs serve: ``cardiac4d.zip`` holding ``cardiac4d/``, the same bytes from the same files."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from ..io.whole_file import whole_file
from ..io.writer import refuse_existing

NAME = "cardiac4d"
REQUIRED = ("LICENSE", "configs/metadata.json", "configs/inference.json", "docs/README.md", "models/model.pt")
FOLDERS = ("bundle", "configs", "docs", "scripts", "tests")
FILES = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "constraints.txt",
    "models/model.json",
    "models/model.pt",
    "pyproject.toml",
    "setup.py",
)
"""Single files. Of ``models/`` only what is shipped: exports and weights of one's own training may lie beside it."""
LEFT_OUT = {"__pycache__", "build"}
BUILT = {".pyc", ".pyd", ".so"}
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can hold: file times are no part of the content."""


def pack_hub_zip(bundle_root: str | Path, output_dir: str | Path, *, overwrite: bool = False) -> Path:
    """Write the bundle as ``<output_dir>/cardiac4d.zip``, whole or not at all.

    MONAI finds the metadata in a folder named like the archive, so neither may be renamed. Holds what runs the bundle
    (code, configs, weights, documents, licence) and what its README names (``pip install``, ``make demo``,
    ``make test``), but no caches, compiled or hidden files.

    Args:
        bundle_root: folder that holds ``configs/``.
        output_dir: receives the archive; made if needed.
        overwrite: replace an archive that is there.

    Returns:
        The archive.

    Raises:
        InputError: if a file that hubs ask for is missing, or the archive is there already.
    """
    root, archive = Path(bundle_root), Path(output_dir) / f"{NAME}.zip"
    for name in REQUIRED:
        if not (root / name).is_file():
            raise InputError(root, f"not a whole bundle, {name} is missing", "add the file, or name the bundle root")
    refuse_existing(archive, overwrite=overwrite)
    with whole_file(archive) as partial, zipfile.ZipFile(partial, "w") as packed:
        for path in hub_files(root):
            _add(packed, path, f"{NAME}/{path.relative_to(root).as_posix()}")
    return archive


def hub_files(root: Path) -> Iterator[Path]:
    """Yield the files of a bundle that belong into its archive, in a fixed order.

    Args:
        root: the bundle root.
    """
    candidates = [root / name for name in FILES]
    candidates += [path for folder in FOLDERS for path in (root / folder).rglob("*")]
    for path in sorted(candidates, key=lambda path: path.relative_to(root).as_posix()):
        parts = path.relative_to(root).parts
        unwanted = any(part.startswith(".") or part in LEFT_OUT or part.endswith(".egg-info") for part in parts)
        if path.is_file() and not unwanted and path.suffix not in BUILT:
            yield path


def _add(packed: zipfile.ZipFile, path: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name, _TIMESTAMP)
    entry.create_system = 3  # Unix, wherever it was packed
    entry.external_attr = 0o100644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    packed.writestr(entry, path.read_bytes())
