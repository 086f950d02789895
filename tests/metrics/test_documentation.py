# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/losses_and_metrics.md run and print what the page says; its config is valid."""

from __future__ import annotations

import doctest
import inspect
import json
import re
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from cardiac4d.losses import SparseDiceLoss, SparseSequenceLoss, TemporalSmoothnessLoss
from cardiac4d.metrics import evaluate_case

PAGE = Path(__file__).resolve().parents[2] / "docs" / "losses_and_metrics.md"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


def test_examples_print_what_the_page_says() -> None:
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks("python")), {}, PAGE.name, str(PAGE), 0)
    assert len(examples.examples) > 20
    report: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(examples, out=report.append)
    assert result.failed == 0, "".join(report)


def test_config_example_builds_the_default_loss() -> None:
    (config,) = (json.loads(f"{{{block}}}") for block in blocks("json"))
    loss = ConfigParser(config).get_parsed_content("loss")
    assert isinstance(loss, SparseSequenceLoss)
    assert (loss.weight, loss.smoothness.norm) == (1.0, "squared_l2")


@pytest.mark.parametrize("loss", [SparseDiceLoss, TemporalSmoothnessLoss])
def test_every_reconstructed_choice_is_in_the_table(loss: type) -> None:
    table = TEXT.split("### What is reconstructed")[1].split("### ")[0]
    for name in inspect.signature(loss).parameters:
        assert re.search(rf"\b{name}\b", table), name


def test_every_column_of_a_row_is_in_the_table(pred, affine) -> None:
    table = TEXT.split("| Columns | Meaning |")[1]
    for name in evaluate_case("a", pred, affine=affine):
        assert f"`{name}`" in table, name
