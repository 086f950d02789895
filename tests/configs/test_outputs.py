# SPDX-License-Identifier: Apache-2.0
"""The list of outputs in the configs reaches what writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser
from monai.transforms import Compose

from cardiac4d.transforms import SaveProbabilitiesd, SaveSequenced


@pytest.mark.parametrize("name", ["inference", "evaluate"])
@pytest.mark.parametrize(
    ("outputs", "formats", "has_probabilities"),
    [
        (None, ["nifti"], False),
        (["seq.nrrd", "nifti"], ["seq.nrrd", "nifti"], False),
        (["probabilities"], [], True),
    ],
)
def test_outputs_choose_what_is_written(
    repo_root: Path, name: str, outputs: list[str] | None, formats: list[str], has_probabilities: bool
) -> None:
    parser = ConfigParser()
    parser.read_config(str(repo_root / f"configs/{name}.json"))
    parser["bundle_root"] = str(repo_root)
    if outputs is not None:
        parser["outputs"] = outputs
    steps: Any = parser.get_parsed_content("postprocessing")
    assert isinstance(steps, Compose)
    assert [step.saver.formats for step in steps.transforms if isinstance(step, SaveSequenced)] == [formats]
    before_argmax = [type(step) for step in steps.transforms].index(SaveProbabilitiesd) if has_probabilities else None
    assert before_argmax == (0 if has_probabilities else None)
    assert sum(isinstance(step, SaveProbabilitiesd) for step in steps.transforms) == has_probabilities
