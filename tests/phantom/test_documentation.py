# SPDX-License-Identifier: Apache-2.0
"""docs/phantom.md: its example runs, its preset table and its picture are up to date."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from cardiac4d.phantom import PRESETS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "phantom.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_example_prints_what_the_page_says() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    examples = doctest.DocTestParser().get_doctest(block, {}, PAGE.name, str(PAGE), 0)
    report: list[str] = []
    assert doctest.DocTestRunner().run(examples, out=report.append).failed == 0, "".join(report)


@pytest.mark.parametrize("name", PRESETS)
def test_preset_table_states_the_presets(name: str) -> None:
    preset = PRESETS[name]
    (row,) = (line for line in TEXT.splitlines() if line.startswith(f"| `{name}` |"))
    assert f"| {preset.num_training} / {preset.num_validation} / " in row
    assert f"{preset.num_labeled_frames} of {preset.num_sequences * preset.num_frames}" in row
    assert f"{preset.pixel_mm[0]}-{preset.pixel_mm[1]}" in row
    assert f"{preset.matrix} x {preset.matrix} x" in row


def test_picture_is_there_and_small() -> None:
    picture = PAGE.parent / re.findall(r"!\[.*?\]\((.*?)\)", TEXT)[0]
    assert picture.stat().st_size < 600_000
