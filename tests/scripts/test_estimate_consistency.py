# SPDX-License-Identifier: Apache-2.0
"""The command line that estimates the thresholds of temporal consistency."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from cardiac4d.metrics import consistency
from cardiac4d.workflows import consistency_table

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "estimate_consistency.py"


def test_script_writes_the_shipped_table_with_the_hearts_it_is_from(tmp_path: Path, monkeypatch) -> None:
    def stand_in(num_hearts: dict[str, int], seed: int) -> dict[str, object]:
        return {"num_hearts": num_hearts, "seed": seed}

    monkeypatch.setattr(consistency_table, "estimate_consistency", stand_in)
    script = runpy.run_path(str(SCRIPT))
    path = tmp_path / "table.json"
    assert script["estimate"](path=str(path)) == f"table: {path}"
    provenance = consistency.consistency_table()["provenance"]
    assert json.loads(path.read_text()) == {name: provenance[name] for name in ("num_hearts", "seed")}
    assert script["TABLE"] == Path(consistency.__file__).with_name("consistency.json")
    with pytest.raises(TypeError):
        script["estimate"](hearts=3)
