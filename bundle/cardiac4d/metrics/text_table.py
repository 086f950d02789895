# SPDX-License-Identifier: Apache-2.0
"""Tables in Markdown that read well as plain text too."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Set cells in columns.

    Args:
        lines: the cells, equally many in each line; the first line is the heading.

    Example:
        >>> print(aligned([["Case", "EF"], ["a", "61"]]))
        | Case | EF |
        | ---- | -- |
        | a    | 61 |
    """
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    padded.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)
