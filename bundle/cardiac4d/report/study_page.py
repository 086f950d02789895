# SPDX-License-Identifier: Apache-2.0
"""The page of one study: a single HTML file that opens from disk, without server and without network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .beating_views import BeatingViews
from .curve_svg import cursor_positions
from .heart_section import heart_section
from .html import Html, element, joined, json_block
from .numbers import check_document, look_up
from .reference_section import reference_section
from .study_sections import disclaimer, flags_section, numbers_section, provenance_section, volumes_section
from .wall_section import wall_section

PAGE_DIR: Final = Path(__file__).parent / "page"
LIMIT_BYTES: Final = 15_000_000
"""A page is smaller than this."""


def study_page(document: Mapping[str, Any], views: BeatingViews, *, sex: str | None = None) -> str:
    """Compose the page.

    Holds the measures, the pictures of every frame and nothing else of the study: no header of the input, no path, no
    identity beyond the case id. Text is escaped, and the page forbids itself any script but its own and any network.

    Args:
        document: the measures of the study.
        views: its pictures, from :func:`~.beating_views.beating_views`.
        sex: ``"female"`` or ``"male"``: compare with the reference ranges of that sex; ``None`` shows both.

    Raises:
        ValueError: if ``document`` is none of measures, or ``sex`` is something else.
    """
    check_document(document)
    case_id = str(document["case_id"])
    body = [
        element(
            "header",
            element("h1", f"Left ventricle of {case_id}"),
            element("p", f"4D cardiac image, {document['time']['num_frames']} frames", class_="meta"),
            disclaimer(),
        ),
        element(
            "main",
            flags_section(document),
            numbers_section(document, sex),
            heart_section(document, views),
            reference_section(document),
            element("div", volumes_section(document), wall_section(document), class_="pair"),
            provenance_section(document, views),
        ),
        element("footer", element("p", "cardiac4d study report. Research use only.", class_="meta")),
        json_block(_page_data(document, views), "report-data"),
    ]
    return html_document(f"{case_id}: left ventricle", joined(*body), script="study.js")


def html_document(title: str, body: Html, *, script: str) -> str:
    """A whole page around a body, with the styles and one script of this package, allowed by their checksums.

    Args:
        title: of the page.
        body: its content.
        script: file name in ``page/``.
    """
    css, js = (_read(name) for name in ("study.css", script))
    policy = f"default-src 'none'; img-src data:; style-src '{_checksum(css)}'; script-src '{_checksum(js)}'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Html(css)),
    )
    page = element("html", head, element("body", body, element("script", Html(js))), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _read(name: str) -> str:
    return (PAGE_DIR / name).read_text(encoding="utf-8")


def _checksum(text: str) -> str:
    """Of an inline style or script, as a Content-Security-Policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _page_data(document: Mapping[str, Any], views: BeatingViews) -> dict[str, Any]:
    times = document["time"].get("frame_times_ms")
    known = times is not None and all(t is not None for t in times)
    return {
        "num_frames": document["time"]["num_frames"],
        "times": times if known else None,
        "cycle_ms": _shown_cycle_ms(document, times) if known else None,
        "ed_frame": document["phases"]["ed_frame"],
        "es_frame": document["phases"]["es_frame"],
        "lv_ml": document["volumes"]["lv_ml"],
        "reference_frames": look_up(document, "reference", "frames") if views.has_reference else None,
        "cursor": cursor_positions(document),
        "measures": document,
        **views.as_data(),
    }


def _shown_cycle_ms(document: Mapping[str, Any], times: list[float]) -> float | None:
    """Length of a beat as it is played; from the frames where the cycle length is not known."""
    length = document["time"].get("cycle_length_ms")
    if length is not None:
        return float(length)
    return (times[-1] - times[0]) * len(times) / (len(times) - 1) if len(times) > 1 else None
