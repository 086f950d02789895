# SPDX-License-Identifier: Apache-2.0
"""The one exception for bad input: it names the file, the field and the fix."""

from __future__ import annotations

from os import PathLike


class InputError(ValueError):
    """Something the user supplied cannot be used.

    Args:
        source: the file, folder or data-list entry at fault.
        problem: what is wrong, with the offending value.
        fix: what the user can do about it.
        field: the field or header entry at fault, if there is one.
    """

    def __init__(self, source: str | PathLike[str], problem: str, fix: str, field: str | None = None) -> None:
        self.source, self.problem, self.fix, self.field = str(source), problem, fix, field
        where = f"{source}: {field}" if field else str(source)
        super().__init__(f"{where}: {problem.rstrip('.')}. Fix: {fix.rstrip('.')}.")

    def __reduce__(self) -> tuple[type, tuple[str, str, str, str | None]]:
        """Rebuild from the four parts, so that the error crosses from data-loader workers intact."""
        return type(self), (self.source, self.problem, self.fix, self.field)
