# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from pathlib import Path

from tests.helpers.process import run_python


def test_benchmark_prints_a_row_per_layer(repo_root: Path) -> None:
    script = str(repo_root / "scripts" / "benchmark_conv4d.py")
    out = run_python(script, "--size", "(8,8,4,4)", "--repeats", "1", "--threads", "1", cwd=repo_root / "bundle")
    assert len(re.findall(r"^\| (?:first|level \d), \d+ -> \d+ (?:\| \d+\.\d ){6}\|$", out, re.MULTILINE)) == 4
