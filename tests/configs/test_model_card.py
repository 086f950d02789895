# SPDX-License-Identifier: Apache-2.0
"""``docs/README.md``, the page that hubs show, against the configs it speaks of."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CARD = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")


def config(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "configs" / f"{name}.json").read_text(encoding="utf-8"))


def literals(content: dict[str, Any]) -> dict[str, Any]:
    """The ids that hold a plain value: no component, no expression, no reference, no step of the program."""
    steps = {"imports", "initialize", "run", "finalize"}
    return {
        name: value
        for name, value in content.items()
        if name not in steps and not isinstance(value, dict) and not str(value).startswith(("$", "@"))
    }


def defaults(index: int) -> dict[str, Any]:
    """Id and default in one column of the table; ``-`` says that the config has no such id."""
    found = re.findall(r"^\| `(\w+)` \| (`.+?`|-) \| (`.+?`|-) \| .+ \|$", CARD, re.MULTILINE)
    return {name: json.loads(values[index].strip("`")) for name, *values in found if values[index] != "-"}


@pytest.mark.parametrize(("index", "name"), [(0, "train"), (1, "train_3d")])
def test_table_lists_every_hyper_parameter_and_its_default(index: int, name: str) -> None:
    assert defaults(index) == literals(config(name))


def test_sections_are_those_of_the_zoo() -> None:
    wanted = ["Model Overview", "Data", "Training configuration", "Performance", "MONAI Bundle Commands"]
    headings = re.findall(r"^#+ (.+)$", CARD, re.MULTILINE)
    assert [heading for heading in headings if heading in wanted] == wanted
    assert {"Limitations", "References", "License"} <= set(headings)


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", CARD, re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]


@pytest.mark.parametrize("command", commands())
def test_command_names_configs_and_sections_that_exist(command: str) -> None:
    words = shlex.split(command)
    files = re.findall(r"configs/\w+\.json", command)
    assert files
    contents = [json.loads((ROOT / name).read_text(encoding="utf-8")) for name in files]
    known = {key for content in contents for key in content}
    entry = words[words.index("monai.bundle") + 2] if "verify_metadata" not in words else None
    assert entry is None or entry in known
    given = {word[2:].partition("::")[0] for word in words[words.index("monai.bundle") :] if word.startswith("--")}
    options = {"config_file", "meta_file", "filepath", "ckpt_file"}
    assert given - options <= known


def test_statement_of_use_is_that_of_the_metadata() -> None:
    assert "Research only" in CARD
    assert config("metadata")["intended_use"].startswith("Research only")


def test_data_list_in_the_card_is_valid_json() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", CARD, re.DOTALL)
    document = json.loads(block)
    assert set(document) == {"training", "validation", "test"}
    assert document["training"][0]["labeled_frames"] == [0, 7]
