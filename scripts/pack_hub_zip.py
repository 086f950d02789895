# SPDX-License-Identifier: Apache-2.0
"""Pack the archive that model hubs serve: ``python scripts/pack_hub_zip.py --output_dir dist``."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cardiac4d.command_line import run
from cardiac4d.workflows.hub import pack_hub_zip

BUNDLE_ROOT = Path(__file__).resolve().parents[1]


def pack(output_dir: str = "dist", overwrite: bool = False) -> str:
    """Write cardiac4d.zip.

    Args:
        output_dir: receives the archive.
        overwrite: replace an archive that is there.
    """
    archive = pack_hub_zip(BUNDLE_ROOT, output_dir, overwrite=overwrite)
    content = archive.read_bytes()
    return f"{archive}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}"


if __name__ == "__main__":
    run(pack)
