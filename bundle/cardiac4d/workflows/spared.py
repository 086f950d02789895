# SPDX-License-Identifier: Apache-2.0
"""What a training may fail in without ending."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)


@contextmanager
def training_spared(what: str) -> Iterator[None]:
    """Log an exception and go on: a picture that cannot be drawn must not cost the days of a training.

    Args:
        what: is not there then, as the log names it.
    """
    try:
        yield
    except Exception:
        logger.exception("%s: could not be written; the training goes on without", what)
