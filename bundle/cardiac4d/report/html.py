# SPDX-License-Identifier: Apache-2.0
"""HTML and SVG built from parts, in which every text is escaped unless it was built here."""

from __future__ import annotations

import json
from html import escape
from typing import Any

VOID = {"meta", "input", "img", "br", "link"}


class Html(str):
    """Text that is markup already; any other text is escaped."""

    __slots__ = ()


def element(tag: str, *content: str | Html | None, **attributes: Any) -> Html:
    """An element with its content.

    Args:
        tag: its name.
        content: children in order; plain text is escaped, ``None`` left out.
        attributes: ``class_`` for ``class``, ``aria_label`` for ``aria-label``; ``True`` gives a bare attribute,
            ``None`` and ``False`` none.

    Example:
        >>> element("p", "1 < 2", element("b", "bold"), class_="note", hidden=True)
        '<p class="note" hidden>1 &lt; 2<b>bold</b></p>'
    """
    opened = f"<{tag}{''.join(_attribute(name, value) for name, value in attributes.items())}>"
    if tag in VOID:
        return Html(opened)
    return Html(f"{opened}{joined(*content)}</{tag}>")


def joined(*content: str | Html | None) -> Html:
    """Parts one after the other; plain text is escaped."""
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in content if part is not None))


def _attribute(name: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    name = name.removesuffix("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value), quote=True)}"'


def table(head: list[str], rows: list[list[str]], *, caption: str, class_: str | None = None) -> Html:
    """A table whose first column names its rows."""
    cells = element("tr", *(element("th", name, scope="col") for name in head))
    body = [
        element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:])) for row in rows
    ]
    return element(
        "table",
        element("caption", caption),
        element("thead", cells),
        element("tbody", *body),
        class_=class_,
    )


def json_block(value: Any, id_: str) -> Html:
    """Data for a script of the page; nothing in it can close the block or be run.

    Raises:
        ValueError: if the value holds NaN or infinity, which JSON does not know.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Html(f'<script type="application/json" id="{id_}">{text}</script>')
