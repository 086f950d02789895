# SPDX-License-Identifier: Apache-2.0
"""A training on one page: curves, last pictures, settings, provenance; as PNG and as HTML that opens from disk."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path
from textwrap import fill
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import imread

from ..io.whole_file import whole_file
from .style import USE_MARK, new_figure, save_png
from .training_curves import History, draw_curves, training_curves

Image = npt.NDArray[Any]
Facts: TypeAlias = "Mapping[str, Mapping[str, str]]"
"""Lines of text under a heading: ``{"Settings": {"max_epochs": "500"}}``."""

SUMMARY_PNG, SUMMARY_HTML, CURVES_PNG = "training_summary.png", "training_summary.html", "training_curves.png"
_WIDTH_IN, _CURVES_IN = 11.0, 5.2
_WIDE = 2.2
"""Width over height from which a picture has a row of its own."""

_LINES_PER_INCH, _TEXT_WIDTH = 6.6, 56

_STYLE = """
:root { color-scheme: light dark; --line: #ccc; --quiet: #5a5a5a; }
@media (prefers-color-scheme: dark) { :root { --line: #444; --quiet: #aaa; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1100px; padding: 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; }
.quiet { color: var(--quiet); margin: .2rem 0 0; }
figure { margin: 0; } img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
.pictures { display: grid; gap: 0 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
.wide { grid-column: 1 / -1; }
.facts { display: grid; gap: 0 2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); overflow-wrap: anywhere; padding: .2rem .4rem; text-align: left; }
th { font-weight: 500; width: 45%; } thead th { font-weight: 600; width: auto; }
@media print { body { max-width: none; padding: 0; } h2, figure { break-inside: avoid; } }
"""


def write_training_summary(
    folder: str | Path,
    history: History,
    facts: Facts,
    pictures: Mapping[str, Path],
    *,
    title: str,
    subtitle: str = "",
) -> tuple[Path, Path]:
    """Write ``training_summary.png`` and ``training_summary.html``, and the curves alone.

    Args:
        folder: of the run; older summaries in it are replaced.
        history: an entry per epoch, see :data:`~cardiac4d.report.training_curves.History`.
        facts: what stands below the pictures, by heading.
        pictures: PNG files by their captions, in the order in which they stand; those that are missing are left out.
        title: of the page.
        subtitle: a line below it.

    Returns:
        The paths of the PNG and the HTML page.

    Raises:
        ValueError: if ``history`` is empty.
    """
    folder = Path(folder)
    there = {caption: path for caption, path in pictures.items() if path.is_file()}
    curves = save_png(training_curves(history), folder / CURVES_PNG)
    picture = save_png(_page(history, facts, there, title, subtitle), folder / SUMMARY_PNG)
    page = folder / SUMMARY_HTML
    with whole_file(page) as partial:
        partial.write_text(_html({"Curves": curves, **there}, facts, title, subtitle), encoding="utf-8")
    return picture, page


def _page(history: History, facts: Facts, pictures: Mapping[str, Path], title: str, subtitle: str) -> Figure:
    """Everything in one figure, as tall as it needs to be; two pictures share a row unless they are wide."""
    rows = _rows({caption: imread(path) for caption, path in pictures.items()})
    heights = [_row_height_in(row) for row in rows]
    texts = {heading: _wrapped(lines) for heading, lines in facts.items()}
    text_in = (max((text.count("\n") for text in texts.values()), default=0) + 4) / _LINES_PER_INCH
    figure = new_figure(_WIDTH_IN, _CURVES_IN + 0.8 + sum(heights) + text_in)
    ratios = [_CURVES_IN, *heights, text_in]
    parts = np.ravel(np.array(figure.subfigures(len(ratios), 1, height_ratios=ratios)))
    draw_curves(parts[0].subplots(2, 2).ravel().tolist(), history)
    for part, row in zip(parts[1:-1], rows, strict=True):
        widths = [image.shape[1] / image.shape[0] for image in row.values()]
        cells = part.subplots(1, len(row), squeeze=False, width_ratios=widths)[0]
        for axes, (caption, image) in zip(cells, row.items(), strict=True):
            axes.imshow(image)
            axes.set_title(caption, loc="left", fontsize=10)
            axes.axis("off")
    for axes, (heading, text) in zip(_fields(parts[-1], len(texts)), texts.items(), strict=True):
        axes.set_title(heading, loc="left", fontsize=10)
        axes.text(0, 1, text, transform=axes.transAxes, va="top", fontsize=8, linespacing=1.3)
    figure.suptitle(f"{title}\n{subtitle}".strip(), fontsize=12, fontweight="bold")
    return figure


def _rows(images: Mapping[str, Image]) -> list[dict[str, Image]]:
    rows: list[dict[str, Image]] = []
    for caption, image in images.items():
        if _is_wide(image) or not rows or len(rows[-1]) == 2 or any(map(_is_wide, rows[-1].values())):
            rows.append({})
        rows[-1][caption] = image
    return rows


def _is_wide(image: Image) -> bool:
    return image.shape[1] > _WIDE * image.shape[0]


def _row_height_in(row: Mapping[str, Image]) -> float:
    """So that the pictures of a row fill its width, with a line for their captions."""
    return _WIDTH_IN / max(sum(image.shape[1] / image.shape[0] for image in row.values()), _WIDE) + 0.3


def _fields(part: SubFigure, number: int) -> list[Axes]:
    fields = part.subplots(1, number, squeeze=False)[0].tolist() if number else []
    for axes in fields:
        axes.axis("off")
    return fields


def _wrapped(lines: Mapping[str, str]) -> str:
    entries = (f"{name}: {value}" for name, value in lines.items())
    return "\n".join(fill(entry, _TEXT_WIDTH, subsequent_indent="    ") for entry in entries)


def _html(pictures: Mapping[str, Path], facts: Facts, title: str, subtitle: str) -> str:
    """The page as text, with its pictures inside."""
    shown = "".join(_figure(caption, path) for caption, path in pictures.items())
    tables = "".join(_table(heading, lines) for heading, lines in facts.items())
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{_STYLE}</style>\n</head>\n'
        f'<body>\n<h1>{escape(title)}</h1>\n<p class="quiet">{escape(subtitle)}</p>\n<main>\n'
        f'<div class="pictures">{shown}</div><div class="facts">{tables}</div></main>\n'
        f'<p class="quiet">{USE_MARK}</p>\n</body>\n</html>\n'
    )


def _figure(caption: str, path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    text = escape(caption, quote=True)
    wide = ' class="wide"' if path.name == CURVES_PNG or _is_wide(imread(path)) else ""
    picture = f'<figure><img alt="{text}" src="data:image/png;base64,{data}"></figure>'
    return f"<section{wide}><h2>{text}</h2>\n{picture}</section>\n"


def _table(heading: str, lines: Mapping[str, str]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in lines.items()
    )
    return f"<section><h2>{escape(heading)}</h2>\n<table>{rows}</table></section>\n"
