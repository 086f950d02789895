# SPDX-License-Identifier: Apache-2.0
"""Text in tables that a spreadsheet will open: names come from outside, and must not run as formulas."""

from __future__ import annotations

from typing import Any, Final

_FORMULA_SIGNS: Final = ("=", "+", "-", "@", "\t", "\r")
_QUOTE: Final = "'"


def safe_cell(cell: Any) -> Any:
    """Put an apostrophe before text that a spreadsheet would take for a formula; numbers stay.

    Example:
        >>> [safe_cell(cell) for cell in ("=cmd()", "case1", -2.5)]
        ["'=cmd()", 'case1', -2.5]
    """
    return f"{_QUOTE}{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_SIGNS) else cell


def original_cell(cell: str) -> str:
    """The text that :func:`safe_cell` was given.

    Example:
        >>> original_cell("'=cmd()"), original_cell("'tis")
        ('=cmd()', "'tis")
    """
    return cell[1:] if cell.startswith(_QUOTE) and cell[1:].startswith(_FORMULA_SIGNS) else cell
