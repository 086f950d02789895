# SPDX-License-Identifier: Apache-2.0
"""Text never becomes markup."""

from __future__ import annotations

import json
import re

import pytest

from cardiac4d.report.html import Html, element, joined, json_block, table

EVIL = "</script><img src=x onerror=alert(1)>\"'&"


def test_text_and_attributes_are_escaped() -> None:
    made = element("p", EVIL, element("i", EVIL), title=EVIL)
    assert made.count("<") == 4  # <p>, <i>, </i>, </p>
    assert 'title="&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&quot;&#x27;&amp;"' in made


def test_what_was_built_is_kept_and_nothing_is_left_out() -> None:
    assert joined(element("b", "x"), None, "<") == "<b>x</b>&lt;"
    assert element("input", type="range", checked=True, disabled=False, aria_label="a") == (
        '<input type="range" checked aria-label="a">'
    )
    assert isinstance(element("b"), Html)


def test_table_names_its_rows_and_columns() -> None:
    made = table(["Frame", "mL"], [["0", "<1"]], caption="c")
    assert '<th scope="col">mL</th>' in made
    assert '<th scope="row">0</th><td>&lt;1</td>' in made


def test_data_cannot_leave_its_block() -> None:
    block = json_block({"id": EVIL}, "d")
    text = re.fullmatch(r'<script type="application/json" id="d">(.*)</script>', block)[1]
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"id": EVIL}
    with pytest.raises(ValueError, match="JSON"):
        json_block(float("nan"), "d")
