# SPDX-License-Identifier: Apache-2.0
"""docs/conv4d.md: its example runs, and the signatures it prints are the real ones."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from cardiac4d import Conv4d
from cardiac4d.ops import conv4d, conv4d_input, conv4d_weight


def _document(repo_root: Path) -> str:
    return (repo_root / "docs" / "conv4d.md").read_text(encoding="utf-8")


def test_example_runs(repo_root: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", _document(repo_root), re.DOTALL)
    exec(compile(example, "docs/conv4d.md", "exec"), {})


def test_signatures_are_the_real_ones(repo_root: Path) -> None:
    text = " ".join(_document(repo_root).split())
    for function in (conv4d, conv4d_input, conv4d_weight, Conv4d):
        parameters = inspect.signature(function).parameters.values()
        bare = [parameter.replace(annotation=parameter.empty) for parameter in parameters]
        signature = str(inspect.Signature(bare)).replace("'", '"')
        assert f"{function.__name__}{signature}" in text
