# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/measures.md print what the page says; its tables agree with code and tests."""

from __future__ import annotations

import ast
import doctest
import re
from pathlib import Path

from tests.helpers.tolerances import MEASURES

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "measures.md").read_text(encoding="utf-8")


def test_examples_print_what_the_page_says() -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL))
    examples = doctest.DocTestParser().get_doctest(code, {}, "measures.md", None, 0)
    assert len(examples.examples) > 10
    report: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(examples, out=report.append)
    assert result.failed == 0, "".join(report)


def test_tolerances_are_those_of_the_tests() -> None:
    rows = re.findall(r"^\| ([\d.]+) [^|]*\| `(\w+)` \|", TEXT, flags=re.MULTILINE)
    assert {key: float(number) for number, key in rows} == MEASURES


def test_every_flag_is_in_the_table_with_its_severity() -> None:
    described = set(re.findall(r"^\| `(\w+)` \| (info|warning|error) \|", TEXT, flags=re.MULTILINE))
    raised = set()
    for name in ("flags", "shape_flags", "study"):
        tree = ast.parse((ROOT / f"bundle/cardiac4d/measure/{name}.py").read_text(encoding="utf-8"))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            function, first = getattr(call.func, "id", ""), [getattr(a, "value", None) for a in call.args[:2]]
            if function == "Flag" and isinstance(first[0], str):
                raised.add((first[0], first[1]))
            elif function == "implausible_value":
                raised.add((first[0], "warning"))
    assert raised == described
