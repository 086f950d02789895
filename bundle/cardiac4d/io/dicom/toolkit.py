# SPDX-License-Identifier: Apache-2.0
"""pydicom, imported when the first DICOM file is met, and a sentence where it or a decoder is absent."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import InputError

INSTALL = "pip install 'cardiac4d[dicom]'"


def pydicom_for(place: Path) -> Any:
    """Return the module ``pydicom``; :class:`InputError` naming ``place`` where it is not installed."""
    try:
        import pydicom
    except ModuleNotFoundError as error:
        raise InputError(place, "DICOM is read with pydicom, which is not installed", INSTALL) from error
    return pydicom


def highdicom_for(place: Path) -> Any:
    """Return the module ``highdicom``; :class:`InputError` naming ``place`` where it is not installed."""
    try:
        with quiet():
            import highdicom
    except ModuleNotFoundError as error:
        raise InputError(place, "DICOM results need highdicom, which is not installed", INSTALL) from error
    return highdicom


@contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings and log messages of pydicom and highdicom back: they quote values, and one comes per file."""
    logs = [logging.getLogger(name) for name in ("pydicom", "highdicom")]
    before = [log.level for log in logs]
    try:
        for log in logs:
            log.setLevel(logging.CRITICAL + 1)  # holds for the loggers of their modules too
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, before, strict=True):
            log.setLevel(level)


def check_decoder(path: Path, syntax: str) -> None:
    """Raise :class:`InputError` where no installed decoder takes the transfer syntax ``syntax`` of ``path``."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    try:
        available = get_decoder(UID(syntax)).is_available
    except NotImplementedError as error:
        problem = f"its pixels are stored as {UID(syntax).name}, which pydicom does not decode"
        raise InputError(path, problem, "save the study uncompressed", "TransferSyntaxUID") from error
    if not available:
        problem = f"its pixels are compressed as {UID(syntax).name}, and no decoder for it is installed"
        raise InputError(path, problem, INSTALL, "TransferSyntaxUID")
