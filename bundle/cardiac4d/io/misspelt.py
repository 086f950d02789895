# SPDX-License-Identifier: Apache-2.0
"""Announce fields of a data list that look like misspellings of known ones."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .entries import FIELDS, SHARED_FIELDS

logger = logging.getLogger(__name__)

SIMILARITY = 0.8
"""Of two words, from 0 to 1 (:mod:`difflib`): ``labelled_frames`` is alike ``labeled_frames``, ``labels`` no map."""


def warn_of_misspelt_fields(path: Path, section: str, document: Mapping[str, Any]) -> None:
    """Warn once of each field that is not known but is spelt almost like one that is.

    Fields of the user's own are welcome, so that a misspelt one would be kept without being used. A known field that is
    there as well was not misspelt.

    Args:
        path: the data list, to name it.
        section: the list whose entries are looked at, beside the top level.
        document: the whole data list.
    """
    places = [("", document, SHARED_FIELDS)]
    places += [
        (f"{section}[{index}]: ", raw, FIELDS)
        for index, raw in enumerate(document[section])
        if isinstance(raw, Mapping)
    ]
    announced: set[str] = set()
    for where, fields, known in places:
        for name, meant in _near_misses(fields, known).items():
            if name not in announced:
                announced.add(name)
                logger.warning(
                    "%s: %s%r is kept as a field of your own. Fix: if it is a misspelling, write %r.",
                    *(path, where, name, meant),
                )


def _near_misses(fields: Mapping[str, Any], known: Collection[str]) -> dict[str, str]:
    absent = [name for name in known if name not in fields]
    close = {name: get_close_matches(name.lower(), absent, 1, SIMILARITY) for name in fields if name not in known}
    return {name: meant[0] for name, meant in close.items() if meant}
