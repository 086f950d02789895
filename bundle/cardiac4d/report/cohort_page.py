# SPDX-License-Identifier: Apache-2.0
"""The page of a cohort: a table to sort, with flags and links to the studies, and the agreement with a reference."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from ..io.whole_file import whole_file
from .agreement import ef_agreement
from .html import Html, element, joined
from .measures_csv import write_cohort_csv
from .numbers import check_document, look_up, shown, six_numbers
from .study_page import html_document
from .study_report import PAGE_SUFFIX
from .study_sections import SEVERITIES, disclaimer

COHORT_PAGE: Final = "index.html"
COHORT_CSV: Final = "measures.csv"


def write_cohort_report(
    folder: str | Path,
    documents: Sequence[Mapping[str, Any]],
    *,
    title: str = "Left ventricles",
) -> tuple[Path, Path]:
    """Write ``index.html`` and ``measures.csv`` over studies whose reports lie in the same folder.

    Where the true ejection fraction of a study is known (``reference`` of its measures), the page has columns for it, a
    scatter and a Bland-Altman plot.

    Args:
        folder: of the reports.
        documents: the measures of the studies, at least one, each with its own ``case_id``.
        title: of the page.

    Returns:
        The two paths.

    Raises:
        ValueError: if there is no study, two have the same id, or a document is none of measures.
    """
    for document in documents:
        check_document(document)
    ids = [str(document["case_id"]) for document in documents]
    if not ids or len(set(ids)) != len(ids):
        raise ValueError(f"`documents` must hold at least one study and each case id once, got {ids}")
    page = Path(folder) / COHORT_PAGE
    with whole_file(page) as partial:
        partial.write_text(cohort_page(documents, title=title), encoding="utf-8")
    return page, write_cohort_csv(documents, Path(folder) / COHORT_CSV)


def cohort_page(documents: Sequence[Mapping[str, Any]], *, title: str) -> str:
    """Compose the page; see :func:`write_cohort_report`."""
    true = {str(document["case_id"]): look_up(document, "reference", "ef_percent") for document in documents}
    reference = {case_id: percent for case_id, percent in true.items() if percent is not None}
    flagged = sum(any(flag["severity"] != "info" for flag in document["flags"]) for document in documents)
    header = element(
        "header",
        element("h1", title),
        element("p", f"{len(documents)} studies, {flagged} with warnings or errors", class_="meta"),
        disclaimer(),
    )
    note = "Choose a column to sort by it. Every case leads to its own page, which lies in the same folder."
    studies = element(
        "section",
        element("h2", "Studies"),
        element("p", note, class_="note"),
        element("div", _table(documents, reference), class_="scroll"),
        element("p", id="live", class_="hidden", aria_live="polite"),
    )
    footer = element("footer", element("p", "cardiac4d cohort report. Research use only.", class_="meta"))
    main = element("main", studies, _agreement(documents, reference))
    return html_document(title, joined(header, main, footer), script="cohort.js")


def _table(documents: Sequence[Mapping[str, Any]], reference: Mapping[str, float]) -> Html:
    names = ["Flags", *(f"{q.short} ({q.unit})" for q in six_numbers(documents[0]))]
    names += ["True EF (%)", "EF error (points)"] if reference else []
    heads = [
        element(
            "th",
            element("button", name, type="button"),
            scope="col",
            aria_sort="none",
            class_="text" if k < 2 else None,
        )
        for k, name in enumerate(["Case", *names])
    ]
    rows = [_row(document, reference) for document in documents]
    return element(
        "table",
        element("caption", "Volumes, function and wall of every study", class_="hidden"),
        element("thead", element("tr", *heads)),
        element("tbody", *rows),
        id="cohort",
    )


def _row(document: Mapping[str, Any], reference: Mapping[str, float]) -> Html:
    case_id = str(document["case_id"])
    link = element("a", case_id, href=quote(f"{case_id}{PAGE_SUFFIX}"))
    quantities = six_numbers(document)
    cells = [element("th", link, scope="row", data_sort=case_id), _flag_cell(document)]
    cells += [_number_cell(q.value, q.decimals) for q in quantities]
    if reference:
        true = reference.get(case_id)
        found = next(q.value for q in quantities if q.key == "ef_percent")
        error = None if true is None or found is None else found - true
        cells += [_number_cell(true, 1), _number_cell(error, 1, sign="+")]
    return element("tr", *cells)


def _flag_cell(document: Mapping[str, Any]) -> Html:
    """How many flags, the worst in words; sorted by severity first."""
    order, flags = list(SEVERITIES), document["flags"]
    if not flags:
        return element("td", "none", class_="text", data_sort=0)
    worst = min(flags, key=lambda flag: order.index(flag["severity"]))["severity"]
    codes = ", ".join(flag["code"].replace("_", " ") for flag in flags)
    rank = 100 * (len(order) - order.index(worst)) + len(flags)
    text = f"{SEVERITIES[worst]}: {codes}"
    return element("td", text, class_=f"text severity-{worst}", data_sort=rank)


def _number_cell(value: float | None, decimals: int, sign: str = "") -> Html:
    return element("td", shown(value, decimals, sign), data_sort="" if value is None else repr(float(value)))


def _agreement(documents: Sequence[Mapping[str, Any]], reference: Mapping[str, float]) -> Html | None:
    """Scatter and Bland-Altman plot of the studies whose ejection fraction is known."""
    found = {str(document["case_id"]): document["volumes"].get("ef_percent") for document in documents}
    pairs = [(found[key], true) for key, true in reference.items() if found.get(key) is not None]
    if not pairs:
        return None
    figure, buffer = ef_agreement(*zip(*pairs, strict=True), title="Ejection fraction"), io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    uri = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
    text = f"Predicted against true ejection fraction of {len(pairs)} studies, and their differences (Bland and Altman)"
    return element(
        "section",
        element("h2", "Agreement with the reference"),
        element("img", src=uri, alt=f"{text}; the table holds the numbers.", class_="paper"),
        element("p", text, class_="note"),
    )
