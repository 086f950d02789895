# SPDX-License-Identifier: Apache-2.0
"""How this software names itself in DICOM, and the identifiers that it gives."""

from __future__ import annotations

import uuid
from typing import Any, Final

from ... import __version__

NAME: Final = "cardiac4d"
EQUIPMENT: Final[dict[str, Any]] = {
    "manufacturer": NAME,
    "manufacturer_model_name": NAME,
    "software_versions": __version__,
    "device_serial_number": __version__,
}
"""Software has no serial number, but the standard wants one."""
OWN_SCHEME: Final = "99CARDIAC4D"
"""Codes that no public list has."""
SERIES_NUMBER: Final = 9000
"""Of the first series written; far above those of scanners."""


def new_uid() -> str:
    """A UID that nobody else gives: ``2.25.`` and a random UUID (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def lasting_uid(*parts: str) -> str:
    """The UID that belongs to ``parts``: the same in every run."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, '/'.join((NAME, *parts))).int}"


def coded(value: str, meaning: str, scheme: str) -> Any:
    """A code as highdicom takes it."""
    from highdicom.sr import CodedConcept

    return CodedConcept(value, scheme, meaning)


def learned_method() -> Any:
    """The kind of algorithm: artificial intelligence (CID 7162)."""
    return coded("123110", "Artificial Intelligence", "DCM")
