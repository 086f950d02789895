# SPDX-License-Identifier: Apache-2.0
"""What several tests of the workflows share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.studies import write_study


@pytest.fixture(scope="session")
def two_studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies ``a`` and ``b``, to be read only: ``image/a.nii.gz``, ``label/a.nii.gz``, ``truth/a.nii.gz``."""
    folder = tmp_path_factory.mktemp("two_studies")
    for seed, name in enumerate("ab"):
        write_study(folder, name, seed=seed)
    return folder
