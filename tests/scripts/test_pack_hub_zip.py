# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
from pathlib import Path

from cardiac4d.workflows.hub import pack_hub_zip
from tests.helpers.bundles import copy_bundle
from tests.helpers.process import run_python


def test_script_packs_its_own_bundle_and_states_the_hash(tmp_path: Path) -> None:
    bundle = copy_bundle(tmp_path / "somewhere")
    environment = {"PYTHONPATH": str(bundle / "bundle")}
    printed = run_python(bundle / "scripts" / "pack_hub_zip.py", "--output_dir", "dist", cwd=tmp_path, env=environment)
    content = (tmp_path / "dist" / "cardiac4d.zip").read_bytes()
    assert hashlib.sha256(content).hexdigest() in printed
    assert content == pack_hub_zip(bundle, tmp_path / "again").read_bytes()
