# SPDX-License-Identifier: Apache-2.0
"""Configs are code: what ours may run is short, local and named here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FILES = sorted(path for path in CONFIGS.glob("*.json") if path.name != "metadata.json")
CODE_PATH = (
    "$[sys.path.insert(at, p) for at, p in [(0, @bundle_root + '/bundle')] + "
    "[(sys.maxsize, (p or '.') + '/bundle') for p in sys.path] if isdir(p) and p not in sys.path]"
)
"""The one long line: it finds the package wherever a loader has put the bundle."""

MAX_EXPRESSION = 60
IMPORTS = {"$import sys", "$from os.path import isdir"}
FORBIDDEN_IN_EXPRESSIONS = re.compile(
    r"__|\b(?:exec|eval|open|compile|getattr|setattr|globals|locals|system|popen|subprocess|shutil|socket|urllib|"
    r"requests|https?|pickle|ctypes|importlib)\b"
)
OTHER_DISK = re.compile(r"^(?:/|~|[A-Za-z]:[\\/])|/(?:home|root|Users|workspace|mnt)/")
TARGET = re.compile(r"^(?:cardiac4d\.|torch\.optim\.|monai\.utils\.set_determinism$|[A-Z]\w*$)")
"""Our own names, optimisers, the seed, and MONAI's classes, which need no module."""


def entries(content: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (id, value) of every leaf of a config."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from entries(value, f"{name}::{key}".removeprefix("::"))
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from entries(value, f"{name}::{index}")
    else:
        yield name, content


def flaws(content: Any) -> list[str]:
    """Return what is wrong with a config, one line each."""
    return [
        f"{name}: {flaw}" for name, value in entries(content) if isinstance(value, str) for flaw in _flaws(name, value)
    ]


def _flaws(name: str, value: str) -> Iterator[str]:
    if name == "code_path":
        if value != CODE_PATH:
            yield "not the agreed line"
    elif name.startswith("imports::"):
        if value not in IMPORTS:
            yield f"imports {value}"
    elif name.endswith("_target_"):
        if not TARGET.match(value):
            yield f"calls {value}"
    elif value.startswith("$"):
        yield from _expression_flaws(value)
    if OTHER_DISK.search(value):
        yield f"absolute path {value}"
    if re.search(r"@[\w:#]*[:#]\d", value):
        yield f"position in a list {value}"


def _expression_flaws(value: str) -> Iterator[str]:
    if len(value) - 1 > MAX_EXPRESSION:  # without the $
        yield f"{len(value) - 1} characters of Python"
    if FORBIDDEN_IN_EXPRESSIONS.search(value):
        yield f"forbidden name in {value}"
    if "@" in value and "import" in value:
        yield "MONAI 1.6.1 cannot parse 'import' beside a reference"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_config_runs_only_what_is_agreed(path: Path) -> None:
    assert flaws(json.loads(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_whoever_needs_the_package_asks_for_its_path_first(path: Path) -> None:
    def walk(node: Any) -> Iterator[dict[str, Any]]:
        if isinstance(node, dict):
            yield node
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from walk(child)

    ours = [node for node in walk(json.loads(path.read_text())) if str(node.get("_target_")).startswith("cardiac4d.")]
    assert [node["_target_"] for node in ours if node.get("_requires_") not in {"@code_path", "@process_group"}] == []


@pytest.mark.parametrize(
    ("content", "flaw"),
    [
        ({"a": "$__builtins__"}, "a: forbidden name"),
        ({"a": ["$open('x')"]}, "a::0: forbidden name"),
        ({"a": {"b": "$os.system('ls')"}}, "a::b: forbidden name"),
        ({"a": "$" + "1 + " * 20 + "1"}, "characters of Python"),
        ({"a": "$@b + '/important'"}, "cannot parse"),
        ({"a": "/data/phantom"}, "absolute path"),
        ({"a": "$@b + '/" + "home/me'"}, "absolute path"),
        ({"a": "@handlers::0"}, "position in a list"),
        ({"_target_": "os.system"}, "calls os.system"),
        ({"_target_": "torch.load"}, "calls torch.load"),
        ({"imports": ["$import os"]}, "imports $import os"),
        ({"code_path": "$sys.path"}, "not the agreed line"),
    ],
)
def test_each_rule_catches_its_breach(content: dict[str, Any], flaw: str) -> None:
    found = flaws(content)
    assert len(found) == 1
    assert flaw in found[0]
