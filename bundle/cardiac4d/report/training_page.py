# SPDX-License-Identifier: Apache-2.0
"""A training on one page: curves, last pictures, settings, provenance; as PNG and as HTML that opens from disk."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path
from textwrap import shorten
from typing import TypeAlias

from matplotlib.figure import Figure
from matplotlib.image import imread

from ..io.whole_file import whole_file
from .style import USE_MARK, new_figure, save_png
from .training_curves import History, draw_curves, training_curves

Facts: TypeAlias = "Mapping[str, Mapping[str, str]]"
"""Lines of text under a heading: ``{"Settings": {"max_epochs": "500"}}``."""

SUMMARY_PNG, SUMMARY_HTML, CURVES_PNG = "training_summary.png", "training_summary.html", "training_curves.png"
_WIDTH_IN = 11.0
_LINES_PER_INCH = 6.0
_VALUE_WIDTH = 44

_STYLE = """
:root { color-scheme: light dark; --line: #ccc; --quiet: #5a5a5a; }
@media (prefers-color-scheme: dark) { :root { --line: #444; --quiet: #aaa; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1100px; padding: 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; }
.quiet { color: var(--quiet); margin: .2rem 0 0; }
figure { margin: 0; } img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
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
    """Everything in one figure, as tall as it needs to be."""
    images = {caption: imread(path) for caption, path in pictures.items()}
    heights = [_WIDTH_IN * image.shape[0] / image.shape[1] + 0.3 for image in images.values()]
    text_in = (max((len(lines) for lines in facts.values()), default=0) + 2) / _LINES_PER_INCH
    figure = new_figure(_WIDTH_IN, 6.8 + sum(heights) + text_in)
    parts = figure.subfigures(len(images) + 2, 1, height_ratios=[6.0, *heights, text_in])
    draw_curves(parts[0].subplots(2, 2).ravel().tolist(), history)
    for part, (caption, image) in zip(parts[1:-1], images.items(), strict=True):
        axes = part.subplots()
        axes.imshow(image, interpolation="none")
        axes.set_title(caption, loc="left", fontsize=10)
        axes.axis("off")
    fields = parts[-1].subplots(1, len(facts), squeeze=False)[0] if facts else []
    for axes, (heading, lines) in zip(fields, facts.items(), strict=True):
        axes.axis("off")
        axes.set_title(heading, loc="left", fontsize=10)
        text = "\n".join(f"{name}: {shorten(value, _VALUE_WIDTH, placeholder=' ...')}" for name, value in lines.items())
        axes.text(0, 1, text, transform=axes.transAxes, va="top", fontsize=8, linespacing=1.3)
    figure.suptitle(f"{title}\n{subtitle}".strip(), fontsize=12, fontweight="bold")
    return figure


def _html(pictures: Mapping[str, Path], facts: Facts, title: str, subtitle: str) -> str:
    """The page as text, with its pictures inside."""
    shown = "".join(_figure(caption, path) for caption, path in pictures.items())
    tables = "".join(_table(heading, lines) for heading, lines in facts.items())
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{_STYLE}</style>\n</head>\n'
        f'<body>\n<h1>{escape(title)}</h1>\n<p class="quiet">{escape(subtitle)}</p>\n<main>{shown}'
        f'<div class="facts">{tables}</div></main>\n<p class="quiet">{USE_MARK}</p>\n</body>\n</html>\n'
    )


def _figure(caption: str, path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    text = escape(caption, quote=True)
    return f'<h2>{text}</h2>\n<figure><img alt="{text}" src="data:image/png;base64,{data}"></figure>\n'


def _table(heading: str, lines: Mapping[str, str]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in lines.items()
    )
    return f"<section><h2>{escape(heading)}</h2>\n<table>{rows}</table></section>\n"
